"""Which frames of a camera are worth keeping: of each stretch of time the one nearest to a threshold, the highest, and one at random; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import NamedTuple

from edge.beside import Verdicts
from edge.frame import Frame, Quality, Verdict
from edge.units import NS_PER_S
from edge.verdict.channel import ChannelSpec
from edge.verdict.decide import Combine

HOUR_NS = 3600 * NS_PER_S


class Kind(StrEnum):
    """Why a picture was kept."""

    NEAR = "near"
    HIGHEST = "highest"
    RANDOM = "random"
    ALARM = "alarm"  # the picture on which an alarm was raised


@dataclass(frozen=True, slots=True)
class Pick:
    """A frame that is worth keeping; ``worth`` is 0 to 100 and decides which of a kind go first."""

    frame: Frame
    kind: Kind
    fault: str
    worth: int


class Margin(NamedTuple):  # made for each flag of each frame, and a tuple is the cheapest record
    """How far the score of one flag lies above its threshold; negative: below."""

    fault: str
    over: float


def margins(verdicts: Verdicts) -> list[Margin]:
    """Of every flag with a score that can be trusted."""
    return [
        Margin(channel.spec.id, evidence.score - threshold)
        for channel, evidence in verdicts
        if evidence.score is not None
        and evidence.verdict is not Verdict.UNKNOWN
        and evidence.quality is Quality.GOOD
        and (threshold := _threshold(channel.spec)) is not None
    ]


def _threshold(spec: ChannelSpec) -> float | None:
    if spec.fusion.combine is Combine.WEIGHTED and spec.rules:
        return spec.fusion.threshold
    return None if spec.fault is None else spec.fault.threshold


@dataclass(frozen=True, slots=True)
class Quota:
    """What is kept of one camera.

    Args:
        per_hour: pictures of each kind; 0: none.
        near: farthest from a threshold that is near it, as a score.
    """

    per_hour: dict[Kind, int]
    near: float


class Chooser:
    """Chooses among the frames of one camera; it holds one frame of each kind at most."""

    def __init__(self, quota: Quota, random: Random) -> None:
        self.quota = quota
        self._random = random
        self._best: dict[Kind, tuple[float, Pick]] = {}
        self._ends_ns: dict[Kind, int] = {}
        self._count = 0  # of frames in this stretch, of which one is taken at random
        self._next_alarm_ns: int | None = None
        self._taken_seq = -1  # of a frame that was given already

    def offer(self, frame: Frame, found: list[Margin]) -> None:
        """Consider a frame that was judged."""
        if not found:
            return
        for kind in (Kind.NEAR, Kind.HIGHEST, Kind.RANDOM):
            if self.quota.per_hour[kind]:
                self._ends_ns.setdefault(kind, frame.received_ns + HOUR_NS // self.quota.per_hour[kind])
                self._consider(kind, frame, found)

    def _consider(self, kind: Kind, frame: Frame, found: list[Margin]) -> None:
        if kind is Kind.RANDOM:
            self._count += 1
            if self._random.random() * self._count < 1.0:
                self._best[kind] = 0.0, Pick(frame, kind, "", 50)
            return
        if kind is Kind.NEAR:
            one = min(found, key=lambda margin: abs(margin.over))
            rank = 1.0 - abs(one.over) / self.quota.near if self.quota.near else 0.0
            worth = rank
        else:
            one = max(found, key=lambda margin: margin.over)
            rank, worth = one.over, 0.5 + one.over / 2.0
        if kind is Kind.NEAR and rank <= 0.0:
            return
        held = self._best.get(kind)
        if held is None or rank > held[0]:
            self._best[kind] = rank, Pick(frame, kind, one.fault, round(100 * min(1.0, max(0.0, worth))))

    def due(self, now_ns: int) -> Iterator[Pick]:
        """The best of each stretch that is over; none twice."""
        for kind in [kind for kind, ends_ns in self._ends_ns.items() if now_ns >= ends_ns]:
            yield from self._take(kind)

    def rest(self) -> Iterator[Pick]:
        """The best of the stretches that are not over: the daemon ends."""
        for kind in list(self._ends_ns):
            yield from self._take(kind)

    def _take(self, kind: Kind) -> Iterator[Pick]:
        del self._ends_ns[kind]
        if kind is Kind.RANDOM:
            self._count = 0
        _, pick = self._best.pop(kind, (0.0, None))
        if pick is not None and pick.frame.seq != self._taken_seq:
            self._taken_seq = pick.frame.seq
            yield pick

    def alarm(self, frame: Frame, alarm_id: str, now_ns: int) -> Pick | None:
        """The picture on which an alarm was raised; None: its quota is used up."""
        per_hour = self.quota.per_hour[Kind.ALARM]
        if not per_hour or (self._next_alarm_ns is not None and now_ns < self._next_alarm_ns):
            return None
        self._next_alarm_ns = now_ns + HOUR_NS // per_hour
        return Pick(frame, Kind.ALARM, alarm_id, 100)
