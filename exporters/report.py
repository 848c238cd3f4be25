"""What was measured, for people: report.md, a table of images, and two pictures, all inside the bundle."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Candidate, FaultSpec, Latency, Proof, Target
from exporters.calibrate import auroc
from exporters.images import Album

BINS = 40


@dataclass(frozen=True, slots=True)
class Findings:
    """All that a report tells: ``scores`` [N, K] of the chosen graph, and what the manifest has no field for.

    Of a head in folds, pictures that members were fitted on have the scores of the member that never saw them.
    """

    title: str
    album: Album
    scores: NDArray[np.float32]
    faults: tuple[FaultSpec, ...]
    target: Target
    proof: Proof
    notes: tuple[str, ...]


def markdown(found: Findings) -> bytes:
    """The report."""
    budget = found.target.budget_ms
    parts = [
        f"# {found.title}\n",
        *_notes(found.notes),
        "## Faults\n",
        "Measured on images that neither fitted nor calibrated anything (part `test` of images.csv).\n",
        _table(
            (
                "fault",
                "armed",
                "threshold",
                "release",
                "normal images",
                "false alarms allowed",
                "measured",
                "detected",
                "AUROC",
            ),
            [_fault_row(fault) for fault in found.faults],
        ),
        _overall(found),
        "![scores](scores.png)\n",
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
        f"Proven on the target board: {'yes' if found.proof.proven_on_target else 'no, latency is only indicative'}.\n",
    ]
    return "\n".join(parts).encode()


def image_table(found: Findings) -> bytes:
    """images.csv: every picture with its hash-free name, group, part, fold (of a head in folds), faults shown and scores."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    ids = [fault.id for fault in found.faults]
    writer.writerow(["picture", "group", "part", "fold", "faults", *ids])
    album = found.album
    folds = ["" if fold < 0 else str(fold) for fold in album.folds] or [""] * len(album.names)
    rows = zip(album.names, album.groups, album.parts, folds, album.labels, found.scores, strict=True)
    for name, group, part, fold, labels, scores in rows:
        shown = " ".join(ids[k] for k in np.flatnonzero(labels))
        writer.writerow([name, group, part, fold, shown, *(f"{score:.4f}" for score in scores)])
    return stream.getvalue().encode()


def plots(found: Findings) -> dict[str, bytes]:
    """scores.png: a histogram of scores per fault with its threshold; candidates.png: latency against size."""
    import matplotlib as mpl  # noqa: PLC0415 - heavy, and only reports draw

    mpl.use("Agg")
    return {"scores.png": _scores_plot(found), "candidates.png": _candidates_plot(found)}


def any_fault(found: Findings) -> tuple[float | None, float | None, float | None]:
    """(AUROC of the largest armed-or-not margin over the threshold, false-alarm share, detected share) of a frame, on test images."""
    limits = np.array([fault.threshold for fault in found.faults], np.float32)
    margin = (found.scores - limits).max(axis=1)
    test = found.album.part("test")
    normal, faulty = margin[test & found.album.normal], margin[test & found.album.labels.any(axis=1)]
    alarms = float((normal >= 0).mean()) if len(normal) else None
    detected = float((faulty >= 0).mean()) if len(faulty) else None
    return auroc(faulty, normal), alarms, detected


def _notes(notes: Sequence[str]) -> list[str]:
    return ["\n".join(f"- {note}" for note in notes) + "\n"] if notes else []


def _overall(found: Findings) -> str:
    area, alarms, detected = any_fault(found)
    if area is None:
        return ""
    test = found.album.part("test")
    groups = len({group for group, used in zip(found.album.groups, test, strict=True) if used})
    return (
        f"Any fault against normal: AUROC {area:.3f}; a normal frame raises some flag in {_percent(alarms)} of cases, a faulty one in "
        f"{_percent(detected)} ({int(test.sum())} test images of {groups} groups).\n"
    )


def _fault_row(fault: FaultSpec) -> tuple[object, ...]:
    evidence = fault.calibration
    bare = (fault.id, "yes" if fault.armed else "no", f"{fault.threshold:.3f}", f"{fault.release:.3f}")
    if evidence is None:
        return (*bare, 0, "-", "-", "-", "-")
    area = "-" if evidence.auroc is None else f"{evidence.auroc:.3f}"
    return (
        *bare,
        evidence.normal_images,
        _percent(evidence.false_alarm_bound),
        _percent(evidence.false_alarm_measured),
        _percent(evidence.detection_measured),
        area,
    )


def _candidate_row(one: Candidate) -> tuple[object, ...]:
    return (
        f"**{one.scheme}**" if one.chosen else one.scheme,
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
    from matplotlib.figure import Figure  # noqa: PLC0415 - heavy, and only reports draw

    count = len(found.faults)
    columns = min(3, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(4.2 * columns, 2.6 * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    edges = np.linspace(0, 1, BINS + 1)
    album = found.album
    for index, (fault, axis) in enumerate(zip(found.faults, axes, strict=False)):
        shown, scores = album.labels[:, index], found.scores[:, index]
        others = ~shown & album.labels.any(axis=1)
        for chosen, name, colour in (
            (album.normal, "normal", "#4c78a8"),
            (others, "other fault", "#bbbbbb"),
            (shown, fault.title, "#e45756"),
            (np.full(len(scores), album.synthetic), "synthetic", "#72b7b2"),
        ):
            if chosen.any():
                axis.hist(scores[chosen], bins=edges, density=True, alpha=0.6, color=colour, label=name)
        axis.axvline(fault.threshold, color="black", linewidth=1)
        axis.axvline(fault.release, color="black", linewidth=1, linestyle=":")
        axis.set_title(f"{fault.title}{'' if fault.armed else ' (not armed)'}", fontsize=9)
        axis.set_yticks([])
        axis.legend(fontsize=7, frameon=False)
    for axis in axes[count:]:
        axis.set_axis_off()
    figure.supxlabel("score (line: threshold, dots: release)", fontsize=9)
    return _png(figure)


def _candidates_plot(found: Findings) -> bytes:
    from matplotlib.figure import Figure  # noqa: PLC0415 - heavy, and only reports draw

    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
    names = [f"{one.scheme}, {one.intra_op_threads} thr." for one in found.proof.candidates]
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
