"""Harmless details change the picture, stay repeatable and hide no fault."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest

from examples.line.canvas import Canvas, Pose
from examples.line.faults import BACKGROUNDS
from examples.line.harmless import DRAWN, FLOORS, HARMLESS, LAID
from examples.line.parts import DRAW, Shape


def _flange(seed: int) -> tuple[Canvas, Shape]:
    canvas = Canvas(192, 192, (60, 60, 60), Pose(96, 96, 64))
    shape = DRAW["flange"](canvas, Random(seed), (150, 150, 150), frozenset())
    canvas.part = (canvas.level > 40).astype(np.uint8) * np.uint8(255)
    canvas.settle()
    return canvas, shape


def test_every_background_has_a_floor() -> None:
    """The word table and the floor table name the same backgrounds."""
    assert set(FLOORS) == set(BACKGROUNDS)
    assert set(HARMLESS) == {*DRAWN, *LAID, "shadow_band"}


@pytest.mark.parametrize("name", sorted({**DRAWN, **LAID}))
def test_a_detail_is_visible_and_repeatable(name: str) -> None:
    """The same random numbers draw the same detail."""
    canvases = [_flange(2) for _ in range(2)]
    before = canvases[0][0].albedo.copy()
    for canvas, shape in canvases:
        {**DRAWN, **LAID}[name](canvas, Random(4), shape)
    first, second = (canvas.albedo for canvas, _ in canvases)
    assert np.array_equal(first, second)
    assert (first != before).any()


def test_a_sticker_never_hides_a_bolt() -> None:
    """A label over an empty hole would make a missing bolt unknowable."""
    for seed in range(40):
        canvas, shape = _flange(seed)
        before = canvas.albedo.copy()
        DRAWN["sticker"](canvas, Random(seed), shape)
        rows, columns = np.nonzero((canvas.albedo != before).any(axis=2))
        for bolt in shape.bolts:
            x, y = canvas.pose.to_px([bolt])[0]
            gaps = [math.hypot(c - x, r - y) for r, c in zip(rows.tolist(), columns.tolist(), strict=True)]
            assert min(gaps, default=99.0) > 0.02 * canvas.unit_px
