"""The last seconds of one camera's encoded frames, with what was made of each; bounded in time and bytes; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from edge.frame import Frame


@dataclass(frozen=True, slots=True)
class Moment:
    """One frame, and what the daemon made of it as plain data for JSON."""

    frame: Frame
    facts: Mapping[str, Any]

    @property
    def size_bytes(self) -> int:
        """Of the picture; the facts are small beside it."""
        return len(self.frame.encoded)


class Ring:
    """Moments of one camera, oldest first.

    Args:
        span_ns: older ones are discarded.
        max_bytes: of pictures; beyond it the oldest are discarded. One that is larger alone is not kept.
    """

    def __init__(self, span_ns: int, max_bytes: int) -> None:
        self.limits = (span_ns, max_bytes)
        self._moments: deque[Moment] = deque()
        self.held_bytes = 0

    def __iter__(self) -> Iterator[Moment]:
        return iter(self._moments)

    def __len__(self) -> int:
        return len(self._moments)

    def add(self, moment: Moment) -> None:
        """Take the newest one."""
        self._moments.append(moment)
        self.held_bytes += moment.size_bytes
        self.let_go(moment.frame.received_ns)

    def let_go(self, now_ns: int) -> None:
        """Give up what is too old or too much at ``now_ns``: a camera that fell silent does not hold pictures forever."""
        span_ns, max_bytes = self.limits
        while self._moments and (now_ns - self._moments[0].frame.received_ns > span_ns or self.held_bytes > max_bytes):
            self.held_bytes -= self._moments.popleft().size_bytes
