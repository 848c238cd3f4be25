"""Each surface fault marks what it touches and nothing else, at every severity."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from examples.line.canvas import Canvas, Pose
from examples.line.defects import SURFACE
from examples.line.faults import FAULTS

SOLID = ("scratch", "crack", "dent", "rust", "pitting")


def _plate() -> Canvas:
    canvas = Canvas(192, 192, (60, 60, 60), Pose(96, 96, 64))
    canvas.box((-1, -1), (1, 1), (150, 150, 150), 120)
    canvas.part = (canvas.level == 120).astype(np.uint8) * np.uint8(255)
    canvas.settle()
    return canvas


def test_the_table_covers_all_faults_of_a_surface() -> None:
    """What is neither the camera's nor the assembly's is drawn here."""
    assembly = {"missing_bolt", "misaligned_part"}
    assert set(SURFACE) == {fault.id for fault in FAULTS.values() if not fault.camera} - assembly


@pytest.mark.parametrize("fault", sorted(SURFACE))
@pytest.mark.parametrize("severity", [0.0, 0.5, 1.0])
def test_a_fault_touches_its_mask_only(fault: str, severity: float) -> None:
    """Colour and relief outside the mask stay as they were; inside something changes."""
    for seed in range(6):
        canvas = _plate()
        colour, relief = canvas.albedo.copy(), canvas.relief.copy()
        mask = SURFACE[fault](canvas, Random(seed), (0.3, -0.2), severity, "steel")
        changed = (canvas.albedo != colour).any(axis=2) | (np.abs(canvas.relief - relief) > 1.0)
        assert changed.sum() > 20
        assert not (changed & (mask == 0)).any()


@pytest.mark.parametrize("fault", SOLID)
def test_a_surface_fault_stays_on_the_part(fault: str) -> None:
    """Only oil and loose objects may reach the floor."""
    for seed in range(6):
        canvas = _plate()
        mask = SURFACE[fault](canvas, Random(seed), (0.9, 0.0), 1.0, "blue")
        assert not mask[canvas.part == 0].any()


@pytest.mark.parametrize("fault", sorted(SURFACE))
def test_a_severe_fault_is_larger_than_a_slight_one(fault: str) -> None:
    """Severity shows."""

    def area(severity: float) -> int:
        return sum(int((SURFACE[fault](_plate(), Random(s), (0, 0), severity, "steel") > 0).sum()) for s in range(8))

    assert area(1.0) > 1.1 * area(0.0)
