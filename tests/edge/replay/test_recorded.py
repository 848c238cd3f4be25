"""What a recording holds: three layouts, and times from names."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import pytest

from edge.errors import EdgeError
from edge.evidence.recording import RecordingWriter
from edge.frame import Quality, Reading
from edge.record.readings import ReadingFiles
from edge.replay.recorded import read_folder, time_of_name
from tests.edge.evidence.moments import WALL_NS, moment

S = 1_000_000_000


@pytest.mark.parametrize(
    ("name", "at_ns"),
    [
        ("20270115T080100.500Z_7.jpg", WALL_NS + 60 * S + S // 2),
        ("cam1-20270115T080000Z.png", WALL_NS),
        ("20270115T080000,25.jpg", WALL_NS + S // 4),
        ("IMG_0001.jpg", None),
        ("20271315T080000Z.jpg", None),
        ("120270115T080000.jpg", None),
    ],
)
def test_a_name_tells_a_time_or_none(name: str, at_ns: int | None) -> None:
    """UTC; digits that are no time are none."""
    assert time_of_name(name) == at_ns


def test_pictures_in_folders_of_cameras_come_in_the_order_of_their_names_times(tmp_path: Path) -> None:
    """Two cameras interleaved; what is no picture is not one."""
    for name in ("a/20270115T080002Z.jpg", "b/20270115T080001Z.jpg", "a/20270115T080000Z.PNG", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = read_folder(tmp_path, ["a", "b"], 1.0)
    assert [(one.camera, (one.at_ns - WALL_NS) // S) for one in found.pictures] == [("a", 0), ("b", 1), ("a", 2)]


def test_pictures_without_times_follow_each_other_at_a_rate(tmp_path: Path) -> None:
    """And the report says so."""
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"x")
    found = read_folder(tmp_path, ["cam"], 2.0)
    assert [one.at_ns for one in found.pictures] == [0, S // 2, S]
    assert "not every name has a time" in found.passed_over[0]
    with pytest.raises(EdgeError, match="which camera"):
        read_folder(tmp_path, ["a", "b"], 1.0)


def test_evidence_is_a_recording(tmp_path: Path) -> None:
    """Frames at the times at which they were received."""
    writer = RecordingWriter(tmp_path / "r", {"camera": "cam"})
    for number in range(2):
        writer.frame(moment(number, number * 500))
    writer.end({"complete": True})
    found = read_folder(tmp_path, ["other"], 1.0)
    assert [(one.camera, one.at_ns - WALL_NS) for one in found.pictures] == [("cam", 0), ("cam", S // 2)]
    assert found.pictures[0].path.exists()


def test_readings_are_read_as_they_were_recorded(tmp_path: Path) -> None:
    """By the time of their source; what was refused has no value."""
    files = ReadingFiles(tmp_path / "readings", 1_000_000)
    files.append([Reading("oil", 2.5, 0, age_ns=S), Reading("oil", math.nan, 0, quality=Quality.BAD)], 0, WALL_NS)
    found = read_folder(tmp_path, [], 1.0)
    assert [(one.at_ns - WALL_NS, one.sensor, one.quality) for one in found.values] == [
        (-S, "oil", Quality.GOOD),
        (0, "oil", Quality.BAD),
    ]
    assert (found.values[0].value, math.isnan(found.values[1].value)) == (2.5, True)


def test_torn_and_strange_files_of_readings_are_counted_and_passed_over(tmp_path: Path) -> None:
    """What stands before the tear counts; a file of another form is named."""
    head = b"time,received,sensor,value,quality\n"
    good = gzip.compress(head + b"2027-01-15T08:00:00Z,,oil,1,good\n2027-01-15T08:00:00Z,,oil,x,good\n,,,,\n")
    (tmp_path / "a.csv.gz").write_bytes(good + gzip.compress(b"2027-01-15T08:00:01Z,,oil,2,good\n")[:15])
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"when,what\n1,2\n"))
    found = read_folder(tmp_path, [], 1.0)
    assert [one.value for one in found.values] == [1.0]
    assert sorted(found.passed_over) == [
        "a.csv.gz: 2 rows are no readings",
        "a.csv.gz: its end is torn",
        "b.csv.gz: its columns are not time, received, sensor, value, quality",
    ]


def test_a_folder_with_nothing_is_said_to_hold_nothing(tmp_path: Path) -> None:
    """And one that is not there."""
    with pytest.raises(EdgeError, match="holds no picture"):
        read_folder(tmp_path, ["cam"], 1.0)
    with pytest.raises(EdgeError, match="is no folder"):
        read_folder(tmp_path / "nothing", ["cam"], 1.0)
