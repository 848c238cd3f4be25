"""Sensor rules turn readings into evidence, and missing data never releases one."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.frame import Quality, Reading, Verdict
from edge.verdict.origin import Join, OriginSpec
from edge.verdict.rules import MAX_SAMPLES, Rule, RuleKind, RuleSpec, linked
from edge.verdict.window import Statistic

S = 1_000_000_000


def rule(
    kind: str = "above", limit: float = 10.0, deadband: float = 2.0, window_ns: int = S, stale_after_ns: int = 5 * S
) -> Rule:
    """A rule on sensor `t`; outside has its upper limit 10 above the lower."""
    return Rule(RuleSpec("r", "t", RuleKind(kind), limit, deadband, window_ns, stale_after_ns, high=limit + 10.0))


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
    assert len(target._rates) <= MAX_SAMPLES
    assert 60 * S <= now_ns - target._rates[0][0] <= 61.2 * S
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


# Times of measurement, doubtful values, traces


def measured(value: float, at_ns: int, received_ns: int, quality: Quality = Quality.GOOD) -> Reading:
    """A reading whose source says when it was measured."""
    return Reading("t", value, received_ns, 1, received_ns - at_ns, quality)


def aged(
    kind: str,
    *,
    limit: float = 10.0,
    window_ns: int = S,
    stale_after_ns: int = 5 * S,
    max_age_ns: int = 10 * S,
    frozen_after_ns: int = 0,
) -> Rule:
    """A rule that looks at the age of what it hears."""
    return Rule(RuleSpec("r", "t", RuleKind(kind), limit, 0.0, window_ns, stale_after_ns, max_age_ns, frozen_after_ns))


def test_a_rate_is_per_second_of_measurement() -> None:
    """A backlog that comes in a second and was measured over a minute makes no rate of its own."""
    target = aged("rise", limit=1.0, window_ns=10 * S, max_age_ns=100 * S, stale_after_ns=100 * S)
    for index in range(13):
        target.update(measured(index * 0.5, index * 5 * S, 60 * S + index * S // 12))
    assert target.evidence(61 * S).verdict is Verdict.OK, "0.1 a second"


def test_the_time_of_measurement_decides_how_old_a_reading_is() -> None:
    """Nine seconds old at its receipt, of ten that it may be: known for one second more."""
    target = aged("above")
    target.update(measured(20.0, 1 * S, 10 * S))
    assert target.evidence(11 * S).verdict is Verdict.FAULT
    assert target.evidence(11 * S + 1).quality is Quality.STALE


def test_an_earlier_record_leaves_a_trace_and_changes_nothing_else() -> None:
    """A peak that a batch tells of afterwards is seen once; the newest reading says what is so now."""
    target = aged("above")
    target.begin_interval()
    target.update(measured(1.0, 10 * S, 10 * S))
    target.update(measured(400.0, 8 * S, 10 * S))
    assert target.evidence(10 * S).verdict is Verdict.FAULT
    target.begin_interval()
    assert target.evidence(10 * S).verdict is Verdict.OK


@pytest.mark.parametrize(("kind", "value"), [("above", 1.0), ("above", math.nan), ("rise", 400.0)])
def test_an_earlier_record_that_shows_no_fault_leaves_no_trace(kind: str, value: float) -> None:
    """A good or bad value of before changes nothing, and a rate needs its readings in order."""
    target = aged(kind)
    target.begin_interval()
    target.update(measured(1.0, 10 * S, 10 * S))
    before = target.evidence(10 * S)
    target.update(measured(value, 8 * S, 10 * S))
    assert target.evidence(10 * S) == before


def test_a_reading_that_could_not_be_taken_leaves_nothing_known() -> None:
    """The next good one counts again."""
    target = rule()
    feed(target, 20.0)
    target.miss(1)
    assert target.evidence(1).verdict is Verdict.UNKNOWN
    target.update(Reading("t", 20.0, 2))
    assert target.evidence(2).verdict is not Verdict.UNKNOWN


@pytest.mark.parametrize("after", [0.0, math.nan])
def test_a_fault_between_two_looks_is_seen_at_the_next_one(after: float) -> None:
    """A trip of 20 ms that is over before anybody looks; even when the next word of the sensor is that it is bad."""
    target = rule(deadband=0.0)
    target.begin_interval()
    target.update(Reading("t", 20.0, 1))
    target.update(Reading("t", after, 2, quality=Quality.BAD if math.isnan(after) else Quality.GOOD))
    assert target.evidence(3).verdict is Verdict.FAULT
    target.begin_interval()
    assert target.evidence(4).verdict is (Verdict.UNKNOWN if math.isnan(after) else Verdict.OK)


@pytest.mark.parametrize(("value", "verdict"), [(20.0, Verdict.FAULT), (1.0, Verdict.UNKNOWN)])
def test_a_doubtful_value_can_show_a_fault_and_not_its_absence(value: float, verdict: Verdict) -> None:
    """What the source calls uncertain is as little a proof of health as a late frame."""
    target = aged("above")
    target.update(measured(value, 1, 1, Quality.UNCERTAIN))
    evidence = target.evidence(1)
    assert (evidence.verdict, evidence.quality) == (verdict, Quality.UNCERTAIN)


def test_a_value_that_never_moves_says_nothing_once_the_site_calls_it_stuck() -> None:
    """Exactly the same for so long is unknown, a fault too; the next other value is believed."""
    target = aged("above", frozen_after_ns=3 * S)
    verdicts = []
    for second, value in enumerate((1.0, 1.0, 1.0, 1.0, 1.0, 1.1)):
        target.update(Reading("t", value, second * S))
        verdicts.append(target.evidence(second * S).verdict.value)
    assert verdicts == ["ok", "ok", "ok", "unknown", "unknown", "ok"]


@pytest.mark.parametrize(
    ("kind", "limit", "deadband", "values"),
    [
        ("equals", 3.0, 0.0, {3.0: "fault", 3.1: "ok", -3.0: "ok"}),
        ("equals", 3.0, 0.2, {3.1: "fault", 3.5: "ok"}),
        ("differs", 3.0, 0.0, {3.0: "ok", 4.0: "fault"}),
        ("bit_set", 0.0, 0.0, {1.0: "fault", 2.0: "ok", 3.0: "fault", 0.0: "ok"}),
        ("bit_set", 15.0, 0.0, {32768.0: "fault", 32767.0: "ok", -1.0: "fault", -32768.0: "fault"}),
        ("bit_clear", 4.0, 0.0, {16.0: "ok", 15.0: "fault"}),
        ("bit_set", 1.0, 0.0, {2.5: "unknown", 2.0**60: "unknown", 2.0: "fault"}),
    ],
)
def test_equality_and_bits(kind: str, limit: float, deadband: float, values: dict[float, str]) -> None:
    """States and status words; what has no bits, a fraction or a number too large to be exact, is unknown."""
    target = Rule(RuleSpec("r", "t", RuleKind(kind), limit, deadband))
    for at, (value, verdict) in enumerate(values.items()):
        target.update(Reading("t", value, at))
        assert target.evidence(at).verdict.value == verdict, value
        assert target.evidence(at).score == {"fault": 1.0, "ok": 0.0}.get(verdict)


@pytest.mark.parametrize("limit", [-1.0, 0.5, 53.0])
def test_what_is_no_bit_is_refused(limit: float) -> None:
    """A bit is a whole number from 0 to 52."""
    with pytest.raises(ConfigError, match="number of a bit"):
        RuleSpec("r", "t", RuleKind.BIT_SET, limit)


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"max_age_ns": 2 * S},
        {"kind": "rise", "limit": 1.0},
        {"of": Statistic.MEAN, "over_ns": 3 * S},
        {"of": Statistic.COUNT, "over_ns": 3 * S, "kind": "below"},
        {"join": Join.DIFFERENCE, "other": OriginSpec("u", 2 * S)},
        {"when": ("gate",), "settle_ns": S},
    ],
    ids=lambda spec: "-".join(spec) or "plain",
)
def test_evidence_stays_until_a_rule_says_so(spec: dict[str, Any]) -> None:
    """Unless a reading comes of what it listens to; where it says that nothing is certain, nothing is."""
    draw, now_ns, steady = random.Random(5), 0, 0
    base: dict[str, Any] = {
        "kind": RuleKind.ABOVE,
        "limit": 5.0,
        "deadband": 1.0,
        "stale_after_ns": 3 * S,
        "frozen_after_ns": 9 * S,
    }
    gate = Rule(RuleSpec("gate", "g", RuleKind.ABOVE, 5.0, stale_after_ns=4 * S))
    target = linked({"r": Rule(RuleSpec(**(base | {"id": "r", "sensor": "t"} | spec))), "gate": gate})["r"]
    assert target.listens == {"t"} | ({"u"} if "join" in spec else set()) | ({"g"} if "when" in spec else set())
    for _ in range(600):
        now_ns += draw.choice((S // 20, S // 2, 2 * S))
        for each in (target, gate):
            each.begin_interval()
        for sensor in sorted(target.listens | {"g"}):
            if draw.random() < 0.4:
                reading = Reading(
                    sensor, draw.choice((1.0, 4.5, 9.0, math.nan)), now_ns, age_ns=draw.choice((0, S // 4))
                )
                (gate if sensor == "g" else target).update(reading)
        seen = target.applies(now_ns), target.evidence(now_ns)
        until_ns = target.steady_until_ns(now_ns)
        steady += until_ns > now_ns
        for later_ns in sorted({draw.randrange(now_ns, now_ns + 6 * S) for _ in range(3)} | {until_ns - 1}):
            if now_ns <= later_ns < min(until_ns, now_ns + 6 * S):
                assert (target.applies(later_ns), target.evidence(later_ns)) == seen
    assert steady > (0 if spec.get("of") is Statistic.COUNT else 200) or spec.get("of") is Statistic.COUNT
