"""Figures of merit are right where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.sets.figures import BASELINES, auroc, auroc_interval, trivial_features
from edge.inference.preprocess import encode_jpeg


def test_auroc_of_known_orders() -> None:
    """Perfect order is 1, reversed 0, all alike a half; ties count half."""
    low, high = np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.9])
    assert auroc(high, low) == 1.0
    assert auroc(low, high) == 0.0
    assert auroc(np.ones(4), np.ones(3)) == 0.5
    assert auroc(np.array([0.2]), low) == pytest.approx(0.5)
    assert np.isnan(auroc(np.array([]), low))


def test_the_interval_is_wider_when_pictures_share_tiles() -> None:
    """The same scores on few tiles say less than on many."""
    rng = np.random.default_rng(0)
    positive = np.arange(200) % 2 == 0
    scores = rng.normal(size=200) + positive
    many = auroc_interval(scores, positive, [str(index) for index in range(200)])
    scores_of_tiles = np.repeat(rng.normal(size=10) + (np.arange(10) % 2 == 0), 20)
    few = auroc_interval(
        scores_of_tiles, np.repeat(np.arange(10) % 2 == 0, 20), [str(index // 20) for index in range(200)]
    )
    assert many[0] < auroc(scores[positive], scores[~positive]) < many[1]
    assert few[1] - few[0] > many[1] - many[0]


def test_trivial_features_tell_bright_from_dark() -> None:
    """Both sets of features are finite, one row a picture, and follow the picture's brightness."""
    pictures = [encode_jpeg(np.full((40, 60, 3), value, np.uint8)) for value in (20, 200)]
    found = trivial_features(pictures)
    assert set(found) == set(BASELINES)
    for rows in found.values():
        assert rows.shape[0] == 2
        assert np.isfinite(rows).all()
        assert rows[1, 0] > rows[0, 0]
