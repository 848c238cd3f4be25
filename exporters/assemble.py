"""What was measured becomes the manifest, the report and the golden inputs of a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.board import machine_facts
from edge.bundle import Candidate, Execution, FaultSpec, Golden, Latency, ModelSource, Proof, Target
from edge.errors import ExportError
from exporters import calibrate, load, pack, prompts, report, verify
from exporters.device import mismatches
from exporters.images import Album
from exporters.job import Job

if TYPE_CHECKING:
    from exporters.onepass.speech import Spoken

GOLDEN_PICTURES = 8
WEAK_AUROC = 0.6
GRAPH_FILE = "model.onnx"
PNG_MAGIC = b"\x89PNG"


@dataclass(frozen=True, slots=True)
class Verified:
    """The measured side: the chosen graph, its scores [N, K] on every image, its proof.

    ``unseen`` are the scores that calibrate: those of a head in folds come from the member that never saw the image.
    """

    graph: Path
    execution: Execution
    scores: NDArray[np.float32]
    unseen: NDArray[np.float32]
    candidates: tuple[Candidate, ...]
    latency: tuple[Latency, ...]
    peak_rss_mib: float
    noise: NDArray[np.float32]


def assemble(
    job: Job,
    album: Album,
    verified: Verified,
    *,
    out: Path,
    number: int,
    now: datetime,
    notes: Sequence[str],
    spoken: Spoken | None = None,
) -> Path:
    """Write the bundle and return its folder.

    Args:
        job: what was asked.
        album: the images.
        verified: the chosen graph and what was measured of it.
        out: folder that the bundle is created in.
        number: the bundle's version.
        now: creation time.
        notes: more lines for the report.
        spoken: the graphs by which the bundle speaks.

    Raises:
        ExportError: too large or too late for its own board, or the folder cannot be written as a bundle.
    """
    _check_memory(job, verified)
    limits = calibrate.site_limits(job.recipe, album, verified.unseen, verified.noise)
    faults = _faults(job, limits)
    lacking = _lacking(job, verified)
    golden = _golden(album, verified.scores)
    proof = _proof(verified, golden, on_target=not lacking)
    target = _target(job)
    findings = report.Findings(
        title=f"{job.recipe.name} version {number} for {job.board.title}",
        album=album,
        scores=verified.unseen,
        faults=faults,
        target=target,
        proof=proof,
        notes=(
            *notes,
            *_fold_notes(job, album),
            *_arming_notes(faults, limits),
            *weak_notes(faults),
            *(f"Not proven on the target board: {reason}." for reason in lacking),
            *_golden_notes(proof, faults),
            *_budget_notes(job, proof),
            *_speech_notes(spoken),
        ),
    )
    files: dict[str, bytes | Path] = {
        GRAPH_FILE: verified.graph,
        "recipe.toml": job.recipe_file,
        "report.md": report.markdown(findings),
        "images.csv": report.image_table(findings),
        **report.plots(findings),
        **{name: album.encoded[index] for name, index in golden.items()},
    }
    files |= _more_files(verified, spoken)
    manifest = _manifest(job, number, now) | {
        "speech": None if spoken is None else spoken.section,
        "target": target,
        "execution": verified.execution.model_copy(update={"graph": GRAPH_FILE}),
        "faults": faults,
        "proof": proof,
    }
    return pack.pack(out, f"{job.recipe.name}-v{number}", files, manifest)


def weights_beside(graph: Path) -> Path:
    """Where a streamed graph keeps its weights."""
    return graph.with_name(graph.name + ".data")


def _lacking(job: Job, verified: Verified) -> list[str]:
    """Why this measurement says little of the board; empty where it ran on it."""
    lacking = mismatches(job.board, machine_facts())
    if verified.execution.provider != job.board.providers[0]:
        lacking.append(f"the board prefers {job.board.providers[0]}, this ran on {verified.execution.provider}")
    return lacking


def _more_files(verified: Verified, spoken: Spoken | None) -> dict[str, bytes | Path]:
    """What only some bundles hold: weights beside the graph, and the graphs by which it speaks."""
    weights = weights_beside(verified.graph)
    files: dict[str, bytes | Path] = {f"{GRAPH_FILE}.data": weights} if weights.exists() else {}
    return files if spoken is None else files | dict(spoken.files)


def _check_memory(job: Job, verified: Verified) -> None:
    if verified.peak_rss_mib > job.board.memory_mib:
        raise ExportError(
            f"running the graph took {verified.peak_rss_mib:.0f} MiB, board {job.board_name} has {job.board.memory_mib} MiB: choose a smaller "
            "checkpoint or scheme, or a board with more memory."
        )


def _target(job: Job) -> Target:
    return Target(
        board=job.board_name,
        arch=job.board.arch,
        isa_required=job.board.isa_required,
        memory_mib=job.board.memory_mib,
        budget_ms=job.budget_ms,
    )


def _faults(job: Job, limits: Sequence[calibrate.Limit]) -> tuple[FaultSpec, ...]:
    return tuple(
        FaultSpec(
            id=question.id,
            title=fault.title,
            words=question.words,
            normal_words=question.normal_words,
            threshold=limit.threshold,
            release=limit.release,
            calibration=limit.calibration,
            armed=limit.armed,
        )
        for question, fault, limit in zip(prompts.questions(job.recipe), job.recipe.faults, limits, strict=True)
    )


def _golden(album: Album, scores: NDArray[np.float32]) -> dict[str, int]:
    """File in the bundle -> index of the picture, whose bytes are copied as they came from the camera."""
    chosen = verify.pick_golden(scores, album.labels, GOLDEN_PICTURES)
    endings = ["png" if album.encoded[index].startswith(PNG_MAGIC) else "jpg" for index in chosen]
    return {
        f"golden/{row:02d}.{ending}": index for row, (index, ending) in enumerate(zip(chosen, endings, strict=True))
    }


def _proof(verified: Verified, golden: dict[str, int], *, on_target: bool) -> Proof:
    return Proof(
        parity=next(one.parity for one in verified.candidates if one.chosen),
        latency=verified.latency,
        peak_rss_mib=verified.peak_rss_mib,
        candidates=verified.candidates,
        golden=tuple(
            Golden(file=name, scores=tuple(float(score) for score in verified.scores[index]))
            for name, index in golden.items()
        ),
        golden_tolerance=verify.golden_tolerance(verified.execution.scheme),
        proven_on_target=on_target,
    )


def _manifest(job: Job, number: int, now: datetime) -> dict[str, Any]:
    return {
        "format": 1,
        "name": job.recipe.name,
        "version": number,
        "created": now,
        "tool": f"edge-export {_tool_version()}",
        "source": ModelSource(
            family=job.family.name,
            checkpoint=job.checkpoint.folder.name,
            checkpoint_sha256=load.checkpoint_sha256(job.checkpoint.folder),
            licence=job.recipe.licence,
            parameters=job.geometry.matmul_parameters + job.geometry.other_parameters,
        ),
        "input": job.input,
        "output": "scores",
    }


def _arming_notes(faults: Sequence[FaultSpec], limits: Sequence[calibrate.Limit]) -> list[str]:
    return [
        f"{fault.id} is not armed: {limit.reason}"
        for fault, limit in zip(faults, limits, strict=True)
        if limit.reason is not None
    ]


def _fold_notes(job: Job, album: Album) -> list[str]:
    """What serves for what where the head is in folds: its parts ``fit`` and ``calibrate`` do both."""
    if not album.folds:
        return []
    chosen = calibrate.calibrating(job.recipe, album)
    groups = len(set(calibrate.groups_of(album, chosen)))
    return [
        (
            f"The head has {job.recipe.head.folds} members, each fitted without one fold of the groups; a score is of their mean. Thresholds come "
            f"from {int(chosen.sum())} normal images of {groups} groups, each scored by the member that never saw its group, as images.csv has it."
        )
    ]


def weak_notes(faults: Sequence[FaultSpec]) -> list[str]:
    """Faults that the site's own test pictures show to be of no use; they stay armed, for the bound on false alarms holds."""
    found = []
    for fault in faults:
        evidence = fault.calibration
        if evidence is None or evidence.auroc is None or evidence.detection_measured is None:
            continue
        reasons = []
        if evidence.auroc < WEAK_AUROC:
            reasons.append(f"AUROC {evidence.auroc:.3f}, where 0.5 is a coin's")
        if evidence.detection_measured == 0:
            reasons.append("not one of its test pictures is flagged")
        if reasons:
            found.append(
                f"WEAK: {fault.id} cannot be relied on ({'; '.join(reasons)}). Use other words, add pictures of it with head.kind = 'fitted', or "
                "remove it."
            )
    return found


def _golden_notes(proof: Proof, faults: Sequence[FaultSpec]) -> list[str]:
    scores = np.array([golden.scores for golden in proof.golden], np.float32)
    pairs = verify.indistinct(scores, proof.golden_tolerance)
    return [f"The golden inputs cannot tell {faults[a].id} from {faults[b].id}." for a, b in pairs]


def _budget_notes(job: Job, proof: Proof) -> list[str]:
    """Refuse what is late on its own board; say it where the board is another machine, or only the tail is late."""
    frame = next(latency for latency in proof.latency if latency.scope == "frame")
    if frame.p50_ms > job.budget_ms and proof.proven_on_target:
        raise ExportError(
            f"picture to scores takes {frame.p50_ms:.1f} ms at p50 on this board, the budget is {job.budget_ms:g} ms: choose a smaller "
            "checkpoint, or raise budget_ms in the recipe."
        )
    if frame.p99_ms > job.budget_ms:
        return [f"p99 of {frame.p99_ms:.1f} ms on this machine is above the budget of {job.budget_ms:g} ms."]
    return []


def _speech_notes(spoken: Spoken | None) -> list[str]:
    if spoken is None:
        return []
    section, mib = spoken.section, sum(file.stat().st_size for file in spoken.files.values()) / 2**20
    same = f"{section.equal} of {section.compared} sentences are word for word the float checkpoint's"
    return [f"It can put a fault into words ({section.scheme}, {mib:.1f} MiB): {same}."]


def _tool_version() -> str:
    try:
        return version("plantflag")
    except PackageNotFoundError:
        return "unversioned"
