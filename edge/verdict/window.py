"""Statistics of readings over a span of the source's own time, in a bounded ring of cells; pure.

The span is cut into cells of a fixed grid, so a reading costs the same whatever the rate, and one that comes late still falls into its cell.
Time without data is no data: nothing is interpolated, and `known_share` is how much of the span is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

CELLS = 64  # of a span: its length is then right to within 1.6 %


class Statistic(StrEnum):
    """What a rule compares: the newest value, or a statistic over a span."""

    LAST = "last"
    MEAN = "mean"
    STD = "std"
    RMS = "rms"
    SLOPE = "slope"
    RANGE = "range"
    COUNT = "count"


LEAST_READINGS = {
    Statistic.STD: 2,
    Statistic.RANGE: 2,
    Statistic.SLOPE: 3,
}  # fewer prove nothing; of the others one is enough


@dataclass(frozen=True, slots=True)
class Moments:
    """What is kept of some readings: two such sets can be joined exactly, so no reading has to be kept.

    ``time`` and ``value`` are means (s, the sensor's unit); ``tt``, ``tv``, ``vv`` sums of products of the deviations from them.
    """

    count: int
    time: float
    value: float
    tt: float = 0.0
    tv: float = 0.0
    vv: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def joined(self, other: Moments) -> Moments:
        """The moments of both sets."""
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        count = self.count + other.count
        share, weight = other.count / count, self.count * other.count / count
        by_time, by_value = other.time - self.time, other.value - self.value
        return Moments(
            count=count,
            time=self.time + by_time * share,
            value=self.value + by_value * share,
            tt=self.tt + other.tt + by_time * by_time * weight,
            tv=self.tv + other.tv + by_time * by_value * weight,
            vv=self.vv + other.vv + by_value * by_value * weight,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
        )

    def statistic(self, of: Statistic) -> float | None:
        """One statistic; None: too few readings, or numbers too large to count with.

        The standard deviation is that of a sample (n - 1); the slope is that of the least-squares line, in units per second.
        """
        if self.count < LEAST_READINGS.get(of, 0 if of is Statistic.COUNT else 1):
            return None
        found = self._statistic(of)
        return found if math.isfinite(found) else None

    def _statistic(self, of: Statistic) -> float:
        if of is Statistic.COUNT:
            return float(self.count)
        if of is Statistic.STD:
            return math.sqrt(self.vv / (self.count - 1))
        if of is Statistic.RMS:
            return math.sqrt(self.value * self.value + self.vv / self.count)
        if of is Statistic.RANGE:
            return self.high - self.low
        if of is Statistic.SLOPE:
            return self.tv / self.tt if self.tt > 0.0 else math.nan
        return self.value


NOTHING = Moments(0, 0.0, 0.0)


@dataclass(slots=True)
class _Cell:
    """One cell of the grid: what was read in it, for how long the sensor was known in it (ns), and whether all of that was good."""

    moments: Moments = NOTHING
    known_ns: int = 0
    good: bool = True


class Window:
    """The newest `span_ns` of a sensor.

    Args:
        span_ns: length, ns of the source's time.

    Raises:
        ValueError: it is shorter than one ns for each cell.
    """

    __slots__ = (
        "_cells",
        "_closed",
        "_closed_good",
        "_closed_known_ns",
        "_index",
        "_origin_ns",
        "_step_ns",
        "_until_ns",
    )

    def __init__(self, span_ns: int) -> None:
        if span_ns < CELLS:
            raise ValueError(f"a window of {span_ns} ns is too short to be cut into {CELLS} cells")
        self._step_ns = span_ns // CELLS
        self.clear()

    def clear(self) -> None:
        """Delete everything."""
        self._cells: dict[int, _Cell] = {}
        self._index = 0  # of the newest cell
        self._until_ns: int | None = None  # up to here the span reaches
        self._origin_ns = 0  # times are counted from here: small numbers keep their precision
        self._close()

    def advance(self, to_ns: int, *, known: bool) -> None:
        """Let the span reach to `to_ns`; `known`: the sensor gave data without a gap since it last moved."""
        if self._until_ns is None:
            self._origin_ns, known = to_ns, False
            since_ns = to_ns
        elif to_ns <= self._until_ns:
            return
        else:
            since_ns = self._until_ns
        self._until_ns = to_ns
        index = to_ns // self._step_ns
        first = index - CELLS + 1
        if known:
            for place in range(max(first, since_ns // self._step_ns), index + 1):
                begin_ns = place * self._step_ns
                self._cell(place).known_ns += min(to_ns, begin_ns + self._step_ns) - max(since_ns, begin_ns)
        if index != self._index:
            self._index = index
            self._cells = {place: cell for place, cell in self._cells.items() if place >= first}
            self._close()

    def put(self, value: float, measured_ns: int, *, good: bool) -> bool:
        """Put a reading into its cell; returns whether the span still reaches back to it."""
        assert self._until_ns is not None  # noqa: S101 - narrows the type: the caller advanced before
        place = min(measured_ns, self._until_ns) // self._step_ns
        if place <= self._index - CELLS:
            return False
        cell = self._cell(place)
        cell.moments = cell.moments.joined(
            Moments(1, (measured_ns - self._origin_ns) / 1e9, value, low=value, high=value)
        )
        cell.good = cell.good and good
        if place != self._index:
            self._close()
        return True

    @property
    def moments(self) -> Moments:
        """Of all readings in the span."""
        newest = self._cells.get(self._index)
        return self._closed if newest is None else self._closed.joined(newest.moments)

    @property
    def good(self) -> bool:
        """Whether every reading in the span was."""
        newest = self._cells.get(self._index)
        return self._closed_good and (newest is None or newest.good)

    @property
    def known_share(self) -> float:
        """The share of the span for which the sensor gave data without a gap, 0..1; exactly 1 when it did all the time."""
        if self._until_ns is None:
            return 0.0
        newest = self._cells.get(self._index)
        known_ns = self._closed_known_ns + (0 if newest is None else newest.known_ns)
        span_ns = self._until_ns - (self._index - CELLS + 1) * self._step_ns
        return known_ns / span_ns if span_ns > 0 else 0.0

    @property
    def cells(self) -> int:
        """How many cells are kept: the bound of its memory."""
        return len(self._cells)

    def _cell(self, place: int) -> _Cell:
        return self._cells.setdefault(place, _Cell())

    def _close(self) -> None:
        """Join all cells but the newest, which is joined when it is read."""
        closed = [cell for place, cell in self._cells.items() if place != self._index]
        self._closed = NOTHING
        for cell in closed:
            self._closed = self._closed.joined(cell.moments)
        self._closed_known_ns = sum(cell.known_ns for cell in closed)
        self._closed_good = all(cell.good for cell in closed)
