"""The path of a model: recipe and checkpoint in, measured bundle out. The stages do not know each other; this file wires them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from edge.board import machine_facts
from edge.bundle import Execution
from edge.errors import ExportError
from exporters import calibrate, exact, images, load, measure, pack, prompts, quantize, verify
from exporters.assemble import GRAPH_FILE, Verified, assemble, weights_beside
from exporters.families.base import Model, Question
from exporters.images import Album
from exporters.job import Job
from exporters.onepass.generative import Generative, GenerativeModel
from exporters.plan import Plan, make_plan, together

if TYPE_CHECKING:
    from torch import nn

    from exporters.onepass.speech import Spoken
    from exporters.settle import Scheme as StreamScheme
    from exporters.specialise import Scale

Say = Callable[[str], None]
PROCESSOR_PICTURES = 16  # compared with the checkpoint's own image processor
NOISE_PICTURES = 48
MASK_PICTURES = 16
REFERENCE_BATCH = 128  # frames whose float pixels are held at once


def plan(job: Job) -> Plan:
    """What a build would do and need; imports no torch. Raises ConfigError."""
    return make_plan(
        job.recipe,
        job.board,
        checkpoint=job.checkpoint,
        spec=replace(job.pixels, width=job.input.width, height=job.input.height),
        geometry=job.geometry,
        images=images.count_images(job.recipe, job.base),
        family=job.family.name,
        sizes=job.sizes,
        schemes=job.schemes,
        streamed=job.stream_plan("dynamic-int8"),
        check=exact.need(job),
        check_obstacle=exact.obstacle(job, Path(tempfile.gettempdir())),
        machine_mib=machine_facts().memory_mib,
    )


class Progress:
    """Says what is being done, and since when: one line a step, with the seconds since the start."""

    def __init__(self, say: Say, clock: Callable[[], float]) -> None:
        self._say, self._clock, self._start = say, clock, clock()

    def __call__(self, stage: str, what: str) -> None:
        """One line."""
        self._say(f"[{self._clock() - self._start:6.1f} s] {stage:<10} {what}")


@dataclass(frozen=True, slots=True)
class Compiled:
    """The float side: what the checkpoint says of every image, and the module to export."""

    questions: tuple[Question, ...]
    head: nn.Module | None
    reference: NDArray[np.float32]  # evidence [N, K]
    unseen: NDArray[np.float32]  # the same by members that never saw the picture, where the head is in folds
    scale: Scale
    module: nn.Module
    model: Model


def build(job: Job, out: Path, *, now: datetime, say: Say) -> Path:
    """Make the bundle and return its folder.

    Raises:
        ConfigError: recipe, board or images are wrong.
        ExportError: a stage cannot do what was asked, the graph is not the checkpoint, or the board's budget cannot be met.
    """
    step = Progress(say, time.monotonic)
    number = pack.next_version(out, job.recipe.name, job.recipe.version)
    step("images", "reading and splitting")
    album = images.load_album(job.recipe, job.base, job.input)
    step("load", f"{job.checkpoint.folder.name} ({job.family.name})")
    model = _loaded(job)
    model, asking = _one_token(job, model, album, step)
    model, form = _formed(job, model, step)
    model = _settled(job, model, album)
    with tempfile.TemporaryDirectory(prefix="edge-export-") as folder:
        compiled = compile_faults(job, model, album, step)
        notes = asking + form + prompts.cut_off(model, compiled.questions) * (compiled.head is None)
        notes += exact.notes(
            job, lambda target: _stream(compiled, target, "float32"), Path(folder), frames=album.frames,
            reference=compiled.scale.scores(compiled.reference), say=lambda what: step("verify", what),
        )  # fmt: skip
        verified = verify_candidates(job, compiled, album, Path(folder), step)
        notes += _processor_note(job, model, compiled, album, Path(folder))
        spoken = _speech(job, model, album, step, scheme=verified.execution.scheme, folder=Path(folder))
        step("pack", f"{job.recipe.name} version {number}")
        return assemble(job, album, verified, out=out, number=number, now=now, notes=notes, spoken=spoken)


def compile_faults(job: Job, model: Model, album: Album, step: Progress) -> Compiled:
    """Words become constants or a head is fitted; the checkpoint's own evidence sets the scale of the scores."""
    from exporters.specialise import Scale, plain_scale, specialise  # noqa: PLC0415 - imports torch

    asked = tuple(prompts.questions(job.recipe))
    step("prompts", f"{len(asked)} faults, {sum(len(q.words) + len(q.normal_words) for q in asked)} phrasings")
    head = _fit_head(job, model, album, step) if job.recipe.head.kind == "fitted" else None
    step("reference", f"float checkpoint on {len(album.frames)} images")
    evidence = np.concatenate(
        [
            model.reference(model.normalise(album.frames[start : start + REFERENCE_BATCH]), asked, head)
            for start in range(0, len(album.frames), REFERENCE_BATCH)
        ]
    )
    unseen = evidence
    if album.folds:
        members, evidence = evidence, evidence.mean(axis=1)
        unseen = calibrate.unseen(evidence, members, album.folds)
    chosen = calibrate.calibrating(job.recipe, album)
    scale = plain_scale(len(asked))
    if chosen.any():
        bound = job.recipe.tolerance.false_alarm_bound
        groups = calibrate.groups_of(album, chosen) if job.recipe.tolerance.by_group else None
        pairs = [calibrate.fit_scale(unseen[chosen, k], bound, groups) for k in range(len(asked))]
        scale = Scale(np.array([p[0] for p in pairs], np.float32), np.array([p[1] for p in pairs], np.float32))
    module = specialise(model.graph(asked, head), scale, in_folds=bool(album.folds))
    return Compiled(asked, head, evidence, unseen, scale, module, model)


def verify_candidates(job: Job, compiled: Compiled, album: Album, folder: Path, step: Progress) -> Verified:
    """Export, quantize, compare with the checkpoint, time in turns, choose."""
    wanted = compiled.scale.scores(compiled.reference)
    wanted_unseen = compiled.scale.scores(compiled.unseen)
    wanted_limits = calibrate.thresholds(job.recipe, album, wanted_unseen)
    graphs = _graphs(job, compiled, album, folder, step)
    provider = _provider(job)
    share = job.recipe.tolerance.flips_share
    scores, unseen, parities = {}, {}, {}
    for scheme, graph in graphs.items():
        step("verify", f"{scheme} on {len(album.frames)} images")
        execution = Execution(
            graph=str(graph.relative_to(folder)), provider=provider, intra_op_threads=1, scheme=scheme
        )
        scores[scheme] = measure.score_frames(folder, execution, job.input, "scores", album.frames)
        unseen[scheme] = _unseen(job, album, folder, execution, scores[scheme])
        limits = calibrate.thresholds(job.recipe, album, unseen[scheme])
        parities[scheme] = verify.compare(wanted, scores[scheme], wanted_limits, limits, share)
        if scheme == "float32":
            ids = [q.id for q in compiled.questions]
            verify.check_exact(ids, wanted, scores[scheme])
            verify.check_exact(ids, wanted_unseen, unseen[scheme])
    executions = _executions(job, {scheme: graph.relative_to(folder) for scheme, graph in graphs.items()}, provider)
    step("measure", f"{len(executions)} candidates in turns")
    picture = folder / "picture"
    picture.write_bytes(album.encoded[0])
    tolerance = job.recipe.tolerance
    timing = measure.Job(
        folder=folder, executions=executions, input=job.input, output="scores", picture=picture,
        runs=tolerance.timing_runs, seconds=tolerance.timing_seconds,
        together=together([_size(graphs[one.scheme]) for one in executions], machine_facts().memory_mib),
    )  # fmt: skip
    timed = measure.measure(timing)
    candidates = verify.choose(
        [
            verify.Measured(execution, _size(graphs[execution.scheme]), latency, parities[execution.scheme])
            for execution, latency in zip(executions, timed.infer, strict=True)
        ]
    )
    chosen = executions[[one.chosen for one in candidates].index(True)]
    step("measure", f"{chosen.scheme} on {chosen.intra_op_threads} threads alone")
    alone = measure.measure(timing.model_copy(update={"executions": (chosen,)}))
    return Verified(
        graph=folder / chosen.graph,
        execution=chosen,
        scores=scores[chosen.scheme],
        unseen=unseen[chosen.scheme],
        candidates=tuple(candidates),
        latency=(*alone.infer, *alone.frame),
        peak_rss_mib=alone.peak_rss_mib,
        noise=_noise(job, album, folder, chosen, scores[chosen.scheme]),
    )


def _unseen(
    job: Job, album: Album, folder: Path, execution: Execution, scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Scores [N, K] to calibrate with: of a head in folds each picture's by the member, in this very graph, that never saw it."""
    if not album.folds:
        return scores
    said = np.zeros((len(scores), job.recipe.head.folds, scores.shape[1]), np.float32)
    used = album.part("fit", "calibrate")
    found = measure.score_frames(folder, execution, job.input, "members", album.frames[used])
    said[used] = found.reshape(-1, *said.shape[1:])
    return calibrate.unseen(scores, said, album.folds)


def _one_token(job: Job, model: Model, album: Album, step: Progress) -> tuple[Model, tuple[str, ...]]:
    """The model with one-token questions where the recipe wants them, and what the report says of them."""
    if job.recipe.generative.questions == "worded":
        return model, ()
    from exporters.onetoken import one_token  # noqa: PLC0415 - only some recipes fit questions

    step("questions", "one token for each, fitted on the fit images")
    return one_token(model, prompts.questions(job.recipe), album)


def _formed(job: Job, model: Model, step: Progress) -> tuple[Model, tuple[str, ...]]:
    """A generative model in the form that answers this recipe's questions fastest here, and what the report says of it.

    A recipe that names one is obeyed; a checkpoint that stays on disk takes its family's first, for each trial would write it whole.
    """
    if not isinstance(model, GenerativeModel) or model.family.form or len(model.family.forms) == 1 or job.streamed:
        return model, ()
    from exporters.onepass.choose import choose_form  # noqa: PLC0415 - imports torch

    step("form", f"{' and '.join(model.family.forms)} in turns")
    choice = choose_form(model, prompts.questions(job.recipe), provider=_provider(job))
    return replace(model, family=replace(model.family, form=choice.form)), (choice.note(),)


def _settled(job: Job, model: Model, album: Album) -> Model:
    """A generative model masked as deep as it needs on this site's pictures."""
    if not isinstance(model, GenerativeModel):
        return model
    some = np.linspace(0, len(album.frames) - 1, min(MASK_PICTURES, len(album.frames))).astype(int)
    return model.settled(prompts.questions(job.recipe), album.frames[some])


def _speech(job: Job, model: Model, album: Album, step: Progress, *, scheme: str, folder: Path) -> Spoken | None:
    """The graphs by which a generative bundle speaks, if it is to."""
    if not job.recipe.explain.speak:
        return None
    from exporters.onepass import speech  # noqa: PLC0415 - imports torch

    step("speech", f"the decoder once more, for {len(job.recipe.faults)} faults in words")
    nouns = [next((words for words in one.words if not words.endswith("?")), one.title) for one in job.recipe.faults]
    asked = [job.recipe.explain.question.replace("{words}", noun) for noun in nouns]
    (folder / speech.FOLDER).mkdir()
    return speech.build(
        cast("GenerativeModel", model), asked, album.frames, folder / speech.FOLDER,
        tokens=job.recipe.explain.tokens, scheme=scheme, reduce_range=job.board.reduce_range,
    )  # fmt: skip


def _fit_head(job: Job, model: Model, album: Album, step: Progress) -> nn.Module:
    from exporters import crossfit, head  # noqa: PLC0415 - imports torch

    rule = job.recipe.head
    fit = album.part("fit", "calibrate") if album.folds else album.part("fit")
    step("head", f"features of {int(fit.sum())} images")
    depths = rule.layers or (0.0,)  # at least one grid, to know where the patches are
    views = [model.features(head.flipped(album.frames[fit], axes), depths) for axes in head.FLIPS]
    frames, labels = album.frames[fit], album.labels[fit]
    masks = None if album.masks is None else album.masks[fit]
    half = "amx_bf16" in machine_facts().cpu_flags

    def say(what: str) -> None:
        step("head", what)

    if album.folds:
        pictures = crossfit.Pictures(views, frames, labels, masks, np.array(album.folds)[fit])
        return crossfit.fit(pictures, rule, half=half, say=say)
    return head.fit(views, frames, labels, masks, rule, half=half, say=say)


def _graphs(job: Job, compiled: Compiled, album: Album, folder: Path, step: Progress) -> dict[str, Path]:
    """One ONNX file per scheme. In memory the float one is always made, being what the others come from; a stream writes each by itself."""
    from exporters import export  # noqa: PLC0415 - imports torch

    graphs: dict[str, Path] = {}
    for scheme in job.schemes:
        if job.streamed or scheme == "decoder-int4":
            step("stream", f"{scheme}, tensor by tensor")
            graphs[scheme] = _stream(compiled, folder / scheme / GRAPH_FILE, scheme)
    if job.streamed:
        return graphs
    step("export", "torch to ONNX")
    plain = export.export(
        compiled.module,
        job.input.height,
        job.input.width,
        folder / "float32.onnx",
        in_folds=bool(album.folds),
        fused=_fused(job),
    )
    graphs["float32"] = plain
    pool = (
        np.flatnonzero(calibrate.calibrating(job.recipe, album))
        if not album.synthetic
        else np.arange(len(album.frames))
    )
    pool = pool if len(pool) else np.arange(len(album.frames))
    count = min(job.recipe.quantization.calibration_images, len(pool))
    frames = album.frames[pool[np.linspace(0, len(pool) - 1, count).astype(int)]]
    for scheme in job.schemes:
        if scheme not in graphs:
            step("quantize", scheme)
            graphs[scheme] = quantize.quantize(
                scheme, plain, folder / f"{scheme}.onnx", frames=frames, input_name="frame",
                reduce_range=job.board.reduce_range,
            )  # fmt: skip
    return graphs


def _stream(compiled: Compiled, target: Path, scheme: str) -> Path:
    model = compiled.model
    if not isinstance(model, GenerativeModel):
        raise ExportError(f"{scheme} is for checkpoints that answer in words: they have a decoder.")
    return model.stream(compiled.questions, compiled.scale, target, cast("StreamScheme", scheme))


def _loaded(job: Job) -> Model:
    """The checkpoint in memory, or with its weights left on disk."""
    if not job.streamed:
        return load.load(job.checkpoint, job.family)
    if job.recipe.generative.questions != "worded" or job.recipe.explain.speak:
        raise ExportError(
            "one-token questions and speech need the checkpoint in memory: set generative.stream = false, or leave them out."
        )
    from exporters.onepass.borrowed import load_streamed  # noqa: PLC0415 - imports torch

    return load_streamed(cast("Generative", job.family), job.checkpoint)


def _size(graph: Path) -> int:
    """Of a graph with the weights that lie beside it, bytes."""
    return sum(file.stat().st_size for file in (graph, weights_beside(graph)) if file.exists())


def _executions(job: Job, graphs: Mapping[str, Path], provider: str) -> tuple[Execution, ...]:
    cores = machine_facts().cores
    threads = [n for n in job.recipe.quantization.threads or job.board.threads if n <= min(cores, job.board.cores)]
    return tuple(
        Execution(graph=str(graphs[scheme]), provider=provider, intra_op_threads=count, scheme=scheme)
        for scheme in job.schemes
        for count in threads or [1]
    )


def _fused(job: Job) -> bool:
    """Whether attention may be ONNX Runtime's own operator: where a generative graph runs on its CPU."""
    return isinstance(job.family, Generative) and _provider(job) == "CPUExecutionProvider"


def _provider(job: Job) -> str:
    """The board's best execution provider that is installed here; the CPU's when none is."""
    here = quantize.available_providers()
    return next((name for name in job.board.providers if name in here), "CPUExecutionProvider")


def _noise(job: Job, album: Album, folder: Path, chosen: Execution, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much each score moves when a frame shifts by one pixel and brightens by 2 %: float32 [K]."""
    pool = np.flatnonzero(album.normal) if album.normal.any() else np.arange(len(album.frames))
    some = pool[np.linspace(0, len(pool) - 1, min(NOISE_PICTURES, len(pool))).astype(int)]
    moved = np.clip(np.roll(album.frames[some], 1, axis=2).astype(np.float32) * 1.02, 0, 255).astype(np.uint8)
    found = measure.score_frames(folder, chosen, job.input, "scores", moved)
    return np.array([calibrate.score_noise(found[:, k], scores[some, k]) for k in range(scores.shape[1])], np.float32)


def _processor_note(job: Job, model: Model, compiled: Compiled, album: Album, folder: Path) -> tuple[str, ...]:
    """What the daemon's resizing changes against the checkpoint's own image processor, said apart from quantization."""
    count = min(PROCESSOR_PICTURES, len(album.frames))
    some = np.linspace(0, len(album.frames) - 1, count).astype(int)
    found = []
    for index in some:
        picture = folder / "picture"
        picture.write_bytes(album.encoded[index])
        found.append(model.process(picture))
    pixels = np.concatenate(found)
    evidence = model.reference(pixels, compiled.questions, compiled.head)
    theirs = compiled.scale.scores(evidence.mean(axis=1) if album.folds else evidence)
    ours = compiled.scale.scores(compiled.reference[some])
    difference = np.abs(theirs - ours)
    levels = np.abs(pixels - model.normalise(album.frames[some])).mean() * float(np.mean(job.pixels.std)) * 255
    note = (
        f"The daemon's preprocessing against the checkpoint's own image processor ({count} images, float32): pixels differ by "
        f"{levels:.2f}/255 on average, scores by {difference.mean():.4f} on average and {difference.max():.4f} at most."
    )
    return (note,)
