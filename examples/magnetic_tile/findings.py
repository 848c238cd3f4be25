"""What a replay says: accuracy per fault with its interval, false alarms against the stated bound, latency, and how far from good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Manifest
from examples.magnetic_tile.figures import BASELINES, auroc, auroc_interval, logistic, trivial_features
from examples.magnetic_tile.pictures import FAULTS, FREE, Picture
from examples.magnetic_tile.replay import Judged, Replay

ANY = "any_fault"
GOOD_AUROC, GOOD_DETECTION = 0.97, 0.95  # what a line would want before it trusts the flag; our aim, not a standard's
README_BASELINES = (0.55, 0.58)  # of the set's README, on its own held-out pictures


def findings(
    manifest: Manifest, pictures: Sequence[Picture], replay: Replay, baselines: Mapping[str, float]
) -> dict[str, Any]:
    """Everything that the replay showed, as plain data."""
    kept = [(picture, one) for picture, one in zip(pictures, replay.judged, strict=True) if one is not None]
    latency_ms = np.array([one.latency_ms for _, one in kept])
    return {
        "bundle": f"{manifest.name} version {manifest.version}, {manifest.execution.scheme}, "
        f"{manifest.execution.intra_op_threads} thread(s)",
        "pictures": len(pictures),
        "tiles": len({picture.tile for picture in pictures}),
        "judged": len(kept),
        "faults": [_fault(manifest, fault.id, kept) for fault in manifest.faults],
        "any_flag_on_free": _any_rate(kept, free=True),
        "any_flag_on_faulty": _any_rate(kept, free=False),
        "baselines": dict(baselines),
        "latency_ms": {
            name: float(np.percentile(latency_ms, share, method="inverted_cdf"))
            for name, share in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100))
        },
        "budget_ms": replay.budget_ms,
        "ledger": replay.ledger,
        "realtime": replay.realtime,
    }


def scores_of(kept: Sequence[tuple[Picture, Judged]], fault: str) -> NDArray[np.float64]:
    """The daemon's scores for one fault: float64 [N]."""
    return np.array([one.scores[fault] for _, one in kept])


def shows(kept: Sequence[tuple[Picture, Judged]], fault: str) -> NDArray[np.bool_]:
    """Which pictures show the fault: bool [N]; any_fault: any of them."""
    return np.array([picture.label != FREE if fault == ANY else picture.label == fault for picture, _ in kept])


def free(kept: Sequence[tuple[Picture, Judged]]) -> NDArray[np.bool_]:
    """Which pictures are free of faults: bool [N]."""
    return np.array([picture.label == FREE for picture, _ in kept])


def _fault(manifest: Manifest, fault: str, kept: Sequence[tuple[Picture, Judged]]) -> dict[str, Any]:
    spec = next(item for item in manifest.faults if item.id == fault)
    scores, positive, normal = scores_of(kept, fault), shows(kept, fault), free(kept)
    used = positive | normal
    tiles = [picture.tile for (picture, _), use in zip(kept, used, strict=True) if use]
    low, high = auroc_interval(scores[used], positive[used], tiles)
    flagged = np.array([bool(one.on[fault]) for _, one in kept])
    return {
        "fault": fault,
        "pictures": int(positive.sum()),
        "tiles": len({picture.tile for (picture, _), use in zip(kept, positive, strict=True) if use}),
        "auroc_against_free": auroc(scores[positive], scores[normal]),
        "auroc_interval": [low, high],
        "threshold": spec.threshold,
        "bound": spec.calibration.false_alarm_bound if spec.calibration else None,
        "false_alarms": float((scores[normal] >= spec.threshold).mean()),
        "false_alarms_flagged": float(flagged[normal].mean()),
        "detected": float((scores[positive] >= spec.threshold).mean()) if positive.any() else None,
        "armed": spec.armed,
    }


def _any_rate(kept: Sequence[tuple[Picture, Judged]], *, free: bool) -> float:
    rows = [any(one.on.values()) for picture, one in kept if (picture.label == FREE) is free]
    return float(np.mean(rows)) if rows else float("nan")


def trivial(fitted_on: Sequence[Picture], pictures: Sequence[Picture]) -> dict[str, float]:
    """AUROC fault-vs-free of the trivial baselines, fitted on one set of pictures and tried on another."""
    train = trivial_features([picture.file.read_bytes() for picture in fitted_on])
    test = trivial_features([picture.file.read_bytes() for picture in pictures])
    taught = np.array([picture.label != FREE for picture in fitted_on])
    truth = np.array([picture.label != FREE for picture in pictures])
    found = {}
    for name in BASELINES:
        scores = logistic(train[name], taught, test[name])
        found[name] = auroc(scores[truth], scores[~truth])
    return found


def text(found: Mapping[str, Any], title: str, lines: Sequence[str]) -> str:
    """For people, as Markdown."""
    rows = [
        f"| {row['fault']} | {row['pictures']} / {row['tiles']} | {row['auroc_against_free']:.3f} | "
        f"{row['auroc_interval'][0]:.2f}..{row['auroc_interval'][1]:.2f} | {row['false_alarms']:.1%} | "
        f"{'none' if row['bound'] is None else format(row['bound'], '.0%')} | "
        f"{'-' if row['detected'] is None else format(row['detected'], '.0%')} | {'yes' if row['armed'] else 'no'} |"
        for row in found["faults"]
    ]
    late, ledger = found["latency_ms"], found["ledger"]
    drops = ", ".join(f"{count} {reason}" for reason, count in ledger["dropped"].items() if count) or "none"
    baselines = ", ".join(f"{name} {value:.2f}" for name, value in found["baselines"].items())
    return "\n".join(
        [
            f"# {title}",
            "",
            *lines,
            "",
            f"Bundle: {found['bundle']}. {found['pictures']} pictures of {found['tiles']} tiles replayed, {found['judged']} judged.",
            "",
            "| fault | pictures / tiles | AUROC against free | 95 % interval (over tiles) | false alarms on free | stated bound | detected at that bound | armed |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"- A free picture raises any of the {len(found['faults'])} flags in {found['any_flag_on_free']:.1%} of cases, a faulty one in {found['any_flag_on_faulty']:.1%}.",
            f"- Trivial baselines, fault against free, same pictures: {baselines}. In the set's README, on its own held-out pictures: "
            + " and ".join(f"{value:.2f}" for value in README_BASELINES)
            + ".",
            f"- Latency, received -> flag handed over: p50 {late['p50']:.1f}, p95 {late['p95']:.1f}, p99 {late['p99']:.1f}, max {late['max']:.1f} ms.",
            f"- Budget {found['budget_ms']:g} ms, misses {ledger['misses']}, drops {drops}; inference thread {found['realtime']}.",
            f"- {distance(found)}",
            "",
        ]
    )


def distance(found: Mapping[str, Any]) -> str:
    """How far from good, in one sentence."""
    row = next((row for row in found["faults"] if row["fault"] == ANY), None)
    if row is None:
        return "This bundle has no channel for any fault."
    detected = row["detected"] or 0.0
    return (
        f"How far from good: a line would want an AUROC of {GOOD_AUROC} and {GOOD_DETECTION:.0%} of faults flagged at the stated bound. "
        f"This has {row['auroc_against_free']:.2f} and {detected:.0%}: "
        + (
            "good enough by that measure."
            if row["auroc_against_free"] >= GOOD_AUROC and detected >= GOOD_DETECTION
            else f"it misses {1 - detected:.0%} of faulty pictures. Do not trust it alone."
        )
    )


def plot(path: Path, manifest: Manifest, pictures: Sequence[Picture], replay: Replay) -> None:
    """ROC curves of all faults, and a histogram of scores for each."""
    import matplotlib as mpl  # noqa: PLC0415 - after the measurement: it is heavy

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    kept = [(picture, one) for picture, one in zip(pictures, replay.judged, strict=True) if one is not None]
    ids = [fault.id for fault in manifest.faults]
    figure, axes = plt.subplots(2, 4, figsize=(15, 7), layout="constrained")
    roc, *histograms = axes.ravel()
    normal = free(kept)
    for fault, axis in zip(ids, histograms, strict=False):
        scores, positive = scores_of(kept, fault), shows(kept, fault)
        limits = np.sort(np.concatenate([[-1.0, 2.0], scores]))[::-1]
        rates = [[(scores[who] >= limit).mean() for limit in limits] for who in (normal, positive)]
        value = auroc(scores[positive], scores[normal])
        roc.plot(rates[0], rates[1], label=f"{fault} {value:.2f}", linewidth=2.5 if fault == ANY else 1.2)
        threshold = next(item.threshold for item in manifest.faults if item.id == fault)
        bins = np.linspace(0, 1, 41)
        axis.hist(scores[normal], bins, density=True, alpha=0.6, label=f"free ({normal.sum()})")
        axis.hist(scores[positive], bins, density=True, alpha=0.6, label=f"{fault} ({positive.sum()})")
        axis.axvline(threshold, color="black", linestyle="--", linewidth=1, label=f"threshold {threshold:.2f}")
        axis.set(title=fault, xlabel="score", yticks=[])
        axis.legend(fontsize=8)
    roc.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    roc.set(xlabel="free pictures flagged", ylabel="faulty pictures flagged", title="ROC against free, AUROC")
    roc.legend(fontsize=8)
    for axis in histograms[len(ids) :]:
        axis.set_visible(False)
    figure.savefig(path, dpi=100)


__all__ = ["FAULTS", "distance", "findings", "plot", "text", "trivial"]
