"""Which frame answers which trigger of one camera, and what a trigger is answered that no frame answers; pure, time is an argument.

A frame answers at most one trigger, the newest one that it fits: with two parts and one frame, one part stays unseen. The best known time of each
counts: its own where it has one, else its receipt.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Generic, TypeVar

KEPT_FRAMES = 256  # ten seconds of a usual camera
KEPT_PARTS = 1_000  # ids that are remembered with their answers
MOST_WAITING = 32  # triggers of one camera; more is no line, but a sender that repeats


class Outcome(StrEnum):
    """What became of a trigger."""

    JUDGED = "judged"  # a frame fits, and shows a fault, or that there is none
    TIMEOUT = "timeout"  # no frame fits
    DUPLICATE = "duplicate"  # the part was asked for before: the first answer again
    LATE = "late"  # its own time is longer ago than it may wait
    BUSY = "busy"  # too many triggers wait
    UNKNOWN = "unknown"  # a frame fits and does not show whether there is a fault; or the trigger cannot be read


Asker = TypeVar("Asker")
Sight = TypeVar("Sight")


@dataclass(frozen=True, slots=True)
class Window:
    """Which frames fit a trigger, and for how long it waits; `repeat_ns`: the same part within so long is a repetition."""

    before_ns: int
    after_ns: int
    timeout_ns: int
    repeat_ns: int


@dataclass(frozen=True, slots=True)
class Asked(Generic[Asker]):
    """A trigger: the part is before the camera at `at_ns`; `asker` comes back with the answer."""

    part: str | None
    at_ns: int
    received_ns: int
    asker: Asker


@dataclass(frozen=True, slots=True, eq=False)
class Seen(Generic[Sight]):
    """A frame that had its turn; `known`: it shows a fault, or that there is none."""

    at_ns: int
    known: bool
    sight: Sight


@dataclass(frozen=True, slots=True)
class Answer(Generic[Asker, Sight]):
    """What a trigger is answered.

    Args:
        asked: the trigger.
        outcome: what became of it.
        seen: the frame that answers it; None: none does.
        first: of a repetition, what became of the first one.
        times: how often this part was asked for, as far as it is remembered.
    """

    asked: Asked[Asker]
    outcome: Outcome
    seen: Seen[Sight] | None = None
    first: Outcome | None = None
    times: int = 1


@dataclass(slots=True, eq=False)
class _Waiting(Generic[Asker]):
    asked: Asked[Asker]
    again: list[Asked[Asker]] = field(default_factory=list)  # repetitions, which get the same answer


@dataclass(frozen=True, slots=True)
class _Known(Generic[Asker, Sight]):
    answer: Answer[Asker, Sight]
    at_ns: int
    times: int


class Matcher(Generic[Asker, Sight]):
    """The triggers and frames of one camera.

    Args:
        window: which frames fit.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self._waiting: list[_Waiting[Asker]] = []
        self._frames: deque[Seen[Sight]] = deque(maxlen=KEPT_FRAMES)  # those that answered nothing yet
        self._newest_ns: int | None = None
        self._parts: OrderedDict[str, _Known[Asker, Sight]] = OrderedDict()

    def ask(self, asked: Asked[Asker], now_ns: int) -> list[Answer[Asker, Sight]]:
        """A trigger came; what is answered by it at once."""
        known = self._known(asked.part, now_ns)
        if known is not None and asked.part is not None:
            self._parts[asked.part] = known = replace(known, times=known.times + 1)
            first = known.answer
            return [Answer(asked, Outcome.DUPLICATE, first.seen, first.outcome, known.times)]
        same = self._asked(asked.part)
        if len(self._waiting) >= MOST_WAITING or (same is not None and len(same.again) >= MOST_WAITING):
            return [Answer(asked, Outcome.BUSY)]
        if same is not None:
            same.again.append(asked)
            return []
        if now_ns - asked.at_ns > self.window.timeout_ns:
            return self._answered(_Waiting(asked), Outcome.LATE, None, now_ns)
        self._waiting.append(_Waiting(asked))
        return self.tick(now_ns)

    def see(self, seen: Seen[Sight], now_ns: int) -> list[Answer[Asker, Sight]]:
        """A frame had its turn; the triggers that are answered now."""
        self._frames.append(seen)
        self._newest_ns = max(seen.at_ns, self._newest_ns or seen.at_ns)
        return self.tick(now_ns)

    def tick(self, now_ns: int) -> list[Answer[Asker, Sight]]:
        """Time passed; the triggers that are answered now."""
        answers: list[Answer[Asker, Sight]] = []
        for one, seen in list(self._choices(self._frames, self._newest_ns, now_ns)):
            self._waiting.remove(one)
            if seen is not None:
                self._frames.remove(seen)
            outcome = Outcome.TIMEOUT if seen is None else Outcome.JUDGED if seen.known else Outcome.UNKNOWN
            answers += self._answered(one, outcome, seen, now_ns)
        self._forget(now_ns)
        return answers

    def part(self, seen: Seen[Sight], now_ns: int) -> str | None:
        """Whose picture a frame is that has its turn now, should it show what is to be seen; None: it answers no trigger that waits."""
        if not self._waiting:
            return None
        newest_ns = max(seen.at_ns, self._newest_ns or seen.at_ns)
        chosen = self._choices([*self._frames, seen], newest_ns, now_ns)
        return next((one.asked.part for one, choice in chosen if choice is seen), None)

    def end(self) -> list[Answer[Asker, Sight]]:
        """Nothing waits any more: the camera goes."""
        gone, self._waiting = self._waiting, []
        return [Answer(asked, Outcome.UNKNOWN) for one in gone for asked in (one.asked, *one.again)]

    @property
    def waiting(self) -> int:
        """How many triggers wait."""
        return len(self._waiting)

    def _choices(
        self, frames: Iterable[Seen[Sight]], newest_ns: int | None, now_ns: int
    ) -> Iterator[tuple[_Waiting[Asker], Seen[Sight] | None]]:
        """The triggers that can be answered, the newest first, each with its frame, or None where none fits and none can come."""
        free = list(frames)
        for one in sorted(self._waiting, key=lambda item: item.asked.at_ns, reverse=True):
            at_ns = one.asked.at_ns
            fitting = [seen for seen in free if self._fits(at_ns, seen)]
            known = [seen for seen in fitting if seen.known]
            passed = newest_ns is not None and newest_ns > at_ns + self.window.after_ns
            over = passed or now_ns - one.asked.received_ns >= self.window.timeout_ns
            if not over and not any(seen.at_ns >= at_ns for seen in known):
                continue
            choice = _nearest(known or fitting, at_ns)
            if choice is not None:
                free.remove(choice)
            yield one, choice

    def _fits(self, at_ns: int, seen: Seen[Sight]) -> bool:
        return -self.window.before_ns <= seen.at_ns - at_ns <= self.window.after_ns

    def _known(self, part: str | None, now_ns: int) -> _Known[Asker, Sight] | None:
        """What this part was answered, if that is not too long ago."""
        known = None if part is None else self._parts.get(part)
        return known if known is not None and now_ns - known.at_ns < self.window.repeat_ns else None

    def _asked(self, part: str | None) -> _Waiting[Asker] | None:
        """The trigger of this part that waits, where another one is its repetition."""
        if part is None or self.window.repeat_ns == 0:
            return None
        return next((one for one in self._waiting if one.asked.part == part), None)

    def _answered(
        self, one: _Waiting[Asker], outcome: Outcome, seen: Seen[Sight] | None, now_ns: int
    ) -> list[Answer[Asker, Sight]]:
        """Answer a trigger and its repetitions, and remember the answer."""
        part = one.asked.part
        before = None if part is None else self._parts.pop(part, None)
        times = 1 if before is None else before.times + 1
        first = Answer(one.asked, outcome, seen, None, times)
        again = [
            Answer(asked, Outcome.DUPLICATE, seen, outcome, times + number)
            for number, asked in enumerate(one.again, start=1)
        ]
        if part is not None:
            self._parts[part] = _Known(first, now_ns, times + len(again))
        return [first, *again]

    def _forget(self, now_ns: int) -> None:
        """Drop what nothing can ask for any more."""
        reach_ns = self.window.timeout_ns + self.window.before_ns
        while self._frames and now_ns - self._frames[0].at_ns > 2 * reach_ns:
            self._frames.popleft()
        while len(self._parts) > KEPT_PARTS:
            self._parts.popitem(last=False)


def _nearest(frames: Iterable[Seen[Sight]], at_ns: int) -> Seen[Sight] | None:
    """The frame nearest to a time; of two as near the later one."""
    return min(frames, key=lambda seen: (abs(seen.at_ns - at_ns), -seen.at_ns), default=None)
