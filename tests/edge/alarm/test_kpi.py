"""The alarm system's own figures: rates, floods, standing and chattering alarms, the most frequent ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge.alarm.kpi import DAY, STANDING_NS, TEN_MINUTES, AlarmKpi, AlarmKpis
from edge.alarm.machine import Condition, Shelving, Snapshot, Transition
from edge.frame import Quality
from tests.edge.alarm.bench import Bench, S

WALL_NS = 10 * STANDING_NS


def told(now_s: float, alarm_id: str = "a", severity: int = 500, *, annunciate: bool = True) -> Transition:
    """A raise that the operator was told of."""
    now_ns = round(now_s * S)
    return Transition(
        alarm_id,
        "RAISE",
        "NORM",
        "UNACK_ALM",
        Condition.UNACK_ALM,
        "x",
        severity,
        Quality.GOOD,
        annunciate,
        now_ns,
        now_ns,
    )


def after(times_s: list[float], now_s: float, *snapshots: Snapshot) -> AlarmKpis:
    """The report at one time after raises at others."""
    kpi = AlarmKpi(0)
    for time_s in times_s:
        kpi.observe(told(time_s))
    return kpi.report(round(now_s * S), WALL_NS, snapshots)


def shown() -> Snapshot:
    """A standing alarm."""
    bench = Bench()
    bench.see("F")
    return replace(bench.alarm.snapshot(), active_wall_ns=WALL_NS - STANDING_NS - 1)


def test_only_what_was_annunciated_counts() -> None:
    """Hidden raises and acknowledgements are no load on the operator."""
    kpi = AlarmKpi(0)
    kpi.observe(told(1, annunciate=False))
    kpi.observe(told(2))
    report = kpi.report(3 * S, WALL_NS, [])
    assert (report.annunciated_10_min, report.annunciated_day) == (1, 1)


def test_ten_minutes_roll() -> None:
    """A raise counts for ten minutes, to within a bucket of 10 s, and for a day; the peak stays."""
    assert after([5, 6], 599).annunciated_10_min == 2
    late = after([5, 6], 601)
    assert (late.annunciated_10_min, late.annunciated_day, late.peak_10_min) == (0, 2, 2)
    gone = after([5, 6], DAY * 10 + 10)
    assert (gone.annunciated_day, gone.top, gone.top_share) == (0, (), 0.0)


@pytest.mark.parametrize(("raises", "flood"), [(10, False), (11, True)])
def test_a_flood_starts_above_ten(raises: int, flood: bool) -> None:  # noqa: FBT001 - a table's column
    """More than 10 in 10 minutes is a flood."""
    assert after([float(index) for index in range(raises)], 60).flood is flood


def test_a_flood_ends_below_five() -> None:
    """The flood goes on while 5 are left in the window and ends with 4; its time is counted."""
    times = [0.0] * 7 + [100.0] + [300.0] * 4
    assert after(times, 601).flood
    report = after(times, 701)
    assert not report.flood
    assert report.flood_s == pytest.approx(700 - 300)
    assert after(times, 650).flood_s == pytest.approx(350)


def test_top_ten_and_priorities() -> None:
    """The most frequent alarms come first, ten of them, with their share of all; priorities are counted."""
    kpi = AlarmKpi(0)
    for index in range(12):
        for _ in range(index + 1):
            kpi.observe(told(1, f"alarm{index:02}", 900 if index == 11 else 300))
    report = kpi.report(S, WALL_NS, [])
    assert report.top[:2] == (("alarm11", 12), ("alarm10", 11))
    assert len(report.top) == 10
    assert report.top_share == pytest.approx(75 / 78)
    assert report.by_priority == {"Low": 66, "Critical": 12}


def test_the_average_is_over_the_time_observed() -> None:
    """12 raises in two hours are 1 in 10 minutes; in the first minutes the average is not blown up."""
    assert after([600.0 * index for index in range(12)], 7200).average_10_min == pytest.approx(1.0)
    assert after([1.0], 2).average_10_min == 1.0


def test_standing_chattering_and_hidden() -> None:
    """Standing is visible, active and older than a day; chattering and hidden are named."""
    old = shown()
    young = replace(old, id="young", active_wall_ns=WALL_NS - STANDING_NS)
    shelved = replace(old, id="shelved", shelving=Shelving.TIMED)
    noisy = replace(young, id="noisy", chattering=True)
    returned = replace(old, id="returned", active=False)
    report = after([], 1, old, young, shelved, noisy, returned)
    assert (report.standing, report.chattering, report.hidden) == (("a",), ("noisy",), ("shelved",))


def test_memory_is_bounded() -> None:
    """Two days of a raise in every bucket keep at most a day of buckets."""
    kpi = AlarmKpi(0)
    for now_s in range(0, 2 * 86_400, 10):
        kpi.observe(told(now_s))
    assert len(kpi._buckets) <= DAY
    assert len(kpi._recent) <= TEN_MINUTES
    assert kpi.report(2 * 86_400 * S, WALL_NS, []).annunciated_day == pytest.approx(DAY, abs=1)


def test_a_report_that_read_the_clock_before_a_transition_counts_no_time_backwards() -> None:
    """The thread that reports may hold an older time than the thread that raised: figures never become negative."""
    report = after([5.0] * 11, 4.99)
    assert (report.flood, report.flood_s, report.observed_s) == (True, 0.0, 5.0)
    assert after([100.0] * 11 + [95.0], 95.0).annunciated_10_min == 12
