"""The thread that writes: bounded, and a disk that refuses costs a recording, never more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.evidence import writer as module
from edge.evidence.archive import Limits
from edge.evidence.recording import read_recording
from edge.evidence.writer import EvidenceWriter, Finished
from tests.edge.evidence.moments import WALL_NS, moment
from tests.stand.brokers import wait_for

LIMITS = Limits(30.0, 10_000_000)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[EvidenceWriter]:
    """One with its thread, ended by the test's end."""
    made = EvidenceWriter(tmp_path / "evidence", lambda: WALL_NS, 10_000)
    made.start(LIMITS)
    yield made
    made.stop(5.0)


def finished(writer: EvidenceWriter) -> Finished:
    """The next one that ends."""
    found: list[Finished] = []
    wait_for(lambda: found.extend(writer.take_finished()) or found, what="a recording ends")  # type: ignore[func-returns-value] # extend gives None
    return found[0]


def test_a_recording_is_written_whole(writer: EvidenceWriter, tmp_path: Path) -> None:
    """Frames, alarm and end; then it is told once."""
    writer.begin("r", {"camera": "cam"})
    assert all(writer.frame("r", moment(number, number)) for number in range(3))
    writer.raised("r", {"alarm": "red", "occurrence": "o1", "at": "t"})
    writer.end("r", {"complete": True})
    told = finished(writer)
    assert (told.name, told.frames, told.problem) == ("r", 3, "")
    assert told.written_bytes > 3 * 6
    assert read_recording(tmp_path / "evidence" / "r").complete
    assert writer.take_finished() == []


def test_a_disk_that_is_behind_costs_frames_and_no_memory(tmp_path: Path) -> None:
    """More than may wait is left out, and whoever hands it over is told so."""
    slow = EvidenceWriter(tmp_path, lambda: WALL_NS, 1000)  # its thread does not run yet
    slow.begin("r", {})
    taken = [slow.frame("r", moment(number, number, bytes(400))) for number in range(5)]
    assert taken == [True, True, False, False, False]
    slow.start(LIMITS)
    slow.stop(5.0)
    assert len(read_recording(tmp_path / "r").frames) == 2


def test_a_disk_that_refuses_ends_that_recording_only(writer: EvidenceWriter, tmp_path: Path) -> None:
    """The reason is told; the next recording is written."""
    (tmp_path / "evidence").mkdir(exist_ok=True)
    (tmp_path / "evidence" / "taken").write_bytes(b"in the way")
    writer.begin("taken", {})
    assert finished(writer) == Finished("taken", 0, 0, "File exists")
    writer.frame("taken", moment(1, 1))
    writer.end("taken", {})
    writer.begin("next", {})
    writer.end("next", {"complete": True})
    assert finished(writer).name == "next"


def test_a_nearly_full_disk_is_left_to_the_journal(writer: EvidenceWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """No recording begins on it."""
    monkeypatch.setattr(module, "has_room", lambda _folder, _coming: False)
    writer.begin("r", {})
    assert "nearly full" in finished(writer).problem


def test_what_a_killed_daemon_left_is_ended_at_the_next_start(tmp_path: Path) -> None:
    """The thread does that before anything else."""
    first = EvidenceWriter(tmp_path, lambda: WALL_NS, 10_000)
    first.begin("r", {})
    first.start(LIMITS)
    first.stop(5.0)
    second = EvidenceWriter(tmp_path, lambda: WALL_NS, 10_000)
    second.start(LIMITS)
    second.stop(5.0)
    assert read_recording(tmp_path / "r").end is not None


def test_a_folder_that_cannot_be_made_is_no_end(tmp_path: Path) -> None:
    """The thread goes on, and each recording says why it is not there."""
    (tmp_path / "file").write_bytes(b"")
    blocked = EvidenceWriter(tmp_path / "file" / "evidence", lambda: WALL_NS, 10_000)
    blocked.start(LIMITS)
    blocked.begin("r", {})
    assert finished(blocked).problem
    blocked.stop(5.0)
