"""What was seen lately: each camera's newest frame and each fault's scores, from which come the facts of an occurrence as they stood when it was raised."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from edge.bundle import FaultSpec
from edge.explain.sentence import Facts
from edge.frame import Evidence, Frame, Verdict

NS_PER_S = 1_000_000_000
EARLIER_NS = NS_PER_S
MAX_HISTORY = 256  # scores of one fault that are remembered: a second of any camera


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
    def vision(self) -> int | None:
        """Its place among the graph's scores."""
        ...

    @property
    def fault(self) -> FaultSpec | None:
        """What the bundle says of it."""
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

    def look(self, frame: Frame, seen: Sequence[tuple[str, Evidence | None]]) -> None:
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
        calibration = fault.fault.calibration
        ranked = sorted(self._margins(fault.camera), key=lambda item: -item[1])
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
            false_alarms=calibration.false_alarm_measured if calibration else None,
        )

    def _margins(self, camera: str | None) -> list[tuple[str, float]]:
        """How far each fault of a camera stands above its limit now."""
        return [
            (name, self._scores[name][-1][1] - fault.fault.threshold)
            for name, fault in self.faults.items()
            if fault.camera == camera and fault.fault is not None and self._scores.get(name)
        ]
