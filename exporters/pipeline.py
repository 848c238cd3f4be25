"""The path of a model: wires the stages from recipe and checkpoint to a measured bundle. The stages do not know each other."""

from __future__ import annotations

import tempfile
import time
from datetime import datetime
from pathlib import Path

from exporters import load
from exporters.fit.fitting import compile_faults
from exporters.fit.form import prepare_model
from exporters.job import Job
from exporters.model import Model, SpeechGraphs, SpeechRequest
from exporters.pack.assemble import assemble
from exporters.pack.write import alone_in, next_version
from exporters.pictures.images import Dataset, load_dataset
from exporters.progress import Log, Progress
from exporters.proof import float_check
from exporters.proof.candidates import processor_note, verify_candidates
from exporters.proof.crosscheck import crosscheck_build, find_peer
from exporters.proof.graphs import stream

SPEECH = "speech"  # folder of a bundle


def build(job: Job, out: Path, *, now: datetime, log: Log) -> Path:
    """Make the bundle and return its folder; no other build works in that place meanwhile.

    Raises:
        ConfigError: recipe, board or images are wrong.
        ExportError: a stage cannot do what was asked, the graph is not the checkpoint, it is too large for the board, or another build is at
            work there.
    """
    with alone_in(out):
        return _build(job, out, now=now, log=log)


def _build(job: Job, out: Path, *, now: datetime, log: Log) -> Path:
    step = Progress(log, time.monotonic)
    number = next_version(out, job.recipe.name, job.recipe.version)
    peer = find_peer(job)
    step("images", "reading and splitting")
    dataset = load_dataset(job.recipe, job.base, job.input)
    step("load", f"{job.checkpoint.folder.name} ({job.family.name})")
    model = load.load(job.checkpoint, job.family, streamed=job.streamed)
    model, notes = prepare_model(job, model, dataset, step)
    notes = (*dataset.notes, *notes)
    with tempfile.TemporaryDirectory(prefix="edge-export-") as work:
        folder = Path(work)
        crosschecked = crosscheck_build(job, model, dataset, peer=peer, folder=folder, step=step)
        compiled = compile_faults(job, model, dataset, step)
        notes += compiled.notes + (model.notes(job.questions) if compiled.head is None else ())
        notes += float_check.notes(
            job, lambda target: stream(job, compiled, target, "float32"), folder, frames=dataset.frames,
            reference=compiled.scale.scores(compiled.reference), log=step.of("verify"),
        )  # fmt: skip
        verified = verify_candidates(job, compiled, dataset, folder, step)
        notes += (*verified.notes, processor_note(job, compiled, dataset, folder))
        speech = _speech(job, model, dataset, step, scheme=verified.execution.scheme, folder=folder / SPEECH)
        step("pack", f"{job.recipe.name} version {number}")
        return assemble(
            job,
            dataset,
            verified,
            out=out,
            number=number,
            now=now,
            notes=notes,
            speech=speech,
            crosschecked=crosschecked,
        )


def _speech(
    job: Job, model: Model, dataset: Dataset, step: Progress, *, scheme: str, folder: Path
) -> SpeechGraphs | None:
    """The graphs that generate a bundle's explanations, if the recipe asks for them."""
    if not job.recipe.explain.speak:
        return None
    step("speech", f"the decoder once more, for {len(job.recipe.faults)} faults in words")
    nouns = [next((words for words in one.words if not words.endswith("?")), one.title) for one in job.recipe.faults]
    asked = tuple(job.recipe.explain.question.replace("{words}", noun) for noun in nouns)
    folder.mkdir()
    return model.speech(
        SpeechRequest(
            asked, dataset.frames, folder,
            tokens=job.recipe.explain.tokens, scheme=scheme, reduce_range=job.board.reduce_range,
        )
    )  # fmt: skip
