"""Reads files of readings, CSV or Parquet, line by line: what cannot be used is refused with the place, or counted and left out."""

from __future__ import annotations

import csv
import difflib
import gzip
import math
import re
import zlib
from array import array
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from edge.errors import ConfigError
from edge.record import parquet
from edge.record.readings import COLUMNS
from edge.units import NS_PER_S
from exporters.recipe import expand
from exporters.recordings.recipe import Recording, Sensor

MOST_ROWS = 20_000_000  # of one file: 2.6 GB at 16 sensors
MOST_OUTSIDE = 0.5  # share of values outside the range, above which the unit is another
_COMMA = re.compile(r"[+-]?\d+,\d+")
_LAST_S = 9.2e9  # as int64 ns
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNIT = re.compile(r"^(.*?)\s*[\[(]([^\])]*)[\])]\s*$")  # "Pressure [bar]"


@dataclass(frozen=True, slots=True)
class Table:
    """One file: int64 [n] wall ns, ascending; float64 [n, S] with NaN where there is no value; and which rows show a fault.

    `left_out` counts what was not used, by why.
    """

    file: Path
    at_ns: NDArray[np.int64]
    values: NDArray[np.float64]
    faulty: NDArray[np.bool_]
    zoned: bool | None  # whether its times name their offset from UTC; None: they are numbers
    labelled: bool  # whether it has the column of labels
    left_out: Counter[str]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Which column holds what; `columns` is how many there are."""

    columns: int
    time: int
    label: int | None
    values: tuple[
        int, ...
    ]  # of a wide table, by sensor; of a long one, as `edge-daemon record` writes it, the only one
    sensor: int | None = None  # of a long one: which sensor a row is of
    quality: int = 0
    names: Mapping[str, int] = field(default_factory=dict)


def find_files(recording: Recording, base: Path) -> list[Path]:
    """The files that the patterns name, sorted, each once. Raises ConfigError if one names none."""
    found: set[Path] = set()
    for pattern in recording.files:
        path = Path(expand(pattern))
        root, rest = (Path(path.anchor), path.relative_to(path.anchor)) if path.is_absolute() else (base, path)
        here = [one for one in root.glob(str(rest)) if one.is_file()]
        if not here:
            raise ConfigError(f"recording.files: no file matches {pattern!r} (from {base})")
        found.update(here)
    return sorted(found)


def read_tables(files: Sequence[Path], recording: Recording, sensors: Sequence[Sensor]) -> list[Table]:
    """All files.

    Raises:
        ConfigError: a column is missing, a unit or the decimal mark is another, or some times name an offset from UTC and some do not.
    """
    tables = [read_table(file, recording, sensors) for file in files]
    if recording.label and not any(table.labelled for table in tables):
        raise ConfigError(f"recording.label: no file has a column {recording.label!r}")
    zones = {table.zoned: table.file for table in tables if table.zoned is not None}
    if len(zones) > 1:
        raise ConfigError(
            f"time zones are mixed: {zones[True].name} names the offset from UTC and {zones[False].name} does not. Write all times alike"
        )
    return tables


def read_table(file: Path, recording: Recording, sensors: Sequence[Sensor]) -> Table:
    """One file; raises ConfigError as `read_tables` does."""
    reader = _Reader(file, recording, sensors)
    try:
        reader.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{file.name} is no CSV in UTF-8: {error}") from error
    return reader.table()


class _Reader:
    """Goes through one file line by line."""

    def __init__(self, file: Path, recording: Recording, sensors: Sequence[Sensor]) -> None:
        self._file, self._recording, self._sensors = file, recording, sensors
        self._left_out: Counter[str] = Counter()
        self._times, self._faulty, self._cells = array("q"), array("b"), array("d")
        self._zones: set[bool] = set()  # whether times name their offset from UTC
        self._labelled = False

    def read(self) -> None:
        """All rows. Raises ConfigError, and whatever reading a file raises."""
        with closing(self._rows()) as rows:
            layout = self._layout(next(rows, []))
            self._labelled = layout.label is not None
            newest = -(2**63)
            for number, row in enumerate(rows, 2):
                self._check(number, row, layout)
                at_ns = self._time(row[layout.time] if layout.time < len(row) else "")
                if at_ns is None:
                    self._left_out["rows without a time"] += 1
                elif at_ns < newest:
                    self._left_out["rows that go back in time"] += 1
                elif at_ns == newest and layout.sensor is None:
                    self._left_out["rows at the same time as the one before"] += 1
                else:
                    newest = at_ns
                    self._take(at_ns, number, row, layout)

    def table(self) -> Table:
        """What was read. Raises ConfigError for mixed time zones, or another unit."""
        if len(self._zones) > 1:
            raise ConfigError(
                f"time zones are mixed in {self._file.name}: some times name the offset from UTC, others do not. Write all alike"
            )
        values = np.array(self._cells, np.float64).reshape(len(self._times), len(self._sensors))
        _apply_ranges(self._file, values, self._sensors, self._left_out)
        return Table(
            self._file, np.array(self._times, np.int64), values, np.array(self._faulty, np.bool_),
            next(iter(self._zones), None), self._labelled, self._left_out,
        )  # fmt: skip

    def _rows(self) -> Generator[list[str]]:
        if self._file.suffix == parquet.SUFFIX:
            yield from parquet.rows(self._file)
            return
        with self._open() as text:
            head = text.readline(csv.field_size_limit())
            delimiter = self._recording.delimiter or max((",", ";", "\t", "|"), key=head.count)
            yield next(csv.reader([head], delimiter=delimiter), [])
            yield from csv.reader(text, delimiter=delimiter)

    def _open(self) -> TextIO:
        if self._file.suffix == ".gz":
            return gzip.open(self._file, "rt", encoding="utf-8-sig", newline="")
        return self._file.open(encoding="utf-8-sig", newline="")

    def _layout(self, head: Sequence[str]) -> _Layout:
        columns: dict[str, int] = {}
        units: dict[str, str] = {}
        for place, title in enumerate(map(str.strip, head)):
            named = _UNIT.match(title)
            columns.setdefault(title, place)
            if named is not None:
                columns.setdefault(named[1], place)
                units[named[1]] = units[title] = named[2]
        label = columns.get(self._recording.label) if self._recording.label else None
        if set(COLUMNS) <= set(columns):
            time, _, whose, value, quality = (columns[name] for name in COLUMNS)
            names = {one.named: row for row, one in enumerate(self._sensors)}
            return _Layout(len(head), time, label, (value,), whose, quality, names)
        for name in (self._recording.time, *(sensor.named for sensor in self._sensors)):
            if name not in columns:
                near = difflib.get_close_matches(name, list(columns), 1, 0.6)
                meant = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(
                    f"{self._file.name} has no column {name!r} among {', '.join(map(repr, head[:12]))}{meant}"
                )
        for sensor in self._sensors:
            given = units.get(sensor.named, "")
            if sensor.unit and given and given.casefold() != sensor.unit.casefold():
                raise ConfigError(
                    f"{self._file.name} gives {sensor.named!r} in {given}, the recipe in {sensor.unit}: convert one of them"
                )
        return _Layout(
            len(head), columns[self._recording.time], label, tuple(columns[one.named] for one in self._sensors)
        )

    def _check(self, number: int, row: Sequence[str], layout: _Layout) -> None:
        if number > MOST_ROWS:
            raise ConfigError(f"{self._file.name} has more than {MOST_ROWS:,} rows: split it")
        if len(row) > layout.columns and any(row[layout.columns :]):
            raise ConfigError(
                f"{self._file.name}, line {number} has {len(row)} columns and the first line {layout.columns}: are there decimal commas between "
                "commas? Write the numbers with points, or put semicolons between the columns"
            )

    def _take(self, at_ns: int, number: int, row: Sequence[str], layout: _Layout) -> None:
        if layout.sensor is None:
            found = [self._number(number, row, place) for place in layout.values]
        else:
            named = row[layout.sensor] if layout.sensor < len(row) else ""
            if named not in layout.names:
                self._left_out["rows of other sensors"] += 1
                return
            found = [math.nan] * len(self._sensors)
            if layout.quality < len(row) and row[layout.quality] == "bad":
                self._left_out["values of bad quality"] += 1
                return
            found[layout.names[named]] = self._number(number, row, layout.values[0])
        self._times.append(at_ns)
        self._faulty.append(layout.label is not None and layout.label < len(row) and _is_faulty(row[layout.label]))
        self._cells.extend(found)

    def _time(self, text: str) -> int | None:
        text = text.strip()
        try:
            seconds = float(text)
        except ValueError:
            pass
        else:
            return round(seconds * NS_PER_S) if abs(seconds) < _LAST_S else None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        self._zones.add(moment.tzinfo is not None)
        since = (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment) - _EPOCH
        return since // timedelta(microseconds=1) * 1000

    def _number(self, number: int, row: Sequence[str], place: int) -> float:
        text = row[place].strip() if place < len(row) else ""
        if self._recording.decimal == ",":
            text = text.replace(",", ".")
        try:
            value = float(text)
        except ValueError:
            if _COMMA.fullmatch(text):
                raise ConfigError(
                    f'{self._file.name}, line {number}: {text!r} has a decimal comma; set recording.decimal = ","'
                ) from None
            self._left_out["values that are no number" if text else "values that are none"] += 1
            return math.nan
        if not math.isfinite(value):
            self._left_out["values that are none"] += 1
            return math.nan
        return value


def _is_faulty(text: str) -> bool:
    try:
        return float(text.strip() or 0) != 0.0
    except ValueError:
        return text.strip().casefold() not in ("false", "no", "normal", "ok")


def _apply_ranges(file: Path, values: NDArray[np.float64], sensors: Sequence[Sensor], left_out: Counter[str]) -> None:
    for column, sensor in enumerate(sensors):
        known = np.isfinite(values[:, column])
        low = -math.inf if sensor.minimum is None else sensor.minimum
        high = math.inf if sensor.maximum is None else sensor.maximum
        outside = known & ((values[:, column] < low) | (values[:, column] > high))
        if outside.sum() > MOST_OUTSIDE * max(1, known.sum()):
            raise ConfigError(
                f"{file.name}: {outside.sum()} of {known.sum()} values of {sensor.id} lie outside {low:g} to {high:g}"
                f"{' ' + sensor.unit if sensor.unit else ''}: is the unit another one?"
            )
        if outside.any():
            left_out[f"values of {sensor.id} outside its range"] += int(outside.sum())
            values[outside, column] = np.nan
