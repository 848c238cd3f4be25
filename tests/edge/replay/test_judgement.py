"""Each stretch of faulty frames has its alarm, or a reason why there was none; previews count what other settings would raise."""

from __future__ import annotations

from typing import Any

import pytest

from edge.alarm.state import AlarmSpec
from edge.replay.judgement import observed_ns, previews, rate_interval, stretches, thresholds_to_try
from edge.replay.simulation import Change, Seen
from edge.verdict.channel import ChannelSpec, VisionFault
from edge.verdict.decide import FusionSpec

S = 1_000_000_000


def flags(pattern: str, step_s: float = 1.0) -> list[Seen]:
    """F: faulty at 0.9, o: ok at 0.1, u: unknown."""
    kinds = {"F": ("fault", 0.9, "good"), "o": ("ok", 0.1, "good"), "u": ("unknown", None, "bad")}
    return [Seen(round(number * step_s * S), *kinds[letter]) for number, letter in enumerate(pattern)]


def change(at_s: float, what: str) -> Change:
    """A transition of the alarm."""
    return Change(round(at_s * S), "red", what, "o1")


def channel(*rules: str) -> ChannelSpec:
    """A fault of a camera, released at 0.4 and faulty from 0.5."""
    return ChannelSpec("red", "Red", "cam", 0, VisionFault("red", 0.5, 0.4), rules, FusionSpec(), True, 10 * S)  # noqa: FBT003 - a record's field


def test_a_stretch_ends_where_the_fault_is_seen_to_be_gone() -> None:
    """Unknown frames do not end it."""
    found = stretches(flags("oFuFoF"), [], AlarmSpec("red"))
    assert [(item.frames, item.seconds, item.peak) for item in found] == [(2, 2.0, 0.9), (1, 0.0, 0.9)]


@pytest.mark.parametrize(
    ("pattern", "changes", "alarm", "why"),
    [
        ("oFo", [], None, "flag only"),
        ("oFo", [], {"on_delay_ns": 2 * S}, "it lasted 0.0 s, and on_delay_ms is 2000"),
        ("oFo", [], {"n": 3, "m": 5}, "1 faulty frames, and 3 of 5 are needed"),
        ("ooF", [("NORM->UNACK_ALM", 1.0)], {}, "active already"),
        ("ooF", [("NORM->SHELVED", 1.0)], {}, "was shelved"),
        ("oFo", [], {}, "too few of its frames"),
    ],
)
def test_no_alarm_has_a_reason(pattern: str, changes: list[tuple[str, float]], alarm: Any, why: str) -> None:
    """The first that holds."""
    spec = None if alarm is None else AlarmSpec("red", **alarm)
    (found,) = stretches(flags(pattern), [change(at_s, what) for what, at_s in changes], spec)
    assert found.alarm_ns is None
    assert why in found.why


def test_an_alarm_belongs_to_the_stretch_in_which_it_was_raised() -> None:
    """Also one that comes after a delay."""
    found = stretches(flags("oFFFoF"), [change(3.0, "NORM->UNACK_ALM")], AlarmSpec("red"))
    assert [item.alarm_ns for item in found] == [3 * S, None]


def test_previews_count_by_the_same_verdict_and_the_same_machine() -> None:
    """A longer delay and a higher threshold raise fewer; the setting of now gives what the replay gave."""
    seen = flags("ooFFFFooFoooo")
    alarm = AlarmSpec("red", off_delay_ns=0, auto_ack=True)
    found = {(item.threshold, item.on_delay_s): item.alarms for item in previews(seen, channel(), alarm, [0.5, 0.95])}
    assert (found[0.5, 0.0], found[0.5, 2.0], found[0.95, 0.0]) == (2, 1, 0)
    assert previews(seen, channel("shaking"), alarm, [0.5]) == []


def test_watched_time_leaves_long_gaps_out() -> None:
    """A day without pictures is not a day without alarms."""
    seen = [Seen(at * S, "ok", 0.1, "good") for at in (0, 10, 86_400)]
    assert observed_ns(seen) == 70 * S


def test_thresholds_are_tried_where_scores_are() -> None:
    """From the lowest to the highest, with the one of now; without scores only that."""
    assert thresholds_to_try(flags("oF"), 0.5) == [0.1, 0.5, 0.9]
    assert thresholds_to_try(flags("u"), 0.5) == [0.5]


@pytest.mark.parametrize(
    ("count", "days", "low", "high"),
    [
        (0, 1.0, 0.0, 3.689),
        (1, 1.0, 0.0253, 5.572),
        (10, 1.0, 4.795, 18.39),
        (10, 5.0, 0.959, 3.678),
        (500, 1.0, 457.1, 545.8),
    ],
)
def test_a_rate_has_its_exact_interval(count: int, days: float, low: float, high: float) -> None:
    """As tables of Poisson limits have it; no alarm in a day still allows almost four."""
    assert rate_interval(count, days) == pytest.approx((low, high), rel=1e-3, abs=1e-4)
