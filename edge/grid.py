"""Readings of several sensors on one grid of the source's own time, in a bounded ring of cells: the window that a graph judges; pure.

Each sensor's cells lie around its own first reading, so that one which is sent once a cell does not fall between two. A reading that comes late
still fills its cell. A cell without a reading has no value: nothing is interpolated.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.frame import Quality, Reading, worst
from edge.verdict.origin import Origin, OriginSpec

LEAD = 2  # cells that a sensor may be ahead of the newest complete one
_LARGEST = 1e38  # a larger value is none: the graph counts in float32
_EMPTY = -(2**63)


@dataclass(frozen=True, slots=True)
class GridSpec:
    """What a window holds: `length` cells of `period_ns` for each of its sensors, judged every `step` cells.

    ``aggregate`` is ``mean``, ``last`` or ``rms`` of what fell into a cell. With less than ``min_valid`` of the cells of any sensor nothing is known.
    """

    sensors: tuple[OriginSpec, ...]
    period_ns: int
    length: int
    step: int
    aggregate: str
    min_valid: float

    @property
    def stale_after_ns(self) -> int:
        """Without a new judgement for so long, nothing is known."""
        return (self.step + LEAD) * self.period_ns + max(sensor.stale_after_ns for sensor in self.sensors)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A window at one time: float32 [length, sensors] twice, what is 0 without a value, and 1 where there is one.

    `quality` is good where every cell has a good value, uncertain where some have not; worse: nothing is known.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.float32]
    quality: Quality


class Grid:
    """The newest cells of all sensors of a window."""

    __slots__ = (
        "_ahead", "_count", "_counts", "_good", "_goods", "_newest", "_offset_ns", "_origin_ns", "_origins", "_place", "_places", "_row", "_taken", "_total",
        "_totals", "judged", "spec",
    )  # fmt: skip

    def __init__(self, spec: GridSpec) -> None:
        self.spec = spec
        shape = (len(spec.sensors), spec.length + LEAD)
        cells = shape[0] * shape[1]
        # Written as arrays, whose elements are cheaper than numpy's (a reading takes half as long), and read by numpy over the same memory.
        self._place = array("q", [_EMPTY] * cells)  # which cell of the grid is in each slot of the ring
        self._total = array("d", [0.0] * cells)
        self._count = array("q", [0] * cells)
        self._good = array("b", [False] * cells)
        self._taken = array("q", [_EMPTY] * cells)  # when the newest reading of a cell was measured
        self._places: NDArray[np.int64] = np.frombuffer(self._place, np.int64).reshape(shape)
        self._totals: NDArray[np.float64] = np.frombuffer(self._total, np.float64).reshape(shape)
        self._counts: NDArray[np.int64] = np.frombuffer(self._count, np.int64).reshape(shape)
        self._goods: NDArray[np.bool_] = np.frombuffer(self._good, np.bool_).reshape(shape)
        self._row = {sensor.sensor: row for row, sensor in enumerate(spec.sensors)}
        self._origins = [Origin(sensor) for sensor in spec.sensors]
        self._newest: list[int | None] = [None] * len(spec.sensors)
        self._offset_ns = [0] * len(spec.sensors)
        self._origin_ns: int | None = None
        self._ahead: int | None = None  # the newest cell of any sensor
        self.judged: int | None = None  # the newest cell when the window was judged last

    def put(self, reading: Reading) -> bool:
        """Take a reading of one of its sensors; false: it came too late for its cell, which has left the window."""
        row = self._row[reading.sensor]
        origin = self._origins[row]
        if not origin.is_earlier(reading):
            origin.take(reading)
        if not math.isfinite(reading.value) or abs(reading.value) > _LARGEST:
            return True  # the source says that there is none: its cell stays without one
        place = self._place_of(row, reading.measured_ns)
        if self._ahead is not None and place <= self._ahead - self.spec.length - LEAD:
            return False
        self._ahead = place if self._ahead is None else max(place, self._ahead)
        before = self._newest[row]
        self._newest[row] = place if before is None else max(place, before)
        self._fill(row, place, reading)
        return True

    def due(self) -> int | None:
        """The newest cell that is complete, if the window is to be judged at it; None: not yet.

        A cell is complete when every sensor went on to the next, or when one is `LEAD` cells ahead: who did not come by then is missing. Of a backlog
        only the newest is judged.
        """
        known = self._known_places()
        if not known:
            return None
        complete = max(known) - LEAD
        if len(known) == len(self._newest):
            complete = max(complete, min(known) - 1)
        first = 0 if self.judged is None else self.judged + self.spec.step
        return complete if complete >= first else None

    def snapshot(self, end: int, now_ns: int) -> Snapshot:
        """The window whose newest cell is `end`, as it is known at `now_ns`."""
        length = self.spec.length
        places = np.arange(end - length + 1, end + 1)
        slots = places % (length + LEAD)
        has = self._places[:, slots] == places
        values = np.where(has, self._values(slots, has), 0.0)
        quality = self._quality(has, self._goods[:, slots], now_ns)
        return Snapshot(values.T.astype(np.float32), has.T.astype(np.float32), quality)

    def _known_places(self) -> list[int]:
        return [place for place in self._newest if place is not None]

    def _quality(self, has: NDArray[np.bool_], good: NDArray[np.bool_], now_ns: int) -> Quality:
        found = Quality.GOOD
        if not has.all() or not good[has].all():
            found = Quality.UNCERTAIN
        if bool((has.mean(axis=1) < self.spec.min_valid).any()) or any(one.is_stale(now_ns) for one in self._origins):
            found = Quality.STALE
        return worst(found, Quality.BAD) if any(one.is_frozen() for one in self._origins) else found

    def _values(self, slots: NDArray[np.int64], has: NDArray[np.bool_]) -> NDArray[np.float64]:
        total = self._totals[:, slots]
        if self.spec.aggregate == "last":
            return total
        mean: NDArray[np.float64] = total / np.where(has, self._counts[:, slots], 1)
        return np.sqrt(mean) if self.spec.aggregate == "rms" else mean

    def _place_of(self, row: int, measured_ns: int) -> int:
        """The cell of a time: those of a sensor lie around its first reading, and around its first after a whole window of silence."""
        period_ns = self.spec.period_ns
        if self._origin_ns is None:
            self._origin_ns = measured_ns
        since_ns = measured_ns - self._origin_ns
        before = self._newest[row]
        if before is None or since_ns // period_ns - before > self.spec.length:
            self._offset_ns[row] = (since_ns + period_ns // 2) % period_ns - period_ns // 2
        return (since_ns - self._offset_ns[row] + period_ns // 2) // period_ns

    def _fill(self, row: int, place: int, reading: Reading) -> None:
        slot = place % (self.spec.length + LEAD)
        at = row * (self.spec.length + LEAD) + slot
        if self._place[at] != place:
            self._place[at], self._total[at], self._count[at] = place, 0.0, 0
            self._good[at], self._taken[at] = True, _EMPTY
        self._count[at] += 1
        self._good[at] &= reading.quality is Quality.GOOD
        if self.spec.aggregate == "last":
            if reading.measured_ns >= self._taken[at]:
                self._taken[at], self._total[at] = reading.measured_ns, reading.value
            return
        self._total[at] += reading.value * reading.value if self.spec.aggregate == "rms" else reading.value


def going_on(grids: Mapping[str, Grid], known: Mapping[str, Grid]) -> dict[str, Grid]:
    """These windows, or the known ones in their place where they hold the same; what changed is unknown until it is filled."""
    return {
        name: known[name] if name in known and known[name].spec == grid.spec else grid for name, grid in grids.items()
    }
