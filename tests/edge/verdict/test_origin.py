"""Two sensors make one quantity only while both are fresh."""

from __future__ import annotations

import math

import pytest

from edge.frame import Quality, Reading
from edge.verdict.origin import Join, Origin, OriginSpec, joined

S = 1_000_000_000


def origin(sensor: str, *readings: Reading, stale_after_ns: int = 5 * S) -> Origin:
    """A sensor that gave these."""
    made = Origin(OriginSpec(sensor, stale_after_ns, max_age_ns=20 * S, frozen_after_ns=10 * S))
    for reading in readings:
        made.take(reading)
    return made


@pytest.mark.parametrize(("how", "value"), [(Join.DIFFERENCE, 6.0), (Join.RATIO, 4.0)])
def test_difference_and_ratio_are_at_the_later_time(how: Join, value: float) -> None:
    """The worse quality of the two is that of the quantity."""
    one, other = Reading("a", 8.0, 2 * S, quality=Quality.UNCERTAIN), Reading("b", 2.0, 3 * S)
    made = joined(origin("a", one), origin("b", other), how)
    assert made is not None
    assert (made.value, made.measured_ns, made.quality) == (value, 3 * S, Quality.UNCERTAIN)


def test_a_ratio_to_zero_is_no_number() -> None:
    """Nothing is divided by zero, and no number is made up."""
    made = joined(origin("a", Reading("a", 8.0, 0)), origin("b", Reading("b", 0.0, 0)), Join.RATIO)
    assert made is not None
    assert math.isnan(made.value)


def test_values_too_far_apart_make_none() -> None:
    """The newest of a sensor that fell silent says nothing of what the other measures now."""
    one = origin("a", Reading("a", 8.0, 0))
    assert joined(one, origin("b"), Join.DIFFERENCE) is None
    assert joined(one, origin("b", Reading("b", 1.0, 6 * S)), Join.DIFFERENCE) is None
    assert joined(one, origin("b", Reading("b", 1.0, 5 * S)), Join.DIFFERENCE) is not None
    assert joined(one, origin("b", Reading("b", 1.0, 3 * S), stale_after_ns=2 * S), Join.DIFFERENCE) is None


def test_stale_by_receipt_or_by_its_own_time_and_frozen_when_steady() -> None:
    """A sensor that was never read is neither: it is unknown."""
    assert not origin("a").is_stale(99 * S)
    assert not origin("a").is_frozen()
    old = origin("a", Reading("a", 1.0, 30 * S, age_ns=18 * S))
    assert not old.is_stale(31 * S)
    assert old.is_stale(33 * S), "measured 21 s ago"
    assert old.is_stale(36 * S), "received 6 s ago"
    steady = origin("a", *(Reading("a", 1.0, second * S) for second in range(0, 12, 4)))
    assert not steady.is_frozen()
    steady.take(Reading("a", 1.0, 12 * S))
    assert steady.is_frozen()


def test_an_earlier_record_is_one_before_the_newest_number() -> None:
    """Two clocks jitter, and a bad value has no place in time."""
    one = origin("a", Reading("a", 1.0, 10 * S))
    assert one.is_earlier(Reading("a", 1.0, 9 * S))
    assert not one.is_earlier(Reading("a", 1.0, 10 * S - 1_000_000))
    assert not origin("a").is_earlier(Reading("a", 1.0, 9 * S))
    assert not origin("a", Reading("a", math.nan, 10 * S)).is_earlier(Reading("a", 1.0, 9 * S))
