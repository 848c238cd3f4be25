"""Recorded readings as the windows that a device would judge, each with its group and whether it is normal."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigError, ExportError
from edge.frame import Quality, Reading
from edge.grid import Grid, GridSpec, Snapshot
from edge.replay.recorded import Value
from edge.units import NS_PER_MS, NS_PER_S
from edge.verdict.origin import OriginSpec
from exporters.recordings.recipe import Interval, RecordingRecipe
from exporters.recordings.table import Table

MISSED = 5  # cells in a row without a reading, and a sensor is silent
STALE_NS = 5 * NS_PER_S  # sooner no sensor is
NORMAL, OTHER, FAULTY = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Windows:
    """All windows of a recording, in the order of their files and time.

    Attributes:
        values: float32 [n, T, S].
        valid: likewise, 1 where a cell has a value.
        at_ns: when each was judged, int64 [n], wall.
        groups: what counts once, of each.
        files: number of the file of each, int64 [n].
        kind: NORMAL, FAULTY (its newest cell shows a fault), or OTHER: excluded, or partly one of those.
        left_out: what was not used, by why.
    """

    values: NDArray[np.float32]
    valid: NDArray[np.float32]
    at_ns: NDArray[np.int64]
    groups: NDArray[np.str_]
    files: NDArray[np.int64]
    kind: NDArray[np.int64]
    left_out: Counter[str]

    def only(self, chosen: NDArray[np.bool_]) -> Windows:
        """Some of them."""
        return Windows(
            self.values[chosen], self.valid[chosen], self.at_ns[chosen], self.groups[chosen], self.files[chosen], self.kind[chosen], self.left_out
        )  # fmt: skip


def grid_of(
    *, sensors: Sequence[str], period_ms: float, length: int, step: int, aggregate: Literal["mean", "last", "rms"], min_valid: float
) -> GridSpec:  # fmt: skip
    """The device's own grid; a sensor is silent after so many missed cells."""
    period_ns = max(1, round(period_ms * NS_PER_MS))
    stale_ns = max(STALE_NS, MISSED * period_ns)
    return GridSpec(
        sensors=tuple(OriginSpec(sensor, stale_ns) for sensor in sensors),
        period_ns=period_ns, length=length, step=step, aggregate=aggregate, min_valid=min_valid,
    )  # fmt: skip


def windows_of(values: Iterable[Value], spec: GridSpec) -> Iterator[tuple[int, Snapshot]]:
    """The windows that a device would judge over recorded readings, each with when, wall ns; those of which too little is known are left out."""
    grid = Grid(spec)
    for at_ns, readings in groupby(values, key=lambda value: value.at_ns):  # those of one time come together
        for value in readings:
            grid.put(Reading(value.sensor, value.value, at_ns, None, 0, value.quality))
        end = grid.due()
        if end is not None:
            grid.judged = end
            found = grid.snapshot(end, at_ns)
            if found.quality.rank < Quality.STALE.rank:
                yield at_ns, found


def cut(recipe: RecordingRecipe, tables: Sequence[Table]) -> Windows:
    """Every window of every file.

    Raises:
        ConfigError: a path does not name its unit.
        ExportError: no window is filled.
    """
    window = recipe.window
    sensors = [sensor.id for sensor in recipe.sensors]
    spec = grid_of(
        sensors=sensors, period_ms=window.period_ms, length=window.length, step=window.step, aggregate=window.aggregate, min_valid=window.min_valid
    )  # fmt: skip
    found: list[tuple[Snapshot, int, str, int, int]] = []
    left_out: Counter[str] = Counter()
    for number, table in enumerate(tables):
        left_out += table.left_out
        faulty, excluded, settling = _kinds(recipe, table)
        left_out["rows in excluded intervals"] += int(excluded.sum())
        left_out["rows that settle after a fault"] += int((settling & ~faulty).sum())
        excluded |= settling
        span_ns = spec.period_ns * (spec.length + 1)
        left_out["gaps longer than a window"] += int((np.diff(table.at_ns) > span_ns).sum())
        for at_ns, snapshot in windows_of(_values(table, sensors), spec):
            first, last = np.searchsorted(table.at_ns, (at_ns - span_ns, at_ns)).tolist()
            newest = max(first, last - 1)
            kind = FAULTY if faulty[newest] else OTHER if (faulty | excluded)[first : last + 1].any() else NORMAL
            found.append((snapshot, at_ns, _group(recipe, table.file, at_ns), number, kind))
    if not found:
        raise ExportError("the readings fill no window: record longer, or use longer cells (window.period_ms)")
    return Windows(
        np.stack([one[0].values for one in found]),
        np.stack([one[0].valid for one in found]),
        np.array([one[1] for one in found], np.int64),
        np.array([one[2] for one in found]),
        np.array([one[3] for one in found], np.int64),
        np.array([one[4] for one in found], np.int64),
        +left_out,
    )


def normal_values(recipe: RecordingRecipe, tables: Sequence[Table], sensor: str) -> NDArray[np.float64]:
    """What a sensor had in rows that are normal, of all files."""
    place = [one.id for one in recipe.sensors].index(sensor)
    found = []
    for table in tables:
        faulty, excluded, settling = _kinds(recipe, table)
        found.append(table.values[~(faulty | excluded | settling), place])
    return np.concatenate(found)


def _kinds(recipe: RecordingRecipe, table: Table) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows show a fault, which are excluded, and which settle after a fault."""
    faulty = table.faulty | _inside(table, recipe.recording.faults)
    excluded = _inside(table, recipe.recording.exclude)
    return faulty, excluded, _after(table, faulty, recipe.recording.settle_s)


def _values(table: Table, sensors: Sequence[str]) -> Iterator[Value]:
    for at_ns, row in zip(table.at_ns.tolist(), table.values.tolist(), strict=True):
        for sensor, value in zip(sensors, row, strict=True):
            if value == value:  # noqa: PLR0124 - not NaN
                yield Value(at_ns, sensor, value, Quality.GOOD)


def _inside(table: Table, intervals: Sequence[Interval]) -> NDArray[np.bool_]:
    found = np.zeros(len(table.at_ns), np.bool_)
    for one in intervals:
        if table.file.as_posix().endswith(one.file):
            found |= (table.at_ns >= one.start.timestamp() * NS_PER_S) & (table.at_ns < one.end.timestamp() * NS_PER_S)
    return found


def _after(table: Table, faulty: NDArray[np.bool_], settle_s: float) -> NDArray[np.bool_]:
    """The rows that follow a faulty one in the time that a plant needs to settle."""
    if not settle_s or not faulty.any():
        return np.zeros(len(faulty), np.bool_)
    shown = table.at_ns[faulty]
    before = np.searchsorted(shown, table.at_ns, side="right") - 1
    since_ns = table.at_ns - shown[np.maximum(before, 0)]
    found: NDArray[np.bool_] = (before >= 0) & (since_ns <= settle_s * NS_PER_S)
    return found


def _group(recipe: RecordingRecipe, file: Path, at_ns: int) -> str:
    kind = recipe.recording.group
    if kind == "day":
        return f"{datetime.fromtimestamp(at_ns // NS_PER_S, UTC):%Y-%m-%d}"
    if kind == "file":
        return "/".join(file.parts[-2:])
    named = re.search(recipe.recording.unit_pattern, file.as_posix())
    if named is None:
        raise ConfigError(f"recording.unit_pattern does not match {file.as_posix()}")
    return str(named[1])
