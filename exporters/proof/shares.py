"""Shares with their number and exact interval, so that a report promises no more than its pictures can tell; pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

RARE = 0.05  # what lies outside an interval
ENOUGH = 20  # pictures from which a fault is called good or weak; below, only numbers are told
HALVINGS = 50  # of 0..1, until a root stands


@dataclass(frozen=True, slots=True)
class Share:
    """So many found of so many pictures."""

    found: int
    count: int

    @classmethod
    def of(cls, share: float | None, count: int) -> Share | None:
        """The share 0..1 that was measured on so many pictures; None: it was not measured."""
        return None if share is None or count == 0 else cls(round(share * count), count)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share, 0..1, if pictures are independent of each other."""
        return exact_interval(self.found, self.count)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.found / self.count:.1%} of {self.count} ({low:.1%} to {high:.1%})"


def cell(share: Share | None) -> str:
    """A cell of a table."""
    return "-" if share is None else str(share)


def exact_interval(found: int, count: int, rare: float = RARE) -> tuple[float, float]:
    """Interval of a share by Clopper and Pearson: the shares under which so few, or so many, are no surprise.

    Args:
        found: of them.
        count: of all.
        rare: chance of a true share outside, both sides together.
    """
    if count == 0:
        return 0.0, 1.0
    low = 0.0 if found == 0 else _root(lambda share: _at_least(found, count, share) - rare / 2)
    high = 1.0 if found == count else _root(lambda share: rare / 2 - (1 - _at_least(found + 1, count, share)))
    return low, high


def pictures_to_show(bound: float, rare: float = RARE) -> int:
    """Pictures of which none may be found, so that the interval of the share ends at ``bound`` (0..1, both excluded)."""
    return math.ceil(math.log(rare / 2) / math.log1p(-bound))


def _at_least(found: int, count: int, share: float) -> float:
    """Chance of at least so many of `count` at a share in 0..1."""
    if share in (0.0, 1.0):
        return float(share == 1.0 or found == 0)
    sums = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, count + 1)))])  # logarithms of factorials
    k = np.arange(found, count + 1)
    parts = sums[count] - sums[k] - sums[count - k] + k * math.log(share) + (count - k) * math.log1p(-share)
    return min(1.0, math.fsum(np.exp(parts)))


def _root(rising: Callable[[float], float]) -> float:
    """Where a rising function of 0..1 passes zero."""
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
