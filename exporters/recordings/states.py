"""Operating states of a plant, found in the values of one sensor: 2 to 4 levels with gaps between them, proposed and never used unseen; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MOST, LEAST = 4, 2
SAMPLE = 400  # values that are looked at, by rank
LEAST_SHARE = 0.02  # of the time; less is no state
GAP = 2.0  # a gap between two states is at least so many times as wide as the wider of them
_OUTER = 2.0  # percent at each end of a state that its width leaves out: what passes from one to the next is of none


@dataclass(frozen=True, slots=True)
class Proposal:
    """States that were found: values between them, ascending, and of each its usual range and share of the time."""

    edges: tuple[float, ...]
    ranges: tuple[tuple[float, float], ...]
    shares: tuple[float, ...]

    def lines(self, sensor: str) -> list[str]:
        """For people, with the line of the recipe that says yes."""
        told = "; ".join(
            f"{low:.4g} to {high:.4g} ({100 * share:.0f} % of the time)"
            for (low, high), share in zip(self.ranges, self.shares, strict=True)
        )
        return [
            f"{sensor} has {len(self.ranges)} states: {told}.",
            f"If that is how the plant runs, write into [state]: edges = [{', '.join(f'{edge:g}' for edge in self.edges)}]",
        ]


def find_states(values: Floats) -> Proposal | None:
    """The most states, up to 4, between which a sensor hardly ever is; None: it has but one.

    Args:
        values: of normal operation, in any order.
    """
    ordered = np.sort(values[np.isfinite(values)])
    if len(ordered) < LEAST * 2:
        return None
    ranks = np.linspace(0, len(ordered) - 1, min(SAMPLE, len(ordered))).round().astype(int)
    sample = ordered[ranks]
    for count in range(MOST, LEAST - 1, -1):
        found = _proposal([sample[first:end] for first, end in _clusters(sample, count)])
        if found is not None:
            return found
    return None


def _proposal(parts: list[Floats]) -> Proposal | None:
    """The parts as states; None: one is too rare, or two are not apart."""
    total = sum(len(part) for part in parts)
    if any(len(part) < max(2, LEAST_SHARE * total) for part in parts):
        return None
    ranges = [
        (float(low), float(high)) for low, high in (np.percentile(part, [_OUTER, 100 - _OUTER]) for part in parts)
    ]
    edges = []
    for (low, high), (next_low, next_high) in pairwise(ranges):
        if next_low - high < GAP * max(high - low, next_high - next_low) or next_low <= high:
            return None
        edges.append(_short((high + next_low) / 2, next_low - high))
    return Proposal(tuple(edges), tuple(ranges), tuple(len(part) / total for part in parts))


def _clusters(ordered: Floats, count: int) -> list[tuple[int, int]]:
    """Ascending values cut into so many runs with the least sum of squares, exactly; each run as first and end."""
    size = len(ordered)
    centred = ordered - ordered.mean()
    sums, squares = np.r_[0.0, np.cumsum(centred)], np.r_[0.0, np.cumsum(centred**2)]

    def cost(first: NDArray[np.int64], end: int) -> Floats:
        within: Floats = squares[end] - squares[first] - (sums[end] - sums[first]) ** 2 / np.maximum(end - first, 1)
        return within

    best = np.full((count + 1, size + 1), np.inf)
    cut = np.zeros((count + 1, size + 1), np.int64)
    best[0, 0] = 0.0
    for number in range(1, count + 1):
        for end in range(number, size + 1):
            firsts = np.arange(number - 1, end)
            totals = best[number - 1, firsts] + cost(firsts, end)
            place = int(totals.argmin())
            best[number, end], cut[number, end] = totals[place], firsts[place]
    runs, end = [], size
    for number in range(count, 0, -1):
        first = int(cut[number, end])
        runs.append((first, end))
        end = first
    return runs[::-1]


def _short(value: float, gap: float) -> float:
    """A value with as few digits as the gap allows."""
    return round(value, max(0, 1 - math.floor(math.log10(gap / 2))))
