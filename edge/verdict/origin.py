"""What is known of the sensors that a rule reads, and their difference or ratio; pure.

Two values make one only when both are fresh: the value of a silent sensor does not belong to the other's newest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from edge.frame import Reading, worst
from edge.units import FOREVER_NS

JITTER_NS = 5_000_000  # between the two clocks that an age is counted with


class Join(StrEnum):
    """What is made of the values of two sensors."""

    DIFFERENCE = "difference"
    RATIO = "ratio"


_JOINED: Mapping[Join, Callable[[float, float], float]] = {
    Join.DIFFERENCE: lambda one, other: one - other,
    Join.RATIO: lambda one, other: one / other if other != 0.0 else math.nan,
}


@dataclass(frozen=True, slots=True)
class OriginSpec:
    """One sensor, and when its value is stale.

    Without a reading for ``stale_after_ns``, or when the newest was measured more than ``max_age_ns`` ago (0: its own time does not matter), nothing
    is known; nor when the value has been exactly the same for ``frozen_after_ns`` (0: it may).
    """

    sensor: str
    stale_after_ns: int
    max_age_ns: int = 0
    frozen_after_ns: int = 0


class Origin:
    """The newest reading of one sensor."""

    __slots__ = ("_changed_ns", "newest", "spec")

    def __init__(self, spec: OriginSpec) -> None:
        self.spec = spec
        self.newest: Reading | None = None
        self._changed_ns = 0  # when the newest value came to be what it is

    def take(self, reading: Reading) -> None:
        """Take the newest reading; a gap before it ends what was steady."""
        before, self.newest = self.newest, reading
        gap_ns = 0 if before is None else reading.measured_ns - before.measured_ns
        if before is None or reading.value != before.value or gap_ns > self.spec.stale_after_ns:
            self._changed_ns = reading.measured_ns

    def is_earlier(self, reading: Reading) -> bool:
        """Whether a reading was measured before the newest, as an earlier record of a batch is."""
        newest = self.newest
        if newest is None or not math.isfinite(newest.value):
            return False
        return reading.measured_ns < newest.measured_ns - JITTER_NS

    def is_stale(self, now_ns: int) -> bool:
        """Whether its newest reading is too old; without one it is not stale but unknown."""
        if self.newest is None:
            return False
        if now_ns - self.newest.received_ns > self.spec.stale_after_ns:
            return True
        return 0 < self.spec.max_age_ns < now_ns - self.newest.measured_ns

    def steady_until_ns(self, now_ns: int) -> int:
        """From when its newest reading is too old, if it is not so at `now_ns` already."""
        newest = self.newest
        if newest is None or self.is_stale(now_ns):
            return FOREVER_NS
        by_source_ns = newest.measured_ns + self.spec.max_age_ns if self.spec.max_age_ns > 0 else FOREVER_NS
        return min(newest.received_ns + self.spec.stale_after_ns, by_source_ns) + 1

    def is_frozen(self) -> bool:
        """Whether it repeated one value for too long."""
        if self.newest is None:
            return False
        return 0 < self.spec.frozen_after_ns <= self.newest.measured_ns - self._changed_ns


def joined(one: Origin, other: Origin, how: Join) -> Reading | None:
    """One reading of two sensors, at the time of the later one; None: one was never read, or they lie too far apart in time."""
    first, second = one.newest, other.newest
    if first is None or second is None:
        return None
    apart_ns = abs(first.measured_ns - second.measured_ns)
    if apart_ns > min(one.spec.stale_after_ns, other.spec.stale_after_ns):
        return None
    later = first if first.measured_ns >= second.measured_ns else second
    return Reading(
        sensor=first.sensor,
        value=_JOINED[how](first.value, second.value),
        received_ns=later.received_ns,
        age_ns=later.age_ns,
        quality=worst(first.quality, second.quality),
    )
