"""Readings as compressed CSV, readable whenever the recorder was killed."""

from __future__ import annotations

import csv
import gzip
import io
import math
from pathlib import Path

from edge.frame import Quality, Reading
from edge.record.readings import COLUMNS, ReadingFiles

S = 1_000_000_000
WALL_NS = 1_800_000_000 * S  # 2027-01-15 08:00:00 UTC


def rows(path: Path) -> list[list[str]]:
    """The whole table."""
    return list(csv.reader(io.StringIO(gzip.decompress(path.read_bytes()).decode())))


def test_each_reading_stands_with_the_time_of_its_source(tmp_path: Path) -> None:
    """Time of the source, time of receipt, value as exact as it was, quality; a refused value has none."""
    files = ReadingFiles(tmp_path, 1_000_000)
    readings = [
        Reading("oil", 0.1 + 0.2, 8 * S, age_ns=3 * S),
        Reading("oil", math.nan, 9 * S, quality=Quality.BAD),
    ]
    files.append(readings, 10 * S, WALL_NS)
    (path,) = tmp_path.iterdir()
    assert path.name == "readings-20270115T08.csv.gz"
    assert rows(path) == [
        list(COLUMNS),
        ["2027-01-15T07:59:55.000Z", "2027-01-15T07:59:58.000Z", "oil", "0.30000000000000004", "good"],
        ["2027-01-15T07:59:59.000Z", "2027-01-15T07:59:59.000Z", "oil", "", "bad"],
    ]


def test_an_hour_is_one_file_however_often_it_is_flushed(tmp_path: Path) -> None:
    """Members are appended; the next hour begins another file with its own head."""
    files = ReadingFiles(tmp_path, 1_000_000)
    for minute in (0, 10, 60):
        files.append([Reading("oil", float(minute), 0)], 0, WALL_NS + minute * 60 * S)
    files.append([], 0, WALL_NS + 7200 * S)
    first, second = sorted(tmp_path.iterdir())
    assert [row[3] for row in rows(first)] == ["value", "0.0", "10.0"]
    assert [row[3] for row in rows(second)] == ["value", "60.0"]


def test_what_does_not_fit_is_counted(tmp_path: Path) -> None:
    """The folder has a size; a later recording counts what is there."""
    files = ReadingFiles(tmp_path, 10)
    files.append([Reading("oil", 1.0, 0)], 0, WALL_NS)
    assert files.full
    files.append([Reading("oil", 2.0, 0)] * 3, 0, WALL_NS)
    assert (files.kept, files.left_out) == (1, 3)
    assert ReadingFiles(tmp_path, 10).full
