"""Sensor rules turn readings into evidence, and missing data never releases one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.frame import Quality, Reading, Verdict
from edge.rules import MAX_SAMPLES, Rule, RuleKind, RuleSpec

S = 1_000_000_000


def rule(
    kind: str = "above", limit: float = 10.0, deadband: float = 2.0, window_ns: int = S, stale_after_ns: int = 5 * S
) -> Rule:
    """A rule on sensor `t`."""
    return Rule(RuleSpec("r", "t", RuleKind(kind), limit, deadband, window_ns, stale_after_ns))


def feed(target: Rule, *values: float, start_ns: int = 0, every_ns: int = S) -> int:
    """Readings at equal distance; returns the time of the last one."""
    now_ns = start_ns
    for index, value in enumerate(values):
        now_ns = start_ns + index * every_ns
        target.update(Reading("t", value, now_ns))
    return now_ns


def test_never_seen_is_unknown_and_bad() -> None:
    """A sensor that never spoke says nothing, with quality bad."""
    evidence = rule().evidence(0)
    assert (evidence.verdict, evidence.score, evidence.quality) == (Verdict.UNKNOWN, None, Quality.BAD)


@pytest.mark.parametrize(("kind", "sign"), [("above", 1.0), ("below", -1.0)])
def test_limit_with_deadband(kind: str, sign: float) -> None:
    """A rule takes hold at its limit, holds inside the deadband, and lets go beyond it; below mirrors above."""
    target = rule(kind, limit=sign * 10.0, deadband=2.0)
    seen = []
    for index, value in enumerate((7.0, 9.0, 10.0, 9.0, 8.0, 7.9, 9.0)):
        target.update(Reading("t", sign * value, index))
        seen.append(target.evidence(index).verdict.value)
    assert seen == ["ok", "ok", "fault", "fault", "fault", "ok", "ok"]


def test_score_is_the_share_of_the_way_through_the_deadband() -> None:
    """The score is 1 at and beyond the limit, 0 when let go, and linear between, whatever side the rule came from."""
    target = rule()
    for value, score in ((12.0, 1.0), (10.0, 1.0), (9.0, 0.5), (8.0, 0.0), (5.0, 0.0)):
        target.update(Reading("t", value, 0))
        assert target.evidence(0).score == pytest.approx(score)


def test_without_a_deadband_the_score_is_zero_or_one() -> None:
    """No deadband, no ramp: nothing is divided by zero."""
    target = rule(deadband=0.0)
    for value, score in ((10.0, 1.0), (9.999, 0.0)):
        target.update(Reading("t", value, 0))
        assert target.evidence(0).score == score


def test_stale_is_unknown_and_keeps_the_memory() -> None:
    """A reading that is too old says nothing; back inside the deadband, the fault seen before still stands."""
    target = rule()
    target.update(Reading("t", 11.0, 0))
    assert target.evidence(5 * S).verdict is Verdict.FAULT
    stale = target.evidence(5 * S + 1)
    assert (stale.verdict, stale.score, stale.quality) == (Verdict.UNKNOWN, None, Quality.STALE)
    target.update(Reading("t", 9.0, 20 * S))
    assert target.evidence(20 * S).verdict is Verdict.FAULT


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_finite_is_unknown_and_bad(value: float) -> None:
    """A value that is no number gives no verdict and moves no memory."""
    target = rule()
    feed(target, 11.0, value)
    evidence = target.evidence(S)
    assert (evidence.verdict, evidence.quality) == (Verdict.UNKNOWN, Quality.BAD)
    feed(target, 9.0, start_ns=2 * S)
    assert target.evidence(2 * S).verdict is Verdict.FAULT


@pytest.mark.parametrize(("kind", "sign"), [("rise", 1.0), ("fall", -1.0)])
def test_rate_over_the_window(kind: str, sign: float) -> None:
    """Rise and fall compare the change per second over the window with a positive limit."""
    target = rule(kind, limit=3.0, deadband=1.0, window_ns=2 * S)
    now_ns = feed(target, 0.0, sign * 1.0)
    first = target.evidence(now_ns)
    assert (first.verdict, first.quality) == (Verdict.UNKNOWN, Quality.UNCERTAIN), "half a window is no rate"
    verdicts = []
    for index, value in enumerate((2.0, 7.0, 12.0, 14.0, 14.0, 14.0), start=2):
        target.update(Reading("t", sign * value, index * S))
        verdicts.append(target.evidence(index * S).verdict.value)
    # rates over 2 s: 1.0, 3.0, 5.0, 3.5, 1.0, 0.0; the rule lets go below 2.0
    assert verdicts == ["ok", "fault", "fault", "fault", "ok", "ok"]


def test_rate_in_the_other_direction_is_no_fault() -> None:
    """A steep fall is not a rise."""
    target = rule("rise", limit=1.0, window_ns=S)
    assert target.evidence(feed(target, 100.0, 50.0, 0.0)).verdict is Verdict.OK


def test_no_rate_across_missing_data() -> None:
    """After a gap longer than the stale time the window starts anew."""
    target = rule("rise", limit=1.0, window_ns=S, stale_after_ns=3 * S)
    feed(target, 0.0, 0.0)
    now_ns = feed(target, 100.0, start_ns=10 * S)
    assert target.evidence(now_ns).verdict is Verdict.UNKNOWN


def test_a_slow_sensor_is_measured_over_its_own_interval() -> None:
    """Readings further apart than the window still give a rate, over the real time between them."""
    target = rule("rise", limit=3.0, deadband=0.0, window_ns=S, stale_after_ns=10 * S)
    assert target.evidence(feed(target, 0.0, 16.0, every_ns=4 * S)).verdict is Verdict.FAULT
    assert target.evidence(feed(target, 16.0, 24.0, start_ns=8 * S, every_ns=4 * S)).verdict is Verdict.OK


def test_memory_is_bounded_and_the_rate_still_right() -> None:
    """At 2,000 messages a second over a minute the window keeps at most 64 samples and its span stays within 2 % of what was asked."""
    target = rule("rise", limit=2.0, deadband=0.0, window_ns=60 * S, stale_after_ns=S)
    for index in range(200_000):
        now_ns = index * S // 2000
        target.update(Reading("t", 2.05 * now_ns / S, now_ns))
    assert len(target._window) <= MAX_SAMPLES
    assert 60 * S <= now_ns - target._window[0][0] <= 61.2 * S
    assert target.evidence(now_ns).verdict is Verdict.FAULT


@given(st.lists(st.tuples(st.integers(0, 3 * S), st.floats(allow_nan=True, allow_infinity=True)), max_size=40))
def test_any_readings_give_sound_evidence(steps: list[tuple[int, float]]) -> None:
    """Whatever a sensor sends, a known verdict has a score in 0..1 and good quality, an unknown one has no score and is not good."""
    for kind in RuleKind:
        target, now_ns = rule(kind.value), 0
        for gap_ns, value in steps:
            now_ns += gap_ns
            target.update(Reading("t", value, now_ns))
            evidence = target.evidence(now_ns)
            if evidence.verdict is Verdict.UNKNOWN:
                assert evidence.score is None
                assert evidence.quality is not Quality.GOOD
            else:
                assert evidence.score is not None
                assert 0.0 <= evidence.score <= 1.0
                assert evidence.quality is Quality.GOOD


@pytest.mark.parametrize(
    "change", [{"limit": math.nan}, {"deadband": -1.0}, {"window_ns": 0}, {"stale_after_ns": 0}, {"deadband": math.inf}]
)
def test_a_rule_that_cannot_be_is_refused(change: dict[str, float]) -> None:
    """Numbers that make no rule are a configuration error that names the rule."""
    with pytest.raises(ConfigError, match="rule r:"):
        RuleSpec(**{"id": "r", "sensor": "t", "kind": RuleKind.ABOVE, "limit": 1.0, **change})  # type: ignore[arg-type]  # on purpose
