"""What scores say of a set: each fault's accuracy with intervals, what is named right, and the baselines beside it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.sets.figures import BASELINES, Floats, auroc, auroc_interval
from benchmarks.sets.pictures import Picture
from edge.manifest import FaultSpec
from exporters.proof.controls import logistic
from exporters.proof.shares import exact_interval

Flags = NDArray[np.bool_]


def rows(
    faults: Sequence[FaultSpec], pictures: Sequence[Picture], scores: Floats, trivial: Mapping[str, Floats]
) -> list[dict[str, object]]:
    """A row for each channel: scores [N, K] of the pictures against normal ones, or against other faults where the set has no normal ones.

    Args:
        faults: K channels.
        pictures: N of them.
        scores: by weights that never saw the picture.
        trivial: what a baseline says of the same pictures, as `baselines` gives it: [N, K].
    """
    named = [fault.id for fault in faults if fault.kind == "named"]
    groups = np.array([picture.group for picture in pictures])
    normal = np.array([not picture.faults for picture in pictures])
    made: list[dict[str, object]] = []
    for k, fault in enumerate(faults):
        shown = np.array([picture.shows(fault.id, named) for picture in pictures])
        ground = normal if normal.any() else ~shown
        used = shown | ground
        low, high = auroc_interval(scores[used, k], shown[used], list(groups[used]))
        row: dict[str, object] = {
            "channel": fault.id,
            "pictures": int(shown.sum()),
            "groups": len(set(groups[shown])),
            "AUROC": round(auroc(scores[shown, k], scores[ground, k]), 3),
            "95 % of groups": f"{low:.2f} to {high:.2f}",
            "found %": _share(scores[shown, k] >= fault.threshold),
            "false alarms %": _share(scores[ground, k] >= fault.threshold),
        }
        for name in BASELINES:
            row[name] = round(auroc(trivial[name][shown, k], trivial[name][ground, k]), 3)
        made.append(row)
    return made


def _share(hit: Flags) -> str:
    """A share in percent with its exact 95 % interval."""
    low, high = exact_interval(int(hit.sum()), len(hit))
    return f"{100 * hit.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})" if len(hit) else "-"


def named_right(faults: Sequence[FaultSpec], pictures: Sequence[Picture], scores: Floats) -> Flags:
    """Whether the fault with the highest score is the one that is shown: bool [n] of the pictures that show just one."""
    ids = [fault.id for fault in faults if fault.kind == "named"]
    single = [row for row, picture in enumerate(pictures) if len(picture.faults) == 1]
    best = scores[single][:, : len(ids)].argmax(axis=1)
    return np.array([ids[k] in pictures[row].faults for row, k in zip(single, best, strict=True)], np.bool_)


def baselines(
    faults: Sequence[FaultSpec],
    pictures: Sequence[Picture],
    features: Mapping[str, Floats],
    taught: Sequence[Picture] | None = None,
    learned: Mapping[str, Floats] | None = None,
) -> dict[str, Floats]:
    """What a logistic regression on trivial features says of each channel [N, K], fitted as the heads were: without the picture's own fold.

    Args:
        faults: K channels.
        pictures: N that are judged.
        features: of them, as `trivial_features` gives them.
        taught: other pictures to learn from instead; none: the pictures themselves, by folds.
        learned: features of those.
    """
    named = [fault.id for fault in faults if fault.kind == "named"]
    source = pictures if taught is None else taught
    fold = np.array([picture.fold for picture in source])
    usable = np.array([not picture.tested for picture in source])
    found = {name: np.zeros((len(pictures), len(faults))) for name in BASELINES}
    own = np.array([picture.fold for picture in pictures]) if taught is None else np.full(len(pictures), -1)
    for k, fault in enumerate(faults):
        labels = np.array([picture.shows(fault.id, named) for picture in source])
        for one in sorted(set(own.tolist())):
            train, rows_here = usable & (fold != one) if one >= 0 else usable, own == one
            if len(set(labels[train].tolist())) == 1:  # of one kind alone nothing is learned
                continue
            for name in BASELINES:
                rows_taught = (features if learned is None else learned)[name][train]
                found[name][rows_here, k] = logistic(rows_taught, labels[train], features[name][rows_here])
    return found


def worst(
    faults: Sequence[FaultSpec], pictures: Sequence[Picture], scores: Floats, count: int
) -> list[tuple[Picture, str, float]]:
    """The faulty pictures furthest below their channel's threshold and the normal ones furthest above any: picture, channel, margin."""
    named = [fault.id for fault in faults if fault.kind == "named"]
    limits = np.array([fault.threshold for fault in faults])
    missed, false = [], []
    for row, picture in enumerate(pictures):
        margins = scores[row] - limits
        asked = [k for k, fault in enumerate(faults) if picture.shows(fault.id, named)]
        if asked:
            k = max(asked, key=lambda index: float(margins[index]))
            missed.append((picture, faults[k].id, float(margins[k])))
        else:
            k = int(margins.argmax())
            false.append((picture, faults[k].id, float(margins[k])))
    missed.sort(key=lambda one: one[2])
    false.sort(key=lambda one: -one[2])
    return [*missed[:count], *false[:count]]
