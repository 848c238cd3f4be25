"""An alarm's state survives a restart, its timers run on by the wall clock, and a damaged state is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge.alarm.machine import Alarm, AlarmSpec
from edge.errors import RejectedInput
from edge.frame import Quality
from tests.edge.alarm.bench import Bench, S


def test_it_is_json() -> None:
    """What is saved is plain data that strict JSON can carry both ways."""
    bench = Bench(re_alarm_ns=9 * S)
    bench.see("F")
    bench.ok("ack")
    bench.ok("shelve")
    saved = bench.alarm.to_dict(bench.now_ns, bench.wall_ns)
    assert json.loads(json.dumps(saved, allow_nan=False)) == saved


def test_a_restart_is_missing_data() -> None:
    """A restored alarm stands as it stood, with quality stale until its first sample, and its delays go on where they were."""
    bench = Bench(on_delay_ns=2 * S, off_delay_ns=2 * S)
    bench.see("FF")
    bench.restart(away_s=3600)
    assert bench.alarm.snapshot().quality is Quality.STALE
    assert bench.see("F") == "NORM", "the hour away is not known time"
    bench.now_ns += S
    assert bench.see("F") == "UNACK_ALM"
    bench.restart(away_s=3600)
    bench.wait(3600)
    assert (bench.state, bench.occurrence) == ("UNACK_ALM", "id-1")


@pytest.mark.parametrize(("away_s", "left_s"), [(0.0, 40.0), (30.0, 10.0), (-1000.0, 40.0)])
def test_timers_run_on_by_the_wall_clock(away_s: float, left_s: float) -> None:
    """Shelving and re-alarm count the time away; a wall clock that was set back does not make them longer."""
    bench = Bench(re_alarm_ns=60 * S)
    bench.see("F")
    bench.ok("ack")
    bench.ok("shelve", duration_ns=60 * S)
    bench.wait(20)
    bench.restart(away_s)
    assert bench.state == "SHELVED"
    bench.wait(left_s - 0.001)
    assert bench.state == "SHELVED"
    bench.wait(0.001)
    assert bench.state == "UNACK_ALM"


def test_the_re_alarm_runs_on_by_the_wall_clock() -> None:
    """An operator who acknowledged before the restart is reminded at the time that was promised."""
    bench = Bench(re_alarm_ns=60 * S)
    bench.see("F")
    bench.ok("ack")
    bench.wait(20)
    bench.restart(away_s=30)
    assert bench.wait(9.999) == ()
    assert [item.trigger for item in bench.wait(0.001)] == ["RE_ALARM"]


def test_time_away_longer_than_the_shelving() -> None:
    """Shelving that ended while the daemon was away ends at the first tick."""
    bench = Bench()
    bench.see("F")
    bench.ok("shelve", duration_ns=60 * S)
    bench.restart(away_s=61)
    bench.wait(0)
    assert bench.state == "UNACK_ALM"


@pytest.mark.parametrize("verb", ["suppress", "out_of_service"])
def test_suppression_and_service_survive(verb: str) -> None:
    """What was suppressed or out of service still is, with who did it and why."""
    bench = Bench()
    bench.ok(verb, user="op", comment="overhaul")
    bench.restart(away_s=1e6)
    bench.wait(0)
    assert bench.state in {"SUPPRESSED", "OOS"}
    assert (bench.alarm.state.availability.user, bench.alarm.state.availability.reason) == ("op", "overhaul")


def test_chattering_survives_and_ends() -> None:
    """Raises before the restart count in the minute after it."""
    bench = Bench()
    bench.see("FoFo")
    bench.restart(away_s=10)
    bench.see("F")
    assert bench.alarm.snapshot().chattering
    bench.restart(away_s=60)
    bench.wait(0)
    assert not bench.alarm.snapshot().chattering


def test_a_shorter_window_keeps_the_newest_samples() -> None:
    """A configuration with another m takes over what fits."""
    bench = Bench(n=3, m=5)
    bench.see("FFooF")
    bench.restart(n=2, m=2, off_delay_ns=0)
    assert bench.alarm.state.filter.window == (False, True)


DAMAGE: list[tuple[str, dict[str, Any]]] = [
    ("format", {"format": 2}),
    ("condition", {"condition": "PANIC"}),
    ("quality", {"quality": "fine"}),
    ("value", {"value": float("nan")}),
    ("value", {"value": 10**400}),
    ("value", {"value": "x"}),
    ("severity", {"severity_override": 5000}),
    ("severity", {"severity_override": True}),
    ("window", {"filter": {"window": [1], "pending_ns": None, "pending_wall_ns": None}}),
    ("filter", {"filter": None}),
    ("occurrence", {"occurrence": None}),
    ("occurrence", {"occurrence": {"id": 3, "detected_wall_ns": 1, "active_wall_ns": 1}}),
    ("occurrence", {"occurrence": {"id": "x", "detected_wall_ns": "1", "active_wall_ns": 1}}),
    ("occurrence", {"occurrence": {"id": "x", "colour": "red"}}),
    ("chattering", {"chattering": True, "raise_ages_ns": []}),
    ("chattering", {"chattering": 1}),
    ("ages", {"raise_ages_ns": ["soon"]}),
    ("saved", {"saved_wall_ns": 1.5}),
    ("availability", {"availability": {}}),
]


@pytest.mark.parametrize(("part", "change"), DAMAGE, ids=[f"{part}-{index}" for index, (part, _) in enumerate(DAMAGE)])
def test_a_damaged_state_is_refused(part: str, change: dict[str, Any]) -> None:
    """A state with a wrong, missing or contradictory part is refused by name of the alarm, and never half taken over."""
    del part
    bench = Bench()
    bench.see("F")
    saved = bench.alarm.to_dict(bench.now_ns, bench.wall_ns) | change
    with pytest.raises(RejectedInput, match="alarm_state: alarm a: ") as caught:
        Alarm.from_dict(AlarmSpec("a"), bench.new_id, saved, 0, 0)
    assert caught.value.reason == "alarm_state"


@pytest.mark.parametrize("key", ["format", "condition", "filter", "availability", "occurrence", "saved_wall_ns"])
def test_a_missing_part_is_refused(key: str) -> None:
    """Every part is needed: a state from a half-written record is not guessed at."""
    bench = Bench()
    bench.see("F")
    saved = bench.alarm.to_dict(bench.now_ns, bench.wall_ns)
    del saved[key]
    with pytest.raises(RejectedInput, match="alarm_state"):
        Alarm.from_dict(AlarmSpec("a"), bench.new_id, saved, 0, 0)


@pytest.mark.parametrize(
    "change", [{"shelving": "TimedShelved"}, {"shelving": "Unshelved", "shelve_left_ns": 5}, {"user": 7}]
)
def test_shelving_without_an_end_is_refused(change: dict[str, Any]) -> None:
    """A shelved alarm without an end would be hidden for ever, so such a state is refused."""
    bench = Bench()
    saved = bench.alarm.to_dict(0, 0)
    saved["availability"] |= change
    with pytest.raises(RejectedInput, match="alarm_state"):
        Alarm.from_dict(AlarmSpec("a"), bench.new_id, saved, 0, 0)
