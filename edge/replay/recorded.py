"""What a recording holds, in the order of its time: pictures of each camera, and readings.

Three layouts are read: the folder that `edge-daemon record` writes, recordings that evidence left, and any folder of pictures, whose times come from
their names or else from a rate. Pictures are named here and read when their turn comes, so a month of them fits into memory.
"""

from __future__ import annotations

import csv
import gzip
import math
import re
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge.errors import ConfigError, EdgeError
from edge.evidence.recording import LOG, read_recording
from edge.frame import Quality
from edge.record import parquet
from edge.record.readings import COLUMNS
from edge.units import NS_PER_S

SUFFIXES = frozenset((".jpg", ".jpeg", ".png"))
READINGS = "readings"
MAX_ROW_CHARS = 4096
_TIME = re.compile(r"(?<!\d)(\d{8}T\d{6})(?:[.,]?(\d{1,9}))?Z?(?!\d)")


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a camera, and when it came, wall ns."""

    at_ns: int
    camera: str
    path: Path


@dataclass(frozen=True, slots=True)
class Value:
    """One reading, and when it was measured, wall ns; NaN: it was refused."""

    at_ns: int
    sensor: str
    value: float
    quality: Quality


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording, each list in the order of its time.

    Args:
        passed_over: what is no picture and no reading, by kind, for people.
    """

    pictures: tuple[Picture, ...]
    values: tuple[Value, ...]
    passed_over: tuple[str, ...] = ()


def read_folder(folder: Path, cameras: Sequence[str], fps: float) -> Recorded:
    """Everything in a folder.

    Args:
        folder: one of the three layouts.
        cameras: of the site; a sub-folder of such a name holds that camera's pictures. Pictures that lie elsewhere are of the only camera.
        fps: rate of pictures whose names have no time.

    Raises:
        EdgeError: there is nothing in it, or the camera of the pictures cannot be determined.
    """
    if not folder.is_dir():
        raise EdgeError(f"{folder} is no folder")
    kept = sorted(path.parent for path in folder.rglob(LOG))
    pictures: list[Picture] = []
    passed_over: list[str] = []
    for recording in kept:
        pictures += _of_evidence(recording)
    if not kept:
        for camera, files in _by_camera(folder, cameras).items():
            pictures += _timed(camera, files, fps, passed_over)
    values = [value for path in _reading_files(folder) for value in _values(path, passed_over)]
    if not pictures and not values:
        raise EdgeError(
            f"{folder} holds no picture ({', '.join(sorted(SUFFIXES))}) and no readings (*.csv.gz, *.parquet)"
        )
    return Recorded(
        tuple(sorted(pictures, key=lambda one: (one.at_ns, one.camera, one.path.name))),
        tuple(sorted(values, key=lambda one: one.at_ns)),
        tuple(passed_over),
    )


def time_of_name(name: str) -> int | None:
    """Wall ns in a file name such as ``20270115T080100.500Z_7.jpg``; None: it has none."""
    found = _TIME.search(name)
    if found is None:
        return None
    try:
        second = datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return _wall_ns(second) + int((found[2] or "0").ljust(9, "0"))


def _of_evidence(folder: Path) -> list[Picture]:
    recording = read_recording(folder)
    camera = str(recording.about.get("camera"))
    return [
        Picture(
            _wall_ns(datetime.fromisoformat(str(facts["received"]))), camera, folder / Path(str(facts["file"])).name
        )
        for facts in recording.frames
    ]


def _by_camera(folder: Path, cameras: Sequence[str]) -> dict[str, list[Path]]:
    files = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()]
    found: dict[str, list[Path]] = {}
    for path in files:
        named = [part for part in path.relative_to(folder).parts[:-1] if part in cameras]
        if not named and len(cameras) != 1:
            raise EdgeError(f"which camera is {path} of? Put pictures into folders named {', '.join(cameras)}")
        found.setdefault(named[0] if named else cameras[0], []).append(path)
    return found


def _timed(camera: str, files: Sequence[Path], fps: float, passed_over: list[str]) -> list[Picture]:
    times = [time_of_name(path.name) for path in files]
    if all(time is not None for time in times):
        return [Picture(time, camera, path) for time, path in zip(times, files, strict=True) if time is not None]
    passed_over.append(
        f"{camera}: not every name has a time, so pictures follow each other at {fps:g} a second by name"
    )
    return [Picture(round(number * NS_PER_S / fps), camera, path) for number, path in enumerate(files)]


def _values(path: Path, passed_over: list[str]) -> Iterator[Value]:
    """The rows of one file of readings; one that is torn or strange is counted and passed over."""
    bad = 0
    try:
        with closing(_rows(path)) as table:
            head = next(table, [])
            if not set(COLUMNS) <= set(head):
                passed_over.append(f"{path.name}: its columns are not {', '.join(COLUMNS)}")
                return
            for row in table:
                value = _value(dict(zip(head, row, strict=False)))
                bad += value is None
                if value is not None:
                    yield value
    except ConfigError as error:
        passed_over.append(str(error))
    except (EOFError, OSError, zlib.error, UnicodeDecodeError, csv.Error):
        passed_over.append(f"{path.name}: its end is torn")
    if bad:
        passed_over.append(f"{path.name}: {bad} rows are no readings")


def _reading_files(folder: Path) -> list[Path]:
    """Readings in either form; what is being turned into Parquet at this moment is read as CSV."""
    return sorted(path for suffix in (".csv.gz", parquet.SUFFIX) for path in folder.rglob(f"*{suffix}"))


def _rows(path: Path) -> Generator[list[str]]:
    if path.suffix == parquet.SUFFIX:
        yield from parquet.rows(path)
        return
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.reader(file)


def _value(row: dict[str, str]) -> Value | None:
    try:
        at_ns = _wall_ns(datetime.fromisoformat(row["time"]))
        value = float(row["value"]) if row["value"] else math.nan
        return Value(at_ns, row["sensor"], value, Quality(row["quality"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _wall_ns(moment: datetime) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return since // timedelta(microseconds=1) * 1000
