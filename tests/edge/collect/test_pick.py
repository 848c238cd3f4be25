"""Which frames are worth keeping: nearest to the threshold, highest, one at random, and those of alarms; each within its quota."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from edge.collect.pick import HOUR_NS, Chooser, Kind, Margin, Pick, Quota, margins
from edge.frame import Evidence, Frame, Quality, Verdict
from edge.verdict.channel import Channel, ChannelSpec, VisionFault
from edge.verdict.decide import Combine, FusionSpec
from edge.verdict.rules import Rule, RuleKind, RuleSpec

S = 1_000_000_000


def chooser(near: int = 0, highest: int = 0, random: int = 0, alarm: int = 0, *, seed: int = 1) -> Chooser:
    """So many of each kind an hour."""
    per_hour = {Kind.NEAR: near, Kind.HIGHEST: highest, Kind.RANDOM: random, Kind.ALARM: alarm}
    return Chooser(Quota(per_hour, 0.2), Random(seed))


def frame(seq: int, at_ns: int) -> Frame:
    """Number seq."""
    return Frame("cam", seq, b"x", at_ns, at_ns, at_ns)


def offer(found: Chooser, overs: list[float]) -> None:
    """A frame a second, each with one margin."""
    for number, over in enumerate(overs):
        found.offer(frame(number, number * S), [Margin("red", over)])


def taken(picks: list[Pick]) -> list[tuple[Kind, int, str, int]]:
    """What was picked, in short."""
    return [(pick.kind, pick.frame.seq, pick.fault, pick.worth) for pick in picks]


def test_the_nearest_on_either_side_is_kept_and_no_other() -> None:
    """The nearer, the more it is worth; farther than the margin counts for nothing."""
    found = chooser(near=1)
    offer(found, [-0.9, -0.15, 0.05, 0.1, -0.3])
    assert taken(list(found.due(HOUR_NS - 1))) == []
    assert taken(list(found.due(HOUR_NS))) == [(Kind.NEAR, 2, "red", 75)]
    offer(found, [-0.9, -0.3])
    assert taken(list(found.rest())) == []


def test_the_highest_over_its_threshold_is_kept() -> None:
    """Of several faults, the one that is farthest over its own threshold."""
    found = chooser(highest=2)
    found.offer(frame(1, 0), [Margin("red", -0.4), Margin("green", -0.2)])
    found.offer(frame(2, S), [Margin("red", 0.3), Margin("green", -0.9)])
    found.offer(frame(3, 2 * S), [Margin("red", 0.2)])
    assert taken(list(found.due(HOUR_NS // 2))) == [(Kind.HIGHEST, 2, "red", 65)]


def test_any_frame_is_as_likely_to_be_the_random_one() -> None:
    """Also the first and the last of a stretch."""
    counts: Counter[int] = Counter()
    found = chooser(random=1, seed=3)
    for _ in range(2000):
        offer(found, [-0.5] * 4)
        counts.update(pick.frame.seq for pick in found.rest())
    assert sum(counts.values()) >= 1500  # the same number twice in a row is one frame here
    assert max(counts.values()) < 1.3 * min(counts.values())


def test_a_frame_that_is_nearest_and_highest_is_given_once() -> None:
    """Its quota is not spent twice on one picture."""
    found = chooser(near=1, highest=1)
    offer(found, [-0.5, -0.01])
    assert [seq for _, seq, _, _ in taken(list(found.due(HOUR_NS)))] == [1]


def test_an_hour_gives_what_the_quota_says() -> None:
    """No more, whatever comes."""
    found, given = chooser(near=6, highest=2, random=3), Counter[Kind]()
    for second in range(3600):
        given.update(pick.kind for pick in found.due(second * S))
        found.offer(frame(second, second * S), [Margin("red", 0.1 - second % 7 / 100)])
    given.update(pick.kind for pick in found.due(3600 * S))
    assert given[Kind.NEAR] == 6
    assert 1 <= given[Kind.HIGHEST] <= 2
    assert 1 <= given[Kind.RANDOM] <= 3


def test_a_storm_of_alarms_gives_one_picture_in_its_time() -> None:
    """And none at all without a quota."""
    found = chooser(alarm=12)
    given = [found.alarm(frame(second, second * S), "red", second * S) for second in range(400)]
    assert [pick.frame.seq for pick in given if pick is not None] == [0, 300]
    assert chooser().alarm(frame(1, 0), "red", 0) is None


def test_nothing_is_considered_without_a_score_or_a_quota() -> None:
    """A frame without a score has no place in any of them."""
    found = chooser(near=1, random=1)
    found.offer(frame(1, 0), [])
    assert list(found.rest()) == []
    nothing = chooser()
    offer(nothing, [0.0, 0.1])
    assert list(nothing.due(HOUR_NS)) == []


@pytest.mark.parametrize(
    ("evidence", "over"),
    [
        (Evidence(Verdict.OK, 0.2, Quality.GOOD), [-0.4]),
        (Evidence(Verdict.FAULT, 0.9, Quality.GOOD), [0.3]),
        (Evidence(Verdict.UNKNOWN, 0.9, Quality.GOOD), []),
        (Evidence(Verdict.OK, None, Quality.GOOD), []),
        (Evidence(Verdict.OK, 0.2, Quality.UNCERTAIN), []),
    ],
)
def test_only_scores_that_can_be_trusted_count(evidence: Evidence, over: list[float]) -> None:
    """A score of a covered or a changed view says nothing of the fault."""
    assert [round(one.over, 3) for one in margins([(channel(), evidence)])] == over


def test_the_threshold_is_that_by_which_the_flag_decides() -> None:
    """Of joined evidence the joined one; of sensors alone there is none."""
    joined = channel(("shaking",), FusionSpec(Combine.WEIGHTED, (0.5, 0.5), 0.7))
    score = Evidence(Verdict.FAULT, 0.9, Quality.GOOD)
    assert [round(one.over, 3) for one in margins([(joined, score)])] == [0.2]
    assert margins([(channel(("shaking",), vision=False), score)]) == []


def channel(rules: tuple[str, ...] = (), fusion: FusionSpec | None = None, *, vision: bool = True) -> Channel:
    """One flag with its threshold at 0.6."""
    fault = VisionFault("red", 0.6, 0.5) if vision else None
    spec = ChannelSpec(
        "red", "Red", "cam", 0 if vision else None, fault, rules, fusion or FusionSpec(), armed=True, stale_after_ns=S
    )
    return Channel(spec, {name: Rule(RuleSpec(name, "vibration", RuleKind.ABOVE, 4.0)) for name in rules})
