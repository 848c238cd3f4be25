"""Evidence as the page reads it: from a real recording, one picture at a time, and only what is whole."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from edge.errors import EdgeError
from edge.evidence.recording import RecordingWriter
from edge.page.settings import EvidenceFolder
from edge.page.shelf import Shelf, facts
from tests.edge.evidence.moments import moment

OCCURRENCE = "01J9ZS3V4T5N6P7Q8R9SATBVCW"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An evidence folder with one recording of two pictures."""
    writer = RecordingWriter(tmp_path / "20261130T120000-cam", {"camera": "cam", "thresholds": {"red": 0.8}})
    writer.frame(moment(1, 0))
    writer.raised({"at": "2026-11-30T12:00:00.000Z", "alarm": "red", "occurrence": OCCURRENCE})
    writer.frame(moment(2, 40, b"\xff\xd8other"))
    writer.end({"complete": True})
    return tmp_path


def test_an_occurrence_is_found_and_shown(folder: Path) -> None:
    """Its list, its facts, its pictures and its zip; a picture that was changed is not shown."""
    shelf = Shelf([EvidenceFolder(node="press7", folder=folder)])
    assert shelf.nodes() == ["press7"]
    row = shelf.listing("press7")[0]
    assert (row["alarm"], row["occurrence"], row["camera"], row["frames"], row["whole"]) == ("red", OCCURRENCE, "cam", 2, True)  # fmt: skip
    recording = shelf.recording("press7", OCCURRENCE)
    shown = facts(recording)
    assert [frame["flags"] for frame in shown["frames"]] == [{"red": ["ok", 0.1, "good"]}] * 2
    assert shown["thresholds"] == {"red": 0.8}
    with shelf.zipped("press7", OCCURRENCE) as held:
        names = zipfile.ZipFile(io.BytesIO(held.read())).namelist()
    assert {"index.html", "recording.jsonl", "frames/00000001.jpg", "frames/00000002.jpg"} == set(names)
    (recording.folder / "00000001.jpg").write_bytes(b"\xff\xd8changed")
    assert recording.picture(recording.frames[0]) is None


def test_what_is_not_there_is_said(folder: Path) -> None:
    """Another node, another occurrence, and a recording that grew meanwhile is read again."""
    shelf = Shelf([EvidenceFolder(node="press7", folder=folder)])
    with pytest.raises(EdgeError, match="not on this machine"):
        shelf.listing("press8")
    with pytest.raises(EdgeError, match="grew too old"):
        shelf.recording("press7", "01J9ZS3V4T5N6P7Q8R9SATBVCX")
    second = RecordingWriter(folder / "20261130T130000-cam", {"camera": "cam"})
    assert len(shelf.listing("press7")) == 1
    second.raised({"at": "2026-11-30T13:00:00.000Z", "alarm": "red", "occurrence": "NEW"})
    os.utime(second.folder / "recording.jsonl", ns=(5, 5))
    assert [row["occurrence"] for row in shelf.listing("press7")] == ["NEW", OCCURRENCE]
    second.close()
    assert Shelf([EvidenceFolder(node="press7", folder=folder / "nowhere")]).listing("press7") == []


def test_a_reader_named_in_an_access_list_can_read_it(folder: Path) -> None:
    """A recording's folder keeps the group's bits that an access list needs; others have none."""
    before = os.umask(0o022)
    try:
        made = RecordingWriter(folder / "20261130T140000-cam", {"camera": "cam"})
    finally:
        os.umask(before)
    made.close()
    assert made.folder.stat().st_mode & 0o777 == 0o750
