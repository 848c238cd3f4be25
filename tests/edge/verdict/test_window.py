"""Statistics over a span are those of the readings in it, whatever their rate and order, in bounded memory."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.verdict.window import CELLS, NOTHING, Moments, Statistic, Window

S = 1_000_000_000
VALUES = st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=40)


def filled(values: list[float], span_ns: int = 64 * S, every_ns: int = S, start_ns: int = 0) -> Window:
    """A window over readings at equal distance, each of which follows the one before."""
    window = Window(span_ns)
    for index, value in enumerate(values):
        window.advance(start_ns + index * every_ns, known=True)
        window.put(value, start_ns + index * every_ns, good=True)
    return window


@given(VALUES)
def test_every_statistic_is_that_of_the_readings(values: list[float]) -> None:
    """Mean, standard deviation, RMS, range, count and least-squares slope agree with the textbook."""
    moments = filled(values).moments
    times = np.arange(len(values), dtype=float)
    expected = {
        Statistic.LAST: statistics.fmean(values),
        Statistic.MEAN: statistics.fmean(values),
        Statistic.STD: statistics.stdev(values),
        Statistic.RMS: math.sqrt(statistics.fmean(value * value for value in values)),
        Statistic.RANGE: max(values) - min(values),
        Statistic.COUNT: len(values),
        Statistic.SLOPE: float(np.polyfit(times, values, 1)[0]),
    }
    for of, value in expected.items():
        assert moments.statistic(of) == pytest.approx(value, rel=1e-6, abs=1e-6 * max(1.0, *map(abs, values)))


@given(VALUES, st.randoms())
def test_late_readings_change_nothing_but_their_order(values: list[float], random: object) -> None:
    """Readings that arrive in another order fall into the cells of their own times."""
    in_order = filled(values)
    shuffled = list(enumerate(values))
    random.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis gives a random.Random
    window = Window(64 * S)
    window.advance((len(values) - 1) * S, known=True)
    for index, value in shuffled:
        assert window.put(value, index * S, good=True)
    for of in (Statistic.MEAN, Statistic.RANGE, Statistic.COUNT):
        assert window.moments.statistic(of) == pytest.approx(in_order.moments.statistic(of), abs=1e-6)


def test_what_is_older_than_the_span_is_gone() -> None:
    """Of 100 readings a second apart a span of 64 s holds the newest 64."""
    window = filled([float(index) for index in range(100)])
    assert window.moments.statistic(Statistic.COUNT) == CELLS
    assert window.moments.statistic(Statistic.MEAN) == statistics.fmean(range(36, 100))
    assert not window.put(1e9, 35 * S, good=True), "a reading that is late by more than the span has no cell"
    assert window.moments.statistic(Statistic.COUNT) == CELLS


def test_memory_is_bounded_at_any_rate() -> None:
    """A hundred thousand readings in a minute leave no more than the cells of the grid, and the mean is exact."""
    window = filled([1.0, 3.0] * 50_000, span_ns=60 * S, every_ns=600_000)
    assert window.cells <= CELLS
    assert window.moments.statistic(Statistic.MEAN) == pytest.approx(2.0, abs=1e-3)


def test_a_slope_keeps_its_precision_after_a_year() -> None:
    """Times count from the window's beginning, so a device that has run for long loses no digits."""
    year_ns = 366 * 86_400 * S
    window = filled([5.0 + 1e-3 * index for index in range(60)], start_ns=year_ns)
    assert window.moments.statistic(Statistic.SLOPE) == pytest.approx(1e-3, rel=1e-9)


@pytest.mark.parametrize(
    ("count", "silent"),
    [
        (0, set(Statistic) - {Statistic.COUNT}),
        (1, {Statistic.STD, Statistic.RANGE, Statistic.SLOPE}),
        (2, {Statistic.SLOPE}),
    ],
)
def test_too_few_readings_give_no_statistic(count: int, silent: set[Statistic]) -> None:
    """A deviation of one value and a line through two are inventions; none counted is a count."""
    moments = filled([4.0] * count).moments
    assert {of for of in Statistic if moments.statistic(of) is None} == silent


def test_readings_of_one_moment_have_no_slope() -> None:
    """A line needs time."""
    moments = Moments(1, 1.0, 2.0).joined(Moments(1, 1.0, 3.0)).joined(Moments(1, 1.0, 4.0))
    assert moments.statistic(Statistic.SLOPE) is None
    assert moments.joined(NOTHING) == moments


def test_numbers_too_large_to_count_with_give_none() -> None:
    """An overflow is unknown, and no error."""
    assert filled([1e308, -1e308, 1e308]).moments.statistic(Statistic.STD) is None


def test_the_known_share_rises_to_one_and_falls_with_a_gap() -> None:
    """Time in which the sensor gave nothing is not known, and is not filled."""
    window = Window(64 * S)
    assert window.known_share == 0.0
    for second in range(65):
        window.advance(second * S, known=True)
        window.put(1.0, second * S, good=True)
        if second == 31:
            assert 0.45 < window.known_share < 0.55
    assert window.known_share == 1.0
    window.advance(80 * S, known=False)
    assert window.known_share == pytest.approx(47 / 63)
    window.advance(79 * S, known=True)
    assert window.known_share == pytest.approx(47 / 63), "the span does not go back"


def test_one_doubtful_reading_makes_the_span_doubtful_until_it_leaves() -> None:
    """Whatever cell it is in."""
    window = Window(64 * S)
    for second in range(70):
        window.advance(second * S, known=True)
        window.put(1.0, second * S, good=second != 3)
        assert window.good == (second < 3 or second >= 67)


def test_a_span_shorter_than_its_cells_is_an_error() -> None:
    """There would be cells of no length."""
    with pytest.raises(ValueError, match="too short"):
        Window(CELLS - 1)
