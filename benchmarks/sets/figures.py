"""Figures of merit over scores: AUROC with an interval over groups, and trivial baselines to beat. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.inference.preprocess import decode_rgb

Floats = NDArray[np.float64]
RESAMPLES = 500
BASELINES = ("five grey statistics", "16x12 grey and edge maps")


def auroc(positive: Floats, negative: Floats) -> float:
    """Chance that a positive scores above a negative, ties half; NaN without both."""
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / 2 / len(negative))


def auroc_interval(scores: Floats, positive: NDArray[np.bool_], groups: Sequence[str]) -> tuple[float, float]:
    """95 % interval of the AUROC when groups, not pictures, are drawn again: views of one part are no independent evidence.

    Args:
        scores: float64 [N].
        positive: bool [N].
        groups: N names.
    """
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(np.array(groups) == group) for group in sorted(set(groups))]
    found = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([members[index] for index in rng.integers(0, len(members), len(members))])
        value = auroc(scores[drawn][positive[drawn]], scores[drawn][~positive[drawn]])
        if np.isfinite(value):
            found.append(value)
    low, high = np.percentile(found, [2.5, 97.5]) if found else (float("nan"), float("nan"))
    return float(low), float(high)


def trivial_features(encoded: Sequence[bytes]) -> dict[str, Floats]:
    """What the baselines see of N pictures: five global grey statistics, and coarse grey and edge maps."""
    statistics, maps = [], []
    for picture in encoded:
        grey = decode_rgb(picture)[:, :, 0].astype(np.float64)
        statistics.append([grey.mean(), grey.std(), *np.percentile(grey, [5, 50, 95])])
        rows, columns = np.gradient(grey)
        small = [cv2.resize(layer, (16, 12), interpolation=cv2.INTER_AREA) for layer in (grey, np.hypot(rows, columns))]
        maps.append(np.concatenate([layer.ravel() for layer in small]))
    return dict(zip(BASELINES, (np.array(statistics), np.array(maps)), strict=True))
