"""Figures of merit over scores: AUROC with an interval over tiles, alarm rates, and the trivial baselines to beat. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.preprocess import decode_rgb

Floats = NDArray[np.float64]
RESAMPLES = 500
RIDGE = 1.0  # of the baselines' logistic regression
BASELINES = ("five grey statistics", "16x12 grey and edge maps")


def auroc(positive: Floats, negative: Floats) -> float:
    """Chance that a positive scores above a negative, ties half; NaN without both."""
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, "left") + np.searchsorted(ordered, positive, "right")
    return float(below.mean() / 2 / len(negative))


def auroc_interval(scores: Floats, positive: NDArray[np.bool_], tiles: Sequence[str]) -> tuple[float, float]:
    """95 % interval of the AUROC when tiles, not pictures, are drawn again: views of one tile are no independent evidence.

    Args:
        scores: float64 [N].
        positive: bool [N].
        tiles: N tile names.
    """
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(np.array(tiles) == tile) for tile in sorted(set(tiles))]
    found = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([members[index] for index in rng.integers(0, len(members), len(members))])
        value = auroc(scores[drawn][positive[drawn]], scores[drawn][~positive[drawn]])
        if np.isfinite(value):
            found.append(value)
    low, high = np.percentile(found, [2.5, 97.5]) if found else (float("nan"), float("nan"))
    return float(low), float(high)


def logistic(train: Floats, labels: NDArray[np.bool_], test: Floats) -> Floats:
    """Scores of test rows by a ridge logistic regression: train [N, D], labels [N], test [M, D] -> [M]."""
    mean, std = train.mean(axis=0), train.std(axis=0) + 1e-9
    rows = np.hstack([(train - mean) / std, np.ones((len(train), 1))])
    weights = np.zeros(rows.shape[1])
    share = labels.mean()
    balance = np.where(labels, 0.5 / share, 0.5 / (1 - share))
    penalty = RIDGE * np.eye(rows.shape[1])
    penalty[-1, -1] = 1e-6
    for _ in range(25):  # Newton's method; converges in about ten steps
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (balance * (chance - labels)) + penalty @ weights
        bend = (rows * (balance * chance * (1 - chance))[:, None]).T @ rows + penalty
        weights -= np.linalg.solve(bend, slope)
    tested: Floats = np.hstack([(test - mean) / std, np.ones((len(test), 1))]) @ weights
    return tested


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
