"""The demo's budget and frame rate follow what the machine can keep."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from edge.bundle import open_bundle
from examples.demo.pace import BUSY_SHARE, Pace, fitted, frame_cost_ms, pace_of
from tests.stand.bundles import colour_bundle


def test_a_fast_machine_gets_what_was_asked_for() -> None:
    """Nothing is widened where the bundle's own budget fits."""
    assert fitted(12.6, 40.0, 25.0) == Pace(40.0, 25.0)


@pytest.mark.parametrize("cost_ms", [22.0, 35.0, 49.0, 165.0, 900.0])
def test_a_slow_machine_gets_time_and_fewer_frames_and_is_told(cost_ms: float) -> None:
    """A frame fits its budget with room, and frames never take more than their share of the time."""
    pace = fitted(cost_ms, 40.0, 25.0)
    assert pace.budget_ms >= 3 * cost_ms
    assert pace.fps == max(1.0, math.floor(1000 * BUSY_SHARE / cost_ms)) or pace.fps == 25.0
    assert f"{cost_ms:.0f} ms a frame" in pace.note
    assert f"{pace.budget_ms:g} ms" in pace.note


def test_the_cost_is_measured_on_the_bundle_itself(tmp_path: Path) -> None:
    """Its own golden pictures run through its own graph."""
    colour_bundle(tmp_path / "colours")
    bundle = open_bundle(tmp_path / "colours")
    assert 0.0 < frame_cost_ms(bundle) < 1000.0
    assert pace_of(bundle, 5.0).fps <= 5.0
