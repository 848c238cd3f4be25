"""The limit in alarms a day: counted after delays, and only promised where the recording is long enough."""

from __future__ import annotations

import numpy as np
import pytest

from edge.units import NS_PER_S
from exporters.recordings.limits import alarm_starts, alarms_allowed, days_text, find_limit, most_alarms
from exporters.recordings.recipe import DAY_NS, Fault

STEP_NS = 60 * NS_PER_S


def fault(**changes: object) -> Fault:
    """One that promises an alarm a day."""
    return Fault.model_validate({"id": "odd", "bound": "1 per day", "off_delay_s": 120, **changes})


def starts(text: str, **changes: object) -> list[int]:
    """Alarms over a row of minutes; # is flagged, a space is a gap in the recording."""
    at = np.array([row * STEP_NS for row, mark in enumerate(text) if mark != " "], np.int64)
    flagged = np.array([mark == "#" for mark in text if mark != " "])
    return alarm_starts(flagged, at, np.zeros(len(at), np.int64), fault(**changes), 3 * STEP_NS)


@pytest.mark.parametrize(("count", "mean"), [(0, 2.996), (1, 4.744), (2, 6.296), (5, 10.513)])
def test_the_upper_limit_is_poissons(count: int, mean: float) -> None:
    """Of the tables: half the 95 % quantile of chi-square with twice one more degrees of freedom."""
    assert most_alarms(count) == pytest.approx(mean, abs=1e-3)


def test_so_many_alarms_are_allowed_as_still_show_the_bound() -> None:
    """None in less than three times the mean distance; one in 4.75."""
    assert [alarms_allowed(1.0, days) for days in (0.0, 2.9, 3.0, 4.7, 4.8)] == [None, None, 0, 0, 1]


def test_alarms_are_counted_after_delays() -> None:
    """What follows within the off delay is the same alarm, a short flag is none with an on delay, and a gap begins anew."""
    assert starts("..##..") == [2]
    assert starts("#.#") == [0]
    assert starts("#.....#") == [0, 6]
    assert starts("#..##..", on_delay_s=60) == [4]
    assert starts("##      ##") == [0, 2]


def test_another_recording_is_another_alarm() -> None:
    """Though its time follows at once."""
    flagged, at = np.ones(4, np.bool_), np.arange(4, dtype=np.int64) * STEP_NS
    assert alarm_starts(flagged, at, np.array([0, 0, 1, 1]), fault(), 3 * STEP_NS) == [0, 2]


def test_the_limit_lets_pass_what_the_bound_allows() -> None:
    """Five days with three peaks: one alarm is allowed, so the limit lies above the second peak."""
    evidence = np.full(5 * 1440, 0.1)
    evidence[[1000, 3000, 5000]] = [3.0, 2.0, 1.0]
    at = np.arange(len(evidence), dtype=np.int64) * STEP_NS
    found = find_limit(evidence, at, np.zeros(len(at), np.int64), fault=fault(), step_ns=STEP_NS)
    assert found.value == pytest.approx(2.0, rel=0.01)
    assert (found.alarms, found.days, found.armed) == (1, 5.0, True)


def test_too_short_a_recording_is_not_armed_and_says_how_much_is_missing() -> None:
    """Time of which nothing is known does not count."""
    evidence = np.full(1440 * 2, 0.1)
    evidence[1440:] = np.nan
    at = np.arange(len(evidence), dtype=np.int64) * STEP_NS
    found = find_limit(evidence, at, np.zeros(len(at), np.int64), fault=fault(), step_ns=STEP_NS)
    assert not found.armed
    assert found.days == 1.0
    assert found.missing_days == pytest.approx(2.0, abs=0.01)
    nothing = find_limit(np.full(3, np.nan), at[:3], at[:3], fault=fault(bound="1 per week"), step_ns=STEP_NS)
    assert nothing.missing_days == pytest.approx(21.0, abs=0.1)
    assert nothing.value > 0


def test_spans_are_said_as_people_do() -> None:
    """In hours below a day."""
    assert (days_text(2 / 24), days_text(21.04)) == ("2.0 hours", "21.0 days")
    assert DAY_NS == 86_400 * NS_PER_S
