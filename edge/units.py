"""Units of time in integer nanoseconds, rates, and the one percentile that every figure uses; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
FOREVER_NS = 1 << 62  # later than any time of either clock
RATE = r"^[0-9]{1,6}(\.[0-9]{1,6})? per (hour|day|week|month|year)$"  # of false alarms, as a site and a recipe write it
_PERIODS_S = {"hour": 3_600, "day": 86_400, "week": 604_800, "month": 2_592_000, "year": 31_536_000}

Number = TypeVar("Number", int, float)


def percentile(ordered: Sequence[Number], share: float) -> Number:
    """The nearest-rank percentile of an ordered, non-empty sequence, so one of its values; ``share`` is 0..1."""
    return ordered[min(len(ordered) - 1, max(0, -(-len(ordered) * round(share * 10_000) // 10_000) - 1))]


def mean_time_ns(rate: str) -> int:
    """The mean time between two of what happens at a rate such as ``1 per week``, ns.

    Raises:
        ValueError: it is none, or never.
    """
    number, _, period = rate.partition(" per ")
    if float(number) <= 0.0:
        raise ValueError(f"{rate!r} is never, which nothing can promise: write for example '1 per year'")
    return round(_PERIODS_S[period] * NS_PER_S / float(number))
