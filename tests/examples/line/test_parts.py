"""Parts are drawn, differ from each other, and tell the truth about their bolts and surface."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest

from examples.line.canvas import Blueprint, Canvas, Pose
from examples.line.faults import FAULTS, MATERIALS, PARTS
from examples.line.parts import DRAW, FINISHES, Shape

SIZE = 192


def _draw(part: str, seed: int, missing: frozenset[int] = frozenset()) -> tuple[Canvas, Shape]:
    canvas = Canvas(SIZE, SIZE, (0, 0, 0), Pose(SIZE / 2, SIZE / 2, SIZE * 0.33))
    return canvas, DRAW[part](canvas, Random(seed), (150, 150, 150), missing)


def test_every_part_and_material_of_the_table_can_be_drawn() -> None:
    """The word table and the drawing tables name the same things."""
    assert set(DRAW) == set(PARTS)
    assert set(FINISHES) == set(MATERIALS)


@pytest.mark.parametrize("part", sorted(DRAW))
def test_a_shape_is_the_same_without_drawing(part: str) -> None:
    """The schedule may ask for bolts before anything is drawn."""
    for seed in range(5):
        assert _draw(part, seed)[1] == DRAW[part](Blueprint(), Random(seed), (0, 0, 0), frozenset())


@pytest.mark.parametrize("part", sorted(DRAW))
def test_only_bolted_parts_have_bolts(part: str) -> None:
    """A missing bolt can occur exactly where bolts are."""
    assert bool(_draw(part, 3)[1].bolts) == (part in FAULTS["missing_bolt"].parts)


@pytest.mark.parametrize("part", sorted(FAULTS["missing_bolt"].parts))
def test_a_left_out_bolt_changes_the_picture_only_at_its_place(part: str) -> None:
    """The hole is where the shape says, and dark."""
    (whole, shape), (lacking, _) = _draw(part, 4), _draw(part, 4, frozenset({1}))
    rows, columns = np.nonzero(whole.level != lacking.level)
    at = whole.pose.to_px([shape.bolts[1]])[0]
    assert len(rows) > 20
    assert float(np.hypot(columns - at[0], rows - at[1]).max()) < 0.2 * whole.unit_px
    assert lacking.albedo[round(at[1]), round(at[0])].max() < 40


@pytest.mark.parametrize("part", sorted(DRAW))
def test_faults_are_placed_on_the_part(part: str) -> None:
    """Every direction and depth gives a point of the part's surface (not of the floor)."""
    for seed in range(4):
        canvas, shape = _draw(part, seed)
        hits = total = 0
        for step in range(24):
            for depth in (0.3, 0.5, 0.7):
                x, y = canvas.pose.to_px([shape.surface(step * math.pi / 12, depth)])[0]
                total += 1
                hits += int(canvas.level[round(float(y)), round(float(x))] != 30)
        assert hits / total > 0.95
