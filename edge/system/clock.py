"""The daemon's two clocks, and whether the kernel holds the wall clock to be right; elsewhere time is an argument."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass

_TIME_ERROR = 5  # adjtimex: the clock is not synchronised
_TIMEX_BYTES = 256  # room for struct timex (208 on 64-bit Linux); all zero it only asks


def kernel_synchronised() -> bool | None:
    """Whether something (NTP, PTP, GPS) keeps the system clock synchronised, as the kernel reports it; None: it does not report it."""
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None  # no Linux
    state: int = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else state != _TIME_ERROR


@dataclass(frozen=True, slots=True)
class Clock:
    """Nanoseconds of the monotonic clock, for durations, and since the Unix epoch, for stamps, with its trust; tests bring their own."""

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    wall_ns: Callable[[], int] = time.time_ns
    synchronised: Callable[[], bool | None] = kernel_synchronised
