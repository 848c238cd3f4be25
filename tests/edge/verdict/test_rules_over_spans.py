"""Rules on statistics, on two sensors and behind gates: what is missing is unknown, and what does not apply says nothing."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.frame import Evidence, Quality, Reading, Verdict
from edge.verdict.origin import Join, OriginSpec
from edge.verdict.rules import Rule, RuleKind, RuleSpec
from edge.verdict.window import Statistic

S = 1_000_000_000
FAULT, OK, UNKNOWN = Verdict.FAULT, Verdict.OK, Verdict.UNKNOWN
GOOD, UNCERTAIN, STALE, BAD = Quality.GOOD, Quality.UNCERTAIN, Quality.STALE, Quality.BAD


def over(of: str, kind: str = "above", limit: float = 10.0, **more: Any) -> Rule:
    """A rule on a statistic of sensor `t` over 8 s."""
    return Rule(RuleSpec("r", "t", RuleKind(kind), limit, of=Statistic(of), **{"over_ns": 8 * S, **more}))


def fed(rule: Rule, *values: float, start_s: float = 0.0, every_s: float = 1.0) -> Evidence:
    """What a rule says after readings at equal distance."""
    now_ns = 0
    for index, value in enumerate(values):
        now_ns = round((start_s + index * every_s) * S)
        rule.update(Reading("t", value, now_ns))
    return rule.evidence(now_ns)


@pytest.mark.parametrize(
    ("of", "kind", "limit", "values", "verdict"),
    [
        ("mean", "above", 5.0, [0.0, 10.0] * 6, FAULT),
        ("mean", "above", 5.1, [0.0, 10.0] * 6, OK),
        ("std", "above", 4.0, [0.0, 10.0] * 6, FAULT),
        ("std", "below", 0.5, [7.0] * 12, FAULT),
        ("rms", "above", 4.9, [-5.0, 5.0] * 6, FAULT),
        ("range", "above", 9.0, [0.0, 10.0] * 6, FAULT),
        ("slope", "above", 1.9, [2.0 * index for index in range(12)], FAULT),
        ("slope", "below", -1.9, [-2.0 * index for index in range(12)], FAULT),
        ("slope", "above", 2.1, [2.0 * index for index in range(12)], OK),
        ("count", "above", 8.0, [1.0] * 12, FAULT),
        ("count", "above", 9.0, [1.0] * 12, OK),
        ("count", "equals", 8.0, [1.0] * 12, FAULT),
        ("mean", "outside", 4.0, [4.5] * 12, OK),
        ("mean", "outside", 4.0, [3.5] * 12, FAULT),
        ("mean", "outside", 4.0, [6.5] * 12, FAULT),
    ],
)
def test_a_statistic_against_its_limit(of: str, kind: str, limit: float, values: list[float], verdict: Verdict) -> None:
    """Once the whole span is known, the verdict is good and that of the statistic."""
    found = fed(over(of, kind, limit, high=6.0), *values)
    assert (found.verdict, found.quality) == (verdict, GOOD)


def test_one_noisy_end_does_not_make_a_slope() -> None:
    """The line through all readings moves little where the rate between two of them jumps."""
    values = [0.0] * 12 + [6.0]
    assert fed(over("slope", limit=0.8), *values).verdict is OK
    rate = Rule(RuleSpec("r", "t", RuleKind.RISE, 0.7, window_ns=8 * S))
    assert fed(rate, *values).verdict is FAULT


def test_a_span_is_unknown_then_uncertain_then_good() -> None:
    """Until half of it is known nothing is said; until all of it is, a fault may be shown and none cleared."""
    rule = over("mean")
    said = [fed(rule, 1.0, start_s=second) for second in range(12)]
    assert [item.verdict for item in said[:8]] == [UNKNOWN] * 8
    assert {item.quality for item in said[:8]} == {UNCERTAIN}
    assert (said[8].verdict, said[8].quality) == (OK, GOOD)
    hot = over("mean")
    assert fed(hot, *[11.0] * 4).verdict is UNKNOWN
    found = fed(hot, 11.0, 11.0, start_s=4)
    assert (found.verdict, found.quality) == (FAULT, UNCERTAIN)


def test_time_without_data_is_not_filled() -> None:
    """After a gap the span is known in part, and an ok becomes unknown until the gap has left it."""
    rule = over("mean", stale_after_ns=2 * S)
    assert fed(rule, *[1.0] * 12).verdict is OK
    assert fed(rule, 1.0, start_s=14.1).verdict is UNKNOWN
    assert fed(rule, *[1.0] * 7, start_s=15.0).verdict is UNKNOWN
    assert fed(rule, *[1.0] * 4, start_s=22.0).verdict is OK


def test_a_bad_reading_is_unknown_at_once_and_a_hole_later() -> None:
    """What the source could not measure counts for nothing, and the span says so."""
    rule = over("mean")
    fed(rule, *[1.0] * 12)
    found = fed(rule, math.nan, start_s=12)
    assert (found.verdict, found.quality) == (UNKNOWN, BAD)
    found = fed(rule, 1.0, start_s=13)
    assert (found.verdict, found.quality) == (UNKNOWN, UNCERTAIN)
    assert fed(rule, *[1.0] * 9, start_s=14).verdict is OK


def test_a_doubtful_reading_in_the_span_can_show_a_fault_and_clear_none() -> None:
    """The newest is good, and the span holds one that is not."""
    for value, verdict in ((1.0, UNKNOWN), (11.0, FAULT)):
        rule = over("mean")
        fed(rule, *[value] * 12)
        rule.update(Reading("t", value, 12 * S, quality=UNCERTAIN))
        found = fed(rule, value, start_s=13)
        assert (found.verdict, found.quality) == (verdict, UNCERTAIN)


def test_a_late_reading_fills_its_cell() -> None:
    """A record that comes behind a newer one counts in the span it was measured in, and too late it changes nothing."""
    rule = over("range", limit=5.0)
    fed(rule, *[1.0] * 12)
    rule.update(Reading("t", 9.0, 12 * S, age_ns=4 * S))
    assert rule.evidence(12 * S).verdict is FAULT
    calm = over("range", limit=5.0)
    fed(calm, *[1.0] * 12)
    calm.update(Reading("t", 9.0, 12 * S, age_ns=11 * S))
    assert calm.evidence(12 * S).verdict is OK


def test_a_count_falls_when_nothing_more_comes() -> None:
    """Six rejects in eight seconds are a fault; no more of them end it, though no reading says so."""
    rule = over("count", limit=6.0, stale_after_ns=60 * S)
    fed(rule, *[1.0] * 12)
    assert rule.evidence(11 * S).verdict is FAULT
    assert rule.evidence(15 * S).verdict is OK
    assert rule.evidence(71 * S + 1).verdict is UNKNOWN
    silent = over("count", limit=6.0)
    assert fed(silent, math.nan).quality is BAD


def two(join: Join, kind: str = "above", limit: float = 5.0) -> Rule:
    """A rule on `t` and `u`."""
    return Rule(
        RuleSpec("r", "t", RuleKind(kind), limit, join=join, other=OriginSpec("u", 3 * S, frozen_after_ns=9 * S))
    )


def test_a_difference_follows_both_sensors() -> None:
    """Either of them moves it; without the other there is none."""
    rule = two(Join.DIFFERENCE)
    rule.update(Reading("t", 20.0, 0))
    assert rule.evidence(0) == Evidence(UNKNOWN, None, BAD)
    rule.update(Reading("u", 18.0, 0))
    assert rule.evidence(0).verdict is OK
    rule.update(Reading("u", 14.0, S))
    assert rule.evidence(S).verdict is FAULT
    rule.update(Reading("t", 15.0, S))
    assert rule.evidence(S).verdict is OK


def test_a_difference_to_a_silent_sensor_is_unknown() -> None:
    """By its own stale time, also when the other goes on."""
    rule = two(Join.DIFFERENCE)
    rule.update(Reading("u", 1.0, 0))
    rule.update(Reading("t", 2.0, 0))
    rule.update(Reading("t", 20.0, 4 * S))
    found = rule.evidence(4 * S)
    assert (found.verdict, found.quality) == (UNKNOWN, STALE)
    rule.update(Reading("u", 1.0, 8 * S))
    found = rule.evidence(8 * S)
    assert (found.verdict, found.quality) == (UNKNOWN, UNCERTAIN), "the two lie 4 s apart"


def test_an_earlier_record_of_one_of_two_sensors_changes_nothing() -> None:
    """What the other measured at that time is not kept."""
    rule = two(Join.DIFFERENCE)
    rule.update(Reading("t", 2.0, 2 * S))
    rule.update(Reading("u", 1.0, 2 * S))
    rule.update(Reading("t", 90.0, 2 * S, age_ns=S))
    assert rule.evidence(2 * S).verdict is OK


def test_a_ratio_with_a_stuck_sensor_is_unknown() -> None:
    """The second sensor repeats one value for longer than its site allows."""
    rule = two(Join.RATIO, "below", 2.0)
    for second in range(12):
        rule.update(Reading("t", 4.0 + second, second * S))
        rule.update(Reading("u", 1.0, second * S))
    assert rule.evidence(11 * S) == Evidence(UNKNOWN, None, BAD)


def gated(settle_ns: int = 0, **more: Any) -> tuple[Rule, Rule]:
    """A gate that holds while the speed is 100 or more, and a rule on `t` behind it."""
    running = Rule(RuleSpec("running", "speed", RuleKind.ABOVE, 100.0))
    rule = Rule(RuleSpec("r", "t", RuleKind.ABOVE, 10.0, when=("running",), settle_ns=settle_ns, **more))
    rule.link({"running": running, "r": rule})
    return running, rule


def test_a_rule_behind_a_closed_gate_does_not_apply() -> None:
    """And what was read meanwhile does not count when the gate opens."""
    running, rule = gated()
    running.update(Reading("speed", 0.0, 0))
    rule.update(Reading("t", 99.0, 0))
    assert not rule.applies(0)
    assert rule.evidence(0).verdict is UNKNOWN
    running.update(Reading("speed", 200.0, S))
    assert rule.applies(S)
    assert rule.evidence(S) == Evidence(UNKNOWN, None, UNCERTAIN), "nothing was read since it opened"
    rule.update(Reading("t", 99.0, S))
    assert rule.evidence(S).verdict is FAULT
    running.update(Reading("speed", 0.0, 2 * S))
    assert not rule.applies(2 * S)


def test_a_gate_of_which_nothing_is_known_leaves_the_rule_unknown() -> None:
    """It may apply, so it is not left out: nothing may be cleared without it."""
    running, rule = gated()
    rule.update(Reading("t", 1.0, 0))
    assert rule.applies(0)
    assert rule.evidence(0).verdict is UNKNOWN
    running.update(Reading("speed", 200.0, 0))
    rule.update(Reading("t", 1.0, 0))
    assert rule.evidence(0).verdict is OK
    rule.update(Reading("t", 1.0, 6 * S))
    assert rule.applies(6 * S)
    assert rule.evidence(6 * S).verdict is UNKNOWN, "the gate's sensor is silent"


def test_a_start_may_settle_before_the_rule_counts() -> None:
    """Readings of the transient are no fault, and no memory of them is left."""
    running, rule = gated(settle_ns=3 * S, of=Statistic.MEAN, over_ns=2 * S)
    for second in range(9):
        running.update(Reading("speed", 200.0, second * S))
        rule.update(Reading("t", 99.0 if second < 3 else 1.0, second * S))
        assert rule.applies(second * S) == (second >= 3)
    assert rule.evidence(8 * S).verdict is OK


def test_a_gate_that_closed_settles_again_though_nothing_was_read_meanwhile() -> None:
    """The second start is as long a transient as the first."""
    running, rule = gated(settle_ns=3 * S)
    running.update(Reading("speed", 200.0, 0))
    rule.update(Reading("t", 1.0, 0))
    assert [rule.applies(second * S) for second in (0, 3)] == [False, True]
    running.update(Reading("speed", 0.0, 4 * S))
    assert not rule.applies(4 * S)
    running.update(Reading("speed", 200.0, 5 * S))
    assert [rule.applies(second * S) for second in (5, 7, 8)] == [False, False, True]


def test_an_earlier_record_from_behind_a_closed_gate_leaves_no_trace() -> None:
    """The gate is looked at whenever a reading comes."""
    running, rule = gated()
    running.update(Reading("speed", 200.0, S))
    rule.update(Reading("t", 1.0, S))
    running.update(Reading("speed", 0.0, 2 * S))
    rule.begin_interval()
    rule.update(Reading("t", 99.0, 2 * S, age_ns=2 * S))
    running.update(Reading("speed", 200.0, 2 * S))
    assert rule.evidence(2 * S).verdict is OK


@pytest.mark.parametrize(
    "fields",
    [
        {"of": Statistic.MEAN},
        {"over_ns": 8 * S},
        {"kind": RuleKind.RISE, "of": Statistic.MEAN, "over_ns": 8 * S},
        {"kind": RuleKind.OUTSIDE, "high": 9.0},
        {"kind": RuleKind.OUTSIDE},
    ],
)
def test_a_spec_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    """Span without statistic, statistic without span, a rate of a statistic, limits in the wrong order or open."""
    with pytest.raises(ConfigError):
        RuleSpec(**{"id": "r", "sensor": "t", "kind": RuleKind.ABOVE, "limit": 10.0, **fields})


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("t", "u", "speed")),
            st.integers(0, 3 * S),
            st.integers(0, 4 * S),
            st.floats(allow_nan=True, allow_infinity=True),
        ),
        max_size=30,
    ),
    st.sampled_from(Statistic),
    st.sampled_from(Join),
)
def test_any_readings_give_sound_evidence(steps: list[tuple[str, int, int, float]], of: Statistic, join: Join) -> None:
    """Whatever three sensors send, known means a score in 0..1 and unknown means none and not good."""
    running = Rule(RuleSpec("running", "speed", RuleKind.ABOVE, 0.0))
    span_ns = 0 if of is Statistic.LAST else 4 * S
    made = [
        RuleSpec("a", "t", RuleKind.ABOVE, 0.0, deadband=1.0, of=of, over_ns=span_ns),
        RuleSpec("b", "t", RuleKind.OUTSIDE, 0.0, high=1.0, of=of, over_ns=span_ns, when=("running",)),
        RuleSpec("c", "t", RuleKind.BELOW, 0.0, of=of, over_ns=span_ns, join=join, other=OriginSpec("u", S)),
    ]
    rules = [Rule(spec) for spec in made]
    now_ns = 0
    for rule in rules:
        rule.link({"running": running})
    for sensor, gap_ns, age_ns, value in steps:
        now_ns += gap_ns
        for rule in (running, *rules):
            if sensor in rule.spec.sensors:
                rule.update(Reading(sensor, value, now_ns, age_ns=age_ns))
            found = rule.evidence(now_ns)
            if found.verdict is UNKNOWN:
                assert found.score is None
                assert found.quality is not GOOD
            else:
                assert found.score is not None
                assert 0.0 <= found.score <= 1.0
