"""The folder of recordings: found by occurrence, kept by days and bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.errors import EdgeError
from edge.evidence.archive import Limits, find, finish_all, make_room, recordings
from edge.evidence.recording import LOG, RecordingWriter
from tests.edge.evidence.moments import WALL_NS, moment

DAY_NS = 86_400 * 1_000_000_000


def record(folder: Path, name: str, alarm: str, occurrence: str, *, days_ago: float = 0.0, end: bool = True) -> Path:
    """A small recording, written so long ago."""
    writer = RecordingWriter(folder / name, {"camera": "cam"})
    writer.frame(moment(1, 0, b"\xff\xd8" + bytes(998)))
    writer.raised({"alarm": alarm, "occurrence": occurrence, "at": "2027-01-15T08:00:00.000Z"})
    if end:
        writer.end({"complete": True})
    writer.close()
    for path in (folder / name).iterdir():
        os.utime(path, ns=(0, WALL_NS - round(days_ago * DAY_NS)))
    return folder / name


def test_an_alarm_finds_its_newest_occurrence_and_an_occurrence_itself(tmp_path: Path) -> None:
    """By either id; an unknown one is told what there is."""
    record(tmp_path, "a", "red", "o1")
    record(tmp_path, "b", "red", "o2")
    assert find(tmp_path, "red").folder.name == "b"
    assert find(tmp_path, "o1").folder.name == "a"
    with pytest.raises(EdgeError, match="there is some of red"):
        find(tmp_path, "blue")
    with pytest.raises(EdgeError, match="of any alarm"):
        find(tmp_path / "nothing", "red")


def test_the_oldest_give_way_by_days_and_by_bytes(tmp_path: Path) -> None:
    """What is too old goes; then the oldest, until the coming one has room."""
    for number, age in enumerate((40.0, 3.0, 2.0, 1.0)):
        record(tmp_path, f"{number}", "red", f"o{number}", days_ago=age)
    assert make_room(tmp_path, Limits(30.0, 1_000_000), None) == 0
    assert make_room(tmp_path, Limits(30.0, 1_000_000), WALL_NS) == 1
    size = sum(path.stat().st_size for path in (tmp_path / "3").iterdir())
    assert make_room(tmp_path, Limits(30.0, 2 * size + size // 2), WALL_NS, coming_bytes=size) == 2
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["3"]


def test_recordings_of_a_killed_daemon_are_ended(tmp_path: Path) -> None:
    """All of them; what is no recording is left alone."""
    record(tmp_path, "a", "red", "o1", end=False)
    record(tmp_path, "b", "red", "o2")
    (tmp_path / "c").mkdir()
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / LOG).write_bytes(b"nothing\n")
    assert finish_all(tmp_path) == 1
    assert [found.end is not None for found in recordings(tmp_path)] == [True, True]
    assert finish_all(tmp_path / "nothing") == 0
