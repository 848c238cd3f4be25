"""What a replay means: each stretch of faulty frames with its alarm, or why there was none; and what other thresholds and delays would give; pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from edge.alarm.machine import Alarm, Sample
from edge.alarm.state import AlarmSpec
from edge.frame import Quality
from edge.replay.simulation import SETTLE_NS, Change, Seen
from edge.units import NS_PER_S
from edge.verdict.channel import ChannelSpec
from edge.verdict.decide import VisionSpec, VisionState

NS_PER_DAY = 86_400 * NS_PER_S
DELAYS_S = (0.0, 0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Faulty frames in a row; `alarm_ns`: when it raised the alarm, None: it did not, and `why` says why not."""

    first_ns: int
    last_ns: int
    frames: int
    peak: float | None
    alarm_ns: int | None
    why: str

    @property
    def seconds(self) -> float:
        """From the first faulty frame to the last."""
        return (self.last_ns - self.first_ns) / NS_PER_S


@dataclass(frozen=True, slots=True)
class Preview:
    """How many alarms another threshold with another delay would have raised."""

    threshold: float
    on_delay_s: float
    alarms: int
    per_day: float


def stretches(flags: Sequence[Seen], changes: Sequence[Change], alarm: AlarmSpec | None) -> list[Stretch]:
    """Each stretch of faulty frames of one fault, and what became of it.

    Args:
        flags: of the fault, in order of time.
        changes: of its alarm, in order of time.
        alarm: how it becomes an alarm; None: it does not.
    """
    return [_stretch(run, follower, changes, alarm) for run, follower in _runs(flags)]


def _runs(flags: Sequence[Seen]) -> Iterator[tuple[list[Seen], int | None]]:
    """Faulty flags in a row, each with the time of what follows."""
    run: list[Seen] = []
    for flag in flags:
        if flag.verdict == "fault":
            run.append(flag)
        elif run and flag.verdict == "ok":
            yield run, flag.at_ns
            run = []
    if run:
        yield run, None


def _stretch(
    run: Sequence[Seen], follower_ns: int | None, changes: Sequence[Change], alarm: AlarmSpec | None
) -> Stretch:
    first_ns, last_ns = run[0].at_ns, run[-1].at_ns
    end_ns = last_ns + SETTLE_NS if follower_ns is None else follower_ns
    raised = next((change.at_ns for change in changes if change.raised and first_ns <= change.at_ns <= end_ns), None)
    peak = max((flag.score for flag in run if flag.score is not None), default=None)
    why = "" if raised is not None else _why_not(run, changes, alarm)
    return Stretch(first_ns, last_ns, len(run), peak, raised, why)


def _why_not(run: Sequence[Seen], changes: Sequence[Change], alarm: AlarmSpec | None) -> str:
    if alarm is None:
        return "it is a flag only: not armed, or without an alarm in the site file"
    before = [change.what.rpartition("->")[2] for change in changes if change.at_ns <= run[0].at_ns]
    state = before[-1] if before else "NORM"
    if state in {"UNACK_ALM", "ACK_ALM"}:
        return "the alarm was active already"
    if state in {"SHELVED", "SUPPRESSED", "OUT_OF_SERVICE"}:
        return f"the alarm was {state.lower().replace('_', ' ')}"
    lasted_s, delay_s = (run[-1].at_ns - run[0].at_ns) / NS_PER_S, alarm.on_delay_ns / NS_PER_S
    if len(run) < alarm.n:
        return f"{len(run)} faulty frames, and {alarm.n} of {alarm.m} are needed"
    if lasted_s < delay_s:
        return f"it lasted {lasted_s:.1f} s, and on_delay_ms is {delay_s * 1000:g}"
    return "too few of its frames were known and in a row"


def observed_ns(flags: Sequence[Seen]) -> int:
    """Time that was watched: gaps count up to a minute."""
    return sum(min(after.at_ns - before.at_ns, SETTLE_NS) for before, after in pairwise(flags))


def previews(
    flags: Sequence[Seen], channel: ChannelSpec, alarm: AlarmSpec, thresholds: Sequence[float]
) -> list[Preview]:
    """Alarms under other thresholds and delays, by the same verdict and the same alarm machine.

    Only for a fault of a camera alone: with sensor rules a threshold does not decide by itself.
    """
    if channel.fault is None or channel.rules:
        return []
    days = observed_ns(flags) / NS_PER_DAY
    share = channel.fault.release / channel.fault.threshold if channel.fault.threshold else 1.0
    delays_s = sorted({*DELAYS_S, alarm.on_delay_ns / NS_PER_S})
    found = []
    for threshold in thresholds:
        for delay_s in delays_s:
            spec = replace(alarm, on_delay_ns=round(delay_s * NS_PER_S))
            vision = VisionSpec(threshold, threshold * share, channel.stale_after_ns)
            count = _count(flags, vision, spec)
            found.append(Preview(threshold, delay_s, count, count / days if days else 0.0))
    return found


def _count(flags: Sequence[Seen], vision: VisionSpec, spec: AlarmSpec) -> int:
    state, alarm, raised = VisionState(vision), Alarm(spec, str), 0
    for flag in flags:
        score = float("nan") if flag.score is None else flag.score
        evidence = state.update(score, flag.at_ns, Quality(flag.quality))
        sample = Sample(evidence.verdict, evidence.quality, evidence.score)
        raised += sum(item.annunciate for item in alarm.step(sample, flag.at_ns, flag.at_ns))
    return raised


def thresholds_to_try(flags: Sequence[Seen], now: float, count: int = 7) -> list[float]:
    """Thresholds between the scores that were seen, and the one that holds now."""
    scores = sorted({flag.score for flag in flags if flag.score is not None})
    if not scores:
        return [now]
    places = {round(number * (len(scores) - 1) / max(1, count - 1)) for number in range(count)}
    return sorted({round(scores[place], 4) for place in places} | {round(now, 4)})


def rate_interval(count: int, days: float, rare: float = 0.05) -> tuple[float, float]:
    """Exact interval of a rate a day, by Garwood: the rates under which so few, or so many, are no surprise.

    Args:
        count: of what happened.
        days: in which it did, above 0.
        rare: chance of a true rate outside, both sides together.
    """
    low = 0.0 if count == 0 else _mean_at(lambda mean: 1.0 - _at_most(count - 1, mean), rare / 2, count)
    high = _mean_at(lambda mean: 1.0 - _at_most(count, mean), 1.0 - rare / 2, count)
    return low / days, high / days


def _at_most(count: int, mean: float) -> float:
    """Chance of at most so many, of a Poisson distribution."""
    if mean == 0.0:
        return 1.0
    return min(1.0, math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1)))


def _mean_at(rising: Callable[[float], float], wanted: float, count: int) -> float:
    """The mean at which a rising chance is as wanted."""
    low, high = 0.0, 2.0 * count + 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return (low + high) / 2
