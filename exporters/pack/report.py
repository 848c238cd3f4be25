"""The measurements for people: report.md, a table of images, and two pictures, all inside the bundle."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.manifest import Candidate, Crosscheck, FaultSpec, Latency, Proof, Target
from exporters.pack.drawing import new_figure
from exporters.pictures.images import Dataset
from exporters.proof.calibrate import auroc
from exporters.proof.controls import Control
from exporters.proof.shares import Share, cell

BINS = 40
SHIFT_S = 8 * 3600  # s, so frames at one a second
MEASURED = (
    "Measured on images that neither fitted nor calibrated anything (part `test` of images.csv). A share stands with its number of images and its "
    "exact 95 % interval (Clopper and Pearson); several images of one part make it less sure than that.\n"
)
CONTROLLED = (
    "What has nothing to do with a fault may still tell its images from normal ones: light, background, file or hour. The best of these is judged on "
    "images of groups that did not teach it.\n"
)


@dataclass(frozen=True, slots=True)
class Findings:
    """The content of a report: ``scores`` [N, K] of the chosen graph, and what the manifest has no field for.

    Of a head in folds, pictures that members were fitted on have the scores of the member that never saw them.
    """

    title: str
    dataset: Dataset
    scores: NDArray[np.float32]
    faults: tuple[FaultSpec, ...]
    target: Target
    proof: Proof
    notes: tuple[str, ...]
    controls: tuple[Control, ...] = ()
    next_steps: tuple[str, ...] = ()


def markdown(found: Findings) -> bytes:
    """The report."""
    budget = found.target.budget_ms
    parts = [
        f"# {found.title}\n",
        *_notes(found.notes),
        "## Faults\n",
        MEASURED,
        _table(
            (
                "fault",
                "armed",
                "threshold",
                "release",
                "normal images that calibrate",
                "false alarms allowed",
                "measured",
                "detected",
                "AUROC",
            ),
            [_fault_row(fault, _test_normal(found)) for fault in found.faults],
        ),
        _overall(found),
        "![scores](scores.png)\n",
        *_controls(found.controls),
        *(["## What to do next\n", *_notes(found.next_steps)] if found.next_steps else []),
        "## Candidates\n",
        f"Timed in turns on {_machine(found.proof.latency)}; budget {budget:g} ms.\n",
        _table(
            ("scheme", "threads", "MiB", "p50 ms", "p99 ms", "mean difference", "flips", "verdict"),
            [_candidate_row(candidate) for candidate in found.proof.candidates],
        ),
        "![candidates](candidates.png)\n",
        "## Latency of the chosen graph\n",
        _table(
            ("scope", "runs", "p50 ms", "p95 ms", "p99 ms", "max ms"),
            [
                (x.scope, x.runs, *(f"{v:.2f}" for v in (x.p50_ms, x.p95_ms, x.p99_ms, x.max_ms)))
                for x in found.proof.latency
            ],
        ),
        f"Peak memory of the measuring process: {found.proof.peak_rss_mib:.0f} MiB.\n",
        f"Proven on the target board: {proven(found.proof, budget)}.\n",
        *_crosscheck(found.proof.crosscheck),
    ]
    return "\n".join(parts).encode()


def proven(proof: Proof, budget_ms: float) -> str:
    """Whether the proof is one of the board: only if it was measured there, counts, and its tail keeps the budget."""
    if not proof.proven_on_target:
        return "no, latency is only indicative"
    if proof.doubts:
        return f"no: {'; '.join(proof.doubts)}"
    frame = next(latency for latency in proof.latency if latency.scope == "frame")
    if frame.p99_ms > budget_ms:
        return f"only in part: p50 of {frame.p50_ms:.1f} ms is within the budget of {budget_ms:g} ms, p99 of {frame.p99_ms:.1f} ms is not"
    return "yes"


def crosscheck_line(found: Crosscheck) -> str:
    """The comparison with another exporter in one sentence."""
    return (
        f"Another exporter agrees: evidence of {found.faults} faults in words on {found.pictures} pictures differs by "
        f"{found.largest_difference:.1e} at most, where it spreads over {found.spread:.1f} ({', '.join(found.versions)})."
    )


def _controls(controls: Sequence[Control]) -> list[str]:
    """The circumstance that tells each fault best, beside the head."""
    if not controls:
        return []
    head = (
        "fault",
        "best circumstance",
        "AUROC",
        "at least",
        "faulty",
        "normal",
        "on test images",
        "head there",
        "shortcut",
    )
    rows = [
        (
            *(one.fault, one.circumstance, f"{one.area:.3f}", f"{one.least:.3f}", one.faulty, one.normal),
            *("-" if area is None else f"{area:.3f}" for area in (one.beside, one.head)),
            one.verdict,
        )
        for one in controls
    ]
    return ["## Controls\n", CONTROLLED, _table(head, rows)]


def _crosscheck(found: Crosscheck | None) -> list[str]:
    if found is None:
        return []
    limits = "It compares the float graph of tower and words: neither quantization, nor a fitted head."
    return ["## Cross-check\n", f"{crosscheck_line(found)} {limits}\n"]


def image_table(found: Findings) -> bytes:
    """images.csv: every picture with its hash-free name, group, part, fold (of a head in folds), faults shown and scores."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    ids = [fault.id for fault in found.faults]
    writer.writerow(["picture", "group", "part", "fold", "faults", *ids])
    dataset = found.dataset
    folds = ["" if fold < 0 else str(fold) for fold in dataset.folds] or [""] * len(dataset.names)
    rows = zip(dataset.names, dataset.groups, dataset.parts, folds, dataset.labels, found.scores, strict=True)
    for name, group, part, fold, labels, scores in rows:
        shown = " ".join(ids[k] for k in np.flatnonzero(labels))
        writer.writerow([name, group, part, fold, shown, *(f"{score:.4f}" for score in scores)])
    return stream.getvalue().encode()


def plots(found: Findings) -> dict[str, bytes]:
    """scores.png: a histogram of scores per fault with its threshold; candidates.png: latency against size."""
    return {"scores.png": _scores_plot(found), "candidates.png": _candidates_plot(found)}


def any_fault(found: Findings) -> tuple[float | None, Share | None, Share | None]:
    """(AUROC of the largest armed-or-not margin over the threshold, false alarms, detected) of a frame, on test images."""
    limits = np.array([fault.threshold for fault in found.faults], np.float32)
    margin = (found.scores - limits).max(axis=1)
    test = found.dataset.part("test")
    normal, faulty = margin[test & found.dataset.normal], margin[test & found.dataset.labels.any(axis=1)]
    alarms = Share(int((normal >= 0).sum()), len(normal)) if len(normal) else None
    detected = Share(int((faulty >= 0).sum()), len(faulty)) if len(faulty) else None
    return auroc(faulty, normal), alarms, detected


def _notes(notes: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {note}" for note in notes) + "\n"] if notes else []


def _overall(found: Findings) -> str:
    area, alarms, detected = any_fault(found)
    if area is None:
        return ""
    test = found.dataset.part("test")
    groups = len({group for group, used in zip(found.dataset.groups, test, strict=True) if used})
    return (
        f"Any fault against normal: AUROC {area:.3f}; a normal frame raises some flag in {cell(alarms)}, a faulty one in "
        f"{cell(detected)} ({int(test.sum())} test images of {groups} groups).\n{flags_of_a_shift(alarms)}"
    )


def flags_of_a_shift(alarms: Share | None) -> str:
    """What a share of normal frames means in frames and hours; nothing where it was not measured."""
    if alarms is None:
        return ""
    share = alarms.found / alarms.count
    low, high = (1000 * end for end in alarms.interval)
    return (
        f"Of 1,000 normal frames {1000 * share:.0f} raise some flag ({low:.0f} to {high:.0f}); of a shift of 8 h at one frame a second "
        f"{SHIFT_S * share:,.0f}. Alarms are fewer: the site's delays and *n* of *m* ask for several.\n"
    )


def _test_normal(found: Findings) -> int:
    """Normal images that measured false alarms."""
    return int((found.dataset.part("test") & found.dataset.normal).sum())


def _fault_row(fault: FaultSpec, test_normal: int) -> tuple[object, ...]:
    evidence = fault.calibration
    bare = (fault.id, "yes" if fault.armed else "no", f"{fault.threshold:.3f}", f"{fault.release:.3f}")
    if evidence is None:
        return (*bare, 0, "-", "-", "-", "-")
    area = "-" if evidence.auroc is None else f"{evidence.auroc:.3f}"
    return (
        *bare,
        evidence.normal_images,
        _percent(evidence.false_alarm_bound),
        cell(Share.of(evidence.false_alarm_measured, test_normal)),
        cell(Share.of(evidence.detection_measured, evidence.fault_images)),
        area,
    )


def _candidate_name(one: Candidate) -> str:
    """Its scheme, and its provider where others were measured too."""
    return one.scheme + (f", {one.provider.removesuffix('ExecutionProvider')}" if one.provider else "")


def _candidate_row(one: Candidate) -> tuple[object, ...]:
    return (
        f"**{_candidate_name(one)}**" if one.chosen else _candidate_name(one),
        one.intra_op_threads,
        f"{one.size_bytes / 2**20:.2f}",
        f"{one.latency.p50_ms:.2f}",
        f"{one.latency.p99_ms:.2f}",
        f"{one.parity.mean_abs:.1e}",
        f"{one.parity.flips} of {one.parity.verdicts}",
        one.verdict,
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _machine(latency: Sequence[Latency]) -> str:
    return latency[0].machine if latency else "an unknown machine"


def _scores_plot(found: Findings) -> bytes:
    count = len(found.faults)
    columns = min(3, count)
    rows = -(-count // columns)
    figure = new_figure(figsize=(4.2 * columns, 2.6 * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    edges = np.linspace(0, 1, BINS + 1)
    dataset = found.dataset
    tested = dataset.part("test")
    used = tested if tested.any() else np.ones_like(tested)  # what taught or calibrated would flatter the head
    for index, (fault, axis) in enumerate(zip(found.faults, axes, strict=False)):
        shown, scores = dataset.labels[:, index], found.scores[:, index]
        others = ~shown & dataset.labels.any(axis=1)
        for chosen, name, colour in (
            (dataset.normal, "normal", "#4c78a8"),
            (others, "other fault", "#bbbbbb"),
            (shown, fault.title, "#e45756"),
            (np.full(len(scores), dataset.synthetic), "synthetic", "#72b7b2"),
        ):
            if (chosen & used).any():
                axis.hist(scores[chosen & used], bins=edges, density=True, alpha=0.6, color=colour, label=name)
        axis.axvline(fault.threshold, color="black", linewidth=1)
        axis.axvline(fault.release, color="black", linewidth=1, linestyle=":")
        axis.set_title(f"{fault.title}{'' if fault.armed else ' (not armed)'}", fontsize=9)
        axis.set_yticks([])
        axis.legend(fontsize=7, frameon=False)
    for axis in axes[count:]:
        axis.set_axis_off()
    images = "images of part test" if tested.any() else "all images, none is of part test"
    figure.supxlabel(f"score of {images} (line: threshold, dots: release)", fontsize=9)
    return _png(figure)


def _candidates_plot(found: Findings) -> bytes:
    figure = new_figure(figsize=(6.4, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    names = [f"{_candidate_name(one)}, {one.intra_op_threads} thr." for one in found.proof.candidates]
    colours = ["#e45756" if one.chosen else "#4c78a8" for one in found.proof.candidates]
    p50 = np.array([one.latency.p50_ms for one in found.proof.candidates])
    p99 = np.array([one.latency.p99_ms for one in found.proof.candidates])
    left.barh(names, p50, color=colours, xerr=(np.zeros_like(p50), np.maximum(p99 - p50, 0)), error_kw={"linewidth": 1})
    left.set_xlabel("inference, ms (bar p50, whisker p99)", fontsize=8)
    right.barh(names, [one.size_bytes / 2**20 for one in found.proof.candidates], color=colours)
    right.set_xlabel("size, MiB", fontsize=8)
    left.invert_yaxis()
    for axis in (left, right):
        axis.tick_params(labelsize=8)
    return _png(figure)


def _png(figure: object) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})  # type: ignore[attr-defined] # a matplotlib Figure
    return stream.getvalue()
