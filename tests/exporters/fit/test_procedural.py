"""Painted faults: every kind changes the picture where it says so and nowhere else, and the same seed paints the same."""

from __future__ import annotations

import numpy as np
import pytest

from exporters.fit.procedural import KINDS, STRONGEST, VISIBLE, paint
from exporters.pictures.images import synthetic_frames


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_painted_fault_lies_where_its_mask_is(kind: str) -> None:
    """A mask that lied would teach patches that are in order."""
    frame = synthetic_frames(1, 64, 64, 3)[0]
    random = np.random.default_rng(1)
    changed = 0
    for _ in range(12):
        painted, mask = paint(frame, random, kind)
        difference = np.abs(painted.astype(int) - frame).max(axis=2)
        assert painted.shape == frame.shape
        assert painted.dtype == np.uint8
        assert mask.shape == frame.shape[:2]
        changed += int(difference[mask].max(initial=0) > 0)
        assert difference[~mask].max(initial=0) <= 1 + (VISIBLE + 0.05) * STRONGEST * frame.std()
    assert changed >= 9, "most of them change something that can be seen"


def test_the_same_seed_paints_the_same_fault_and_leaves_the_picture_alone() -> None:
    """A build can be repeated, and its normal pictures stay normal."""
    frame = synthetic_frames(1, 48, 64, 5)[0]
    before = frame.copy()
    first, second = (paint(frame, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert np.array_equal(frame, before)


def test_a_picture_without_texture_still_shows_a_painted_fault() -> None:
    """Contrast is never measured as nothing."""
    flat = np.full((64, 64, 3), 128, np.uint8)
    painted, mask = paint(flat, np.random.default_rng(0), "scratch")
    assert mask.any()
    assert (painted != 128).any()
