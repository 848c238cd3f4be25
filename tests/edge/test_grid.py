"""A window of readings: each reading in its cell of time, nothing interpolated, and how much of it is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.frame import Quality, Reading
from edge.grid import LEAD, Grid, GridSpec, going_on
from edge.verdict.origin import OriginSpec

S = 1_000_000_000


def spec(*names: str, length: int = 4, step: int = 1, aggregate: str = "mean", min_valid: float = 0.5) -> GridSpec:
    """Cells of one second."""
    origins = tuple(OriginSpec(name, 5 * S, frozen_after_ns=60 * S) for name in names or ("a",))
    return GridSpec(origins, S, length, step, aggregate, min_valid)


def put(
    grid: Grid, at_s: float, value: float, sensor: str = "a", *, quality: Quality = Quality.GOOD, late_s: float = 0.0
) -> bool:
    """A reading that was measured at `at_s` and came so much later."""
    return grid.put(Reading(sensor, value, round((at_s + late_s) * S), None, round(late_s * S), quality))


def seen(grid: Grid, now_s: float) -> tuple[list[float], list[float], Quality]:
    """Values, valid cells and quality of a window of one sensor, at its newest complete cell."""
    end = grid.due()
    assert end is not None
    found = grid.snapshot(end, round(now_s * S))
    return found.values[:, 0].tolist(), found.valid[:, 0].tolist(), found.quality


def test_readings_fill_their_cells_in_order_of_time() -> None:
    """A cell is complete once the sensor goes on to the next one."""
    grid = Grid(spec())
    assert grid.due() is None
    for second in range(5):
        put(grid, second, float(second))
    assert seen(grid, 4) == ([0.0, 1.0, 2.0, 3.0], [1.0] * 4, Quality.GOOD)


@pytest.mark.parametrize(("aggregate", "value"), [("mean", 2.0), ("last", 3.0), ("rms", math.sqrt(5.0))])
def test_a_cell_holds_what_was_asked_for(aggregate: str, value: float) -> None:
    """Of several readings in a cell: their mean, the newest by its own time, or the root of their mean square."""
    grid = Grid(spec(aggregate=aggregate))
    for at_s, reading in ((0.0, 1.0), (1.3, 3.0), (0.9, 1.0), (2.0, 0.0), (3.0, 0.0)):
        put(grid, at_s, reading)
    assert seen(grid, 3)[0][-2] == pytest.approx(value)


def test_a_late_reading_fills_its_cell_and_a_later_one_is_too_late() -> None:
    """It counts while its cell is in the window; after that it is said that it came too late."""
    grid = Grid(spec())
    for second in (0, 2, 3, 4):
        put(grid, second, float(second))
    assert seen(grid, 4) == ([0.0, 0.0, 2.0, 3.0], [1.0, 0.0, 1.0, 1.0], Quality.UNCERTAIN)
    assert put(grid, 1, 1.0, late_s=3.5)
    assert seen(grid, 4.5) == ([0.0, 1.0, 2.0, 3.0], [1.0] * 4, Quality.GOOD)
    put(grid, 5, 5.0)
    put(grid, 6, 6.0)
    assert not put(grid, 0, 1.0, late_s=6.5)


def test_a_missing_cell_is_never_filled_in() -> None:
    """A value that the source says there is none of, and one that no float32 holds, leave their cells empty."""
    grid = Grid(spec(min_valid=0.25))
    for second, value in enumerate((1.0, math.nan, 1e300, 4.0, 5.0)):
        put(grid, second, value)
    assert seen(grid, 4) == ([1.0, 0.0, 0.0, 4.0], [1.0, 0.0, 0.0, 1.0], Quality.UNCERTAIN)


def test_with_too_few_values_or_a_silent_sensor_nothing_is_known() -> None:
    """The share counts for each sensor alone: one that is dead is not outvoted by those that live."""
    grid = Grid(spec("a", "b"))
    for second in range(8):
        put(grid, second, 1.0 + second)
        if second < 4:
            put(grid, second, 2.0 + second, "b")
    end = grid.due()
    assert end == 7 - LEAD
    assert grid.snapshot(end, 7 * S).quality is Quality.UNCERTAIN
    assert grid.snapshot(end, 9 * S).quality is Quality.STALE  # b has been silent for longer than it may
    put(grid, 8, 1.0)
    put(grid, 9, 1.0)
    assert grid.snapshot(9 - LEAD, 8 * S).quality is Quality.STALE  # of four cells of b none is known


def test_a_doubtful_reading_makes_the_window_uncertain_and_a_stuck_sensor_makes_it_bad() -> None:
    """Doubt lasts as long as its cell is in the window."""
    grid = Grid(spec())
    for second in range(9):
        put(grid, second, 1.0, quality=Quality.UNCERTAIN if second == 2 else Quality.GOOD)
        if second == 4:
            assert seen(grid, 4)[2] is Quality.UNCERTAIN
    assert seen(grid, 8)[2] is Quality.GOOD
    for second in range(9, 70):
        put(grid, second, 1.0)
    assert seen(grid, 69)[2] is Quality.BAD


def test_a_window_is_judged_every_step_and_a_backlog_once() -> None:
    """Of all cells that came in one go only the newest is judged."""
    grid = Grid(spec(step=3))
    judged = []
    for second in range(10):
        put(grid, second, 1.0)
        end = grid.due()
        if end is not None:
            grid.judged = end
            judged.append(end)
    assert judged == [0, 3, 6]
    for second in range(10, 40):
        put(grid, second, 1.0, late_s=40 - second)
    assert grid.due() == 38


def test_a_sensor_between_two_cells_of_another_misses_none() -> None:
    """Each sensor's cells lie around its own readings, so a little jitter does not move them to a neighbour."""
    grid = Grid(spec("a", "b"))
    jitter = (0.0, 0.02, -0.02, 0.01, -0.01, 0.02, 0.0)
    for second, moved in enumerate(jitter):
        put(grid, second - moved, 1.0)
        put(grid, second + 0.5 + moved, float(second), "b")
    end = grid.due()
    assert end == 5
    assert grid.snapshot(end, 7 * S).valid.min() == 1.0


def test_after_a_long_silence_the_cells_of_a_sensor_lie_anew() -> None:
    """It may have been started at another moment."""
    grid = Grid(spec())
    put(grid, 0, 1.0)
    for second in range(100, 106):
        put(grid, second + 0.5 + (0.02 if second % 2 else -0.02), float(second))
    assert seen(grid, 106)[1] == [1.0] * 4


def test_a_reload_goes_on_with_windows_that_hold_the_same() -> None:
    """Other sensors, or another grid: unknown until it is filled."""
    old = {"pump": Grid(spec("a")), "fan": Grid(spec("a"))}
    new = {"pump": Grid(spec("a")), "fan": Grid(spec("b")), "new": Grid(spec("a"))}
    assert going_on(new, old) == {"pump": old["pump"], "fan": new["fan"], "new": new["new"]}


@given(
    st.lists(
        st.tuples(st.floats(-1e3, 1e6), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from(["a", "b"])),
        max_size=60,
    )
)
def test_whatever_comes_a_window_holds_numbers_and_says_where(readings: list[tuple[float, float, str]]) -> None:
    """No order of times and no value makes it fail, or hold anything where it says that there is nothing."""
    grid = Grid(spec("a", "b"))
    for at_s, value, sensor in readings:
        put(grid, at_s, value, sensor)
        end = grid.due()
        if end is not None:
            found = grid.snapshot(end, round(at_s * S))
            assert np.isfinite(found.values).all()
            assert not found.values[found.valid == 0.0].any()
            grid.judged = end
