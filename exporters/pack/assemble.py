"""Assembles the manifest, the report and the golden inputs of a bundle from what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from edge.errors import ExportError
from edge.manifest import (
    Crosscheck,
    FaultSpec,
    Golden,
    ModelSource,
    Proof,
    Target,
    one_sided,
    out_of_reach,
    sure_verdicts,
)
from edge.system.board import machine_facts
from exporters import load
from exporters.device import mismatches
from exporters.graph.export import GRAPH_FILE, weights_beside
from exporters.handed_on import Verified
from exporters.job import Job
from exporters.model import SpeechGraphs
from exporters.pack import page, report, write
from exporters.pictures.circumstances import circumstances
from exporters.pictures.images import Dataset
from exporters.proof import calibrate, verify
from exporters.proof.controls import Control, control
from exporters.proof.next_steps import next_steps
from exporters.proof.shares import ENOUGH
from exporters.recipe import UNNAMED

GOLDEN_PICTURES = 8
WEAK_AUROC = 0.6
RIGHTS = ("LICENSE", "NOTICE")  # of a checkpoint, as `edge-export tower` writes them
PNG_MAGIC = b"\x89PNG"


def assemble(
    job: Job,
    dataset: Dataset,
    verified: Verified,
    *,
    out: Path,
    number: int,
    now: datetime,
    notes: Sequence[str],
    speech: SpeechGraphs | None = None,
    crosschecked: Crosscheck | None = None,
) -> Path:
    """Write the bundle and return its folder.

    Args:
        job: what was asked.
        dataset: the images.
        verified: the chosen graph and what was measured of it.
        out: folder that the bundle is created in.
        number: the bundle's version.
        now: creation time.
        notes: more lines for the report.
        speech: the graphs that generate the bundle's explanations.
        crosschecked: the comparison with another exporter, where one was made.

    Raises:
        ExportError: too large for its own board, or the folder cannot be written as a bundle.
    """
    _check_memory(job, verified)
    limits = calibrate.site_limits(job.recipe, dataset, verified.unseen, verified.noise)
    faults = _faults(job, limits)
    lacking = _lacking(job, verified)
    golden = _golden(dataset, verified, faults)
    proof = _proof(job, verified, golden, faults, on_target=not lacking).model_copy(update={"crosscheck": crosschecked})
    target = _target(job)
    controls = _controls(dataset, faults, verified)
    findings = report.Findings(
        title=f"{job.recipe.name} version {number} for {job.board.title}",
        dataset=dataset,
        scores=verified.unseen,
        faults=faults,
        target=target,
        proof=proof,
        notes=(
            *(one.note for one in controls if one.note is not None),
            *notes,
            *_fold_notes(job, dataset),
            *_fault_notes(faults, limits),
            *_proof_notes(job, proof, faults, lacking),
            *_speech_notes(speech),
        ),
        controls=controls,
        next_steps=next_steps(job.recipe, faults, int((dataset.part("test") & dataset.normal).sum())),
    )
    files: dict[str, bytes | Path] = {
        GRAPH_FILE: verified.graph,
        "recipe.toml": job.recipe_file,
        **_report_files(findings),
        **{name: dataset.encoded[index] for name, index in golden.items()},
    }
    files |= _more_files(verified, speech) | _rights(job.checkpoint.folder)
    manifest = _manifest(job, number, now) | {
        "speech": None if speech is None else speech.section,
        "target": target,
        "execution": verified.execution.model_copy(update={"graph": GRAPH_FILE}),
        "faults": faults,
        "proof": proof,
    }
    return write.pack(out, f"{job.recipe.name}-v{number}", files, manifest)


def _report_files(findings: report.Findings) -> dict[str, bytes]:
    """The report in its forms."""
    text, plots = report.markdown(findings), report.plots(findings)
    return {
        "report.md": text,
        "report.html": page.page(text.decode(), plots, findings.dataset, findings.scores, findings.faults),
        "images.csv": report.image_table(findings),
        **plots,
    }


def _fault_notes(faults: Sequence[FaultSpec], limits: Sequence[calibrate.Limit]) -> list[str]:
    return [*_arming_notes(faults, limits), *weak_notes(faults), *few_notes(faults)]


def _proof_notes(job: Job, proof: Proof, faults: Sequence[FaultSpec], lacking: Sequence[str]) -> list[str]:
    unproven = [f"Not proven on the target board: {reason}." for reason in lacking]
    return [*unproven, *_golden_notes(proof, faults), *_budget_notes(job, proof)]


def _controls(dataset: Dataset, faults: Sequence[FaultSpec], verified: Verified) -> tuple[Control, ...]:
    """What tells each fault apart beside the fault itself, on the site's own pictures."""
    if not dataset.normal.any():
        return ()
    known = circumstances(dataset.encoded, dataset.names, dataset.frames)
    judged = (
        control(
            fault.id, known,
            faulty=dataset.labels[:, column], normal=dataset.normal, test=dataset.part("test"),
            groups=dataset.groups, scores=verified.unseen[:, column],
        )
        for column, fault in enumerate(faults)
    )  # fmt: skip
    return tuple(one for one in judged if one is not None)


def _lacking(job: Job, verified: Verified) -> list[str]:
    """Why this measurement does not represent the board; empty where it ran on it."""
    lacking = mismatches(job.board, machine_facts())
    if job.provider != job.board.providers[0]:
        lacking.append(f"the board prefers {job.board.providers[0]}, this ran on {verified.execution.provider}")
    return lacking


def _more_files(verified: Verified, speech: SpeechGraphs | None) -> dict[str, bytes | Path]:
    """What only some bundles hold: weights beside the graph, and the graphs that generate explanations."""
    weights = weights_beside(verified.graph)
    files: dict[str, bytes | Path] = {f"{GRAPH_FILE}.data": weights} if weights.exists() else {}
    return files if speech is None else files | dict(speech.files)


def _rights(checkpoint: Path) -> dict[str, bytes | Path]:
    """The licence of the weights and the notice of whose work they are go where the weights go."""
    return {name: checkpoint / name for name in RIGHTS if (checkpoint / name).is_file()}


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
            kind="unnamed" if question.id == UNNAMED else "named",
            title=fault.title,
            words=question.words,
            normal_words=question.normal_words,
            threshold=limit.threshold,
            release=limit.release,
            calibration=limit.calibration,
            armed=limit.armed,
        )
        for question, fault, limit in zip(job.questions, job.recipe.channels, limits, strict=True)
    )


def _golden(dataset: Dataset, verified: Verified, faults: Sequence[FaultSpec]) -> dict[str, int]:
    """File in the bundle -> index of the picture, whose bytes are copied as they came from the camera."""
    tolerance = verify.golden_tolerance(verified.execution.scheme)
    limits = np.array([fault.threshold for fault in faults], np.float64)
    armed = np.array([fault.armed for fault in faults])
    around = verify.pick_straddling(verified.scores, limits, armed, tolerance)
    chosen = verify.pick_golden(verified.scores, dataset.labels, max(GOLDEN_PICTURES, len(around)), around)
    endings = ["png" if dataset.encoded[index].startswith(PNG_MAGIC) else "jpg" for index in chosen]
    return {
        f"golden/{row:02d}.{ending}": index for row, (index, ending) in enumerate(zip(chosen, endings, strict=True))
    }


def _proof(
    job: Job, verified: Verified, golden: dict[str, int], faults: Sequence[FaultSpec], *, on_target: bool
) -> Proof:
    tolerance = verify.golden_tolerance(verified.execution.scheme)
    scores = {name: tuple(float(score) for score in verified.scores[index]) for name, index in golden.items()}
    verdicts = {name: sure_verdicts(faults, found, tolerance) for name, found in scores.items()}
    proof = Proof(
        parity=next(one.parity for one in verified.candidates if one.chosen),
        latency=verified.latency,
        peak_rss_mib=verified.peak_rss_mib,
        candidates=verified.candidates,
        golden=tuple(Golden(file=name, scores=found, verdicts=verdicts[name]) for name, found in scores.items()),
        golden_tolerance=tolerance,
        proven_on_target=on_target,
        one_sided=one_sided(faults, list(verdicts.values())),
    )
    return proof.model_copy(update={"doubts": find_doubts(job.budget_ms, proof, verified.others_cores)})


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


def _fold_notes(job: Job, dataset: Dataset) -> list[str]:
    """What serves for what where the head is in folds: its parts ``fit`` and ``calibrate`` do both."""
    if not dataset.folds:
        return []
    chosen = calibrate.calibrating(job.recipe, dataset)
    groups = len(set(calibrate.groups_of(dataset, chosen)))
    return [
        (
            f"The head has {job.recipe.head.folds} members, each fitted without one fold of the groups; a score is of their mean. Thresholds come "
            f"from {int(chosen.sum())} normal images of {groups} groups, each scored by the member that never saw its group, as images.csv has it."
        )
    ]


def few_notes(faults: Sequence[FaultSpec]) -> list[str]:
    """Faults with too few test pictures for any adjective: their numbers alone, in one line."""
    few = [
        f"{fault.id} ({fault.calibration.fault_images}{'' if fault.calibration.auroc is None else f', AUROC {fault.calibration.auroc:.3f}'})"
        for fault in faults
        if fault.calibration is not None and fault.calibration.fault_images < ENOUGH
    ]
    return (
        [f"TOO FEW test pictures to call a fault good or weak, {ENOUGH} are needed: {', '.join(few)}."] if few else []
    )


def weak_notes(faults: Sequence[FaultSpec]) -> list[str]:
    """Faults that enough of the site's own test pictures show to be of no use; they stay armed, for the bound on false alarms holds."""
    found = []
    for fault in faults:
        evidence = fault.calibration
        if evidence is None or evidence.auroc is None or evidence.detection_measured is None:
            continue
        if evidence.fault_images < ENOUGH:
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
    return [
        *(f"The golden inputs cannot tell {faults[a].id} from {faults[b].id}." for a, b in pairs),
        *(
            f"The threshold of {fault} is proven on one side only: no picture scores surely above it, or none surely below, so the device would not "
            "notice if it were moved. Add pictures of the fault."
            for fault in proof.one_sided or ()
        ),
        *(
            f"The device disarms {fault}: no golden input reaches its threshold, which is too near to 1 for any to be surely above it."
            for fault in out_of_reach(faults, proof.golden, proof.golden_tolerance)
        ),
    ]


def find_doubts(budget_ms: float, proof: Proof, others_cores: float) -> tuple[str, ...]:
    """Why a measurement on the board itself does not prove the budget: the median is over it, or only the tail while others took the processor."""
    frame = next(latency for latency in proof.latency if latency.scope == "frame")
    late = frame.p50_ms > budget_ms or (frame.p99_ms > budget_ms and others_cores > 0)
    if not proof.proven_on_target or not late:
        return ()
    took = f"picture to scores took {frame.p50_ms:.1f} ms at p50 and {frame.p99_ms:.1f} at p99, the budget is {budget_ms:g} ms"
    if others_cores:
        return (
            f"{took}, while others took {others_cores:.1f} cores of this machine: export it again while it is quiet",
        )
    return (f"{took}, on a quiet board: choose a smaller checkpoint, or raise budget_ms in the recipe",)


def _budget_notes(job: Job, proof: Proof) -> list[str]:
    """What of the budget is not proven: a bundle that is late on its own board is kept, so that no work is lost, and goes live only if it is asked for."""
    frame = next(latency for latency in proof.latency if latency.scope == "frame")
    if proof.doubts:
        return [
            f"NOT PROVEN: {'; '.join(proof.doubts)}. The daemon refuses this bundle unless runtime.allow_unproven is set."
        ]
    if frame.p99_ms > job.budget_ms:
        return [f"p99 of {frame.p99_ms:.1f} ms on this machine is above the budget of {job.budget_ms:g} ms."]
    return []


def _speech_notes(speech: SpeechGraphs | None) -> list[str]:
    if speech is None:
        return []
    section, mib = speech.section, sum(file.stat().st_size for file in speech.files.values()) / 2**20
    same = f"{section.equal} of {section.compared} sentences are word for word the float checkpoint's"
    return [f"It can put a fault into words ({section.scheme}, {mib:.1f} MiB): {same}."]


def _tool_version() -> str:
    try:
        return version("plantflag")
    except PackageNotFoundError:
        return "unversioned"
