"""Keeps each camera's newest frame and each fault's recent scores, so that an occurrence is explained by its own facts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from edge.explain.sentence import Facts
from edge.frame import Evidence, Frame, Verdict
from edge.region import Region
from edge.units import NS_PER_S

EARLIER_NS = NS_PER_S
MAX_HISTORY = 256  # scores of one fault that are remembered: a second of any camera


class Limit(Protocol):
    """The bundle's facts about a fault, as far as a sentence needs them."""

    @property
    def threshold(self) -> float:
        """Score from which it counts."""
        ...

    @property
    def false_alarms(self) -> float | None:
        """Share of normal pictures above it, as measured at export; None: never measured."""
        ...

    @property
    def unnamed(self) -> bool:
        """Whether it is whatever is unlike the normal pictures."""
        ...


class Fault(Protocol):
    """One fault's channel, as far as an explanation needs it."""

    @property
    def id(self) -> str:
        """Its alarm."""
        ...

    @property
    def title(self) -> str:
        """For people."""
        ...

    @property
    def camera(self) -> str | None:
        """Whose pictures show it."""
        ...

    @property
    def region(self) -> Region:
        """The part of the picture that shows it."""
        ...

    @property
    def vision(self) -> int | None:
        """Its place among the graph's scores."""
        ...

    @property
    def fault(self) -> Limit | None:
        """The bundle's facts about it."""
        ...


class Memory:
    """Remembers what frames showed.

    Args:
        faults: every flag channel.
        rules: verdicts of a fault's sensor rules now, by its id.
    """

    def __init__(self, faults: Sequence[Fault], rules: Callable[[str, int], tuple[tuple[str, Verdict], ...]]) -> None:
        self.faults = {fault.id: fault for fault in faults}
        self._rules = rules
        self._newest: dict[str, Frame] = {}
        self._scores: dict[str, deque[tuple[int, float]]] = {}

    def observe(self, frame: Frame, seen: Sequence[tuple[str, Evidence | None]]) -> None:
        """A frame was judged: remember it, and each fault's own score on it."""
        self._newest[frame.camera] = frame
        for fault_id, evidence in seen:
            if evidence is not None and evidence.score is not None:
                kept = self._scores.setdefault(fault_id, deque(maxlen=MAX_HISTORY))
                kept.append((frame.received_ns, evidence.score))

    def newest(self, camera: str | None) -> Frame | None:
        """The newest frame of a camera."""
        return None if camera is None else self._newest.get(camera)

    def facts(self, fault: Fault, now_ns: int) -> Facts:
        """What is known of a fault now."""
        kept = self._scores.get(fault.id)
        rules = self._rules(fault.id, now_ns)
        if fault.fault is None or not kept:
            return Facts(title=fault.title, camera=fault.camera, rules=rules)
        seen_ns, score = kept[-1]
        earlier = next((old for at_ns, old in reversed(kept) if seen_ns - at_ns >= EARLIER_NS), None)
        ranked = sorted(self._margins(fault), key=lambda item: -item[1])
        rank = 1 + [name for name, _ in ranked].index(fault.id)
        return Facts(
            title=fault.title,
            camera=fault.camera,
            score=round(score, 4),
            limit=fault.fault.threshold,
            earlier=None if earlier is None else round(earlier, 4),
            rank=rank,
            of=len(ranked),
            ahead=self.faults[ranked[rank - 2][0]].title if rank > 1 else None,
            rules=rules,
            false_alarms=fault.fault.false_alarms,
            explained_by=self._standing(ranked) if fault.fault.unnamed else None,
        )

    def _standing(self, ranked: Sequence[tuple[str, float]]) -> tuple[str, ...]:
        """Titles of the named faults that stand at their limits or above."""
        found = [self.faults[name] for name, margin in ranked if margin >= 0]
        return tuple(one.title for one in found if one.fault is not None and not one.fault.unnamed)

    def _margins(self, beside: Fault) -> list[tuple[str, float]]:
        """How far each fault that looks where this one looks is above its limit now."""
        return [
            (name, self._scores[name][-1][1] - fault.fault.threshold)
            for name, fault in self.faults.items()
            if (fault.camera, fault.region) == (beside.camera, beside.region)
            and fault.fault is not None
            and self._scores.get(name)
        ]
