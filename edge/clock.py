"""The two clocks of the daemon; everything else is told the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Nanoseconds of the monotonic clock, for durations, and since the Unix epoch, for stamps; tests bring their own."""

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    wall_ns: Callable[[], int] = time.time_ns
