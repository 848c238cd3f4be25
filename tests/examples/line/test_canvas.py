"""Drawing is in part units: the same shape at every size, moved and turned by the pose."""

from __future__ import annotations

import math

import numpy as np
import pytest

from examples.line.canvas import Blueprint, Canvas, Pose


def _canvas(size: int) -> Canvas:
    return Canvas(size, size, (10, 10, 10), Pose(size / 2, size / 2, size / 4))


@pytest.mark.parametrize("size", [96, 192, 480])
def test_a_disc_covers_the_same_share_at_every_size(size: int) -> None:
    """Geometry is free of scale."""
    canvas = _canvas(size)
    canvas.disc((0, 0), 1.0, (255, 255, 255), 200)
    assert float((canvas.level > 100).mean()) == pytest.approx(math.pi / 16, rel=0.08)
    assert ((canvas.level > 115) != (canvas.albedo[..., 0] > 132)).mean() < 0.001


def test_a_pose_turns_and_shifts_points() -> None:
    """A quarter turn takes right to down, as the picture shows it."""
    pose = Pose(100, 50, 10).moved(1.0, 0.0, math.pi / 2)
    assert np.allclose(pose.to_px([(1, 0), (0, 1)]), [(110, 60), (100, 50)])


def test_paint_changes_only_what_the_stencil_covers() -> None:
    """Outside its stencil a fault leaves colour and relief alone."""
    canvas = _canvas(96)
    canvas.settle()
    stencil = canvas.stencil()
    canvas.stencil_disc(stencil, (0.5, 0), 0.2)
    colour, relief = canvas.albedo.copy(), canvas.relief.copy()
    canvas.paint(stencil, (250, 0, 0), 1.0, 40.0)
    outside = stencil == 0
    assert np.array_equal(canvas.albedo[outside], colour[outside])
    assert np.array_equal(canvas.relief[outside], relief[outside])
    assert canvas.albedo[48, 60].tolist() == [250, 0, 0]
    assert float((canvas.relief - relief).max()) == pytest.approx(40.0)


def test_an_empty_stencil_paints_nothing() -> None:
    """A fault that misses the picture is harmless."""
    canvas = _canvas(32)
    canvas.settle()
    before = canvas.albedo.copy()
    canvas.paint(canvas.stencil(), (255, 0, 0))
    assert np.array_equal(canvas.albedo, before)
    assert canvas.window((50, 50), 0.1) is None


def test_a_blueprint_draws_nothing() -> None:
    """A part can tell its shape without a picture."""
    blueprint = Blueprint()
    blueprint.disc((0, 0), 1.0, (255, 255, 255), 255)
    blueprint.box((-1, -1), (1, 1), (255, 255, 255), 255)
    blueprint.ring((0, 0), 0.5, 0.1, (255, 255, 255), 255)
    assert blueprint.albedo.max() == 0
    assert blueprint.level.max() == 30
