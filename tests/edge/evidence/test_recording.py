"""A recording is readable at whatever moment its writer ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import EdgeError
from edge.evidence.recording import LOG, RecordingWriter, finish_broken, read_recording
from tests.edge.evidence.moments import moment

MARK = {"alarm": "red", "occurrence": "o1", "at": "2027-01-15T08:00:00.040Z"}


def written(folder: Path, *, end: bool = True) -> Path:
    """Three frames and an alarm."""
    writer = RecordingWriter(folder, {"camera": "cam"})
    for number in range(3):
        writer.frame(moment(number, number * 40, b"\xff\xd8" + bytes([number])))
    writer.raised(MARK)
    if end:
        writer.end({"complete": True, "why": ""})
    writer.close()
    return folder


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    """Pictures by their very bytes, facts and alarms in order."""
    found = read_recording(written(tmp_path / "r"))
    assert found.complete
    assert found.about["camera"] == "cam"
    assert [mark["occurrence"] for mark in found.raised] == ["o1"]
    assert [found.picture(facts) for facts in found.frames] == [b"\xff\xd8" + bytes([number]) for number in range(3)]
    assert found.frames[0]["readings"] == {"vibration": 1.5}


def test_every_cut_of_the_log_leaves_a_readable_recording(tmp_path: Path) -> None:
    """Wherever a power cut tears it: the frames before it are whole, and it does not call itself complete."""
    folder = written(tmp_path / "r")
    body = (folder / LOG).read_bytes()
    first = body.index(b"\n") + 1
    for cut in range(first, len(body) - 1):
        (folder / LOG).write_bytes(body[:cut])
        found = read_recording(folder)
        assert not found.complete
        assert all(found.picture(facts) for facts in found.frames)


def test_a_broken_recording_is_ended_once(tmp_path: Path) -> None:
    """The next start says that its writer was killed; a torn line does not swallow that."""
    folder = written(tmp_path / "r", end=False)
    with (folder / LOG).open("ab") as log:
        log.write(b'{"kind":"frame","file":"00')
    assert finish_broken(folder)
    assert not finish_broken(folder)
    found = read_recording(folder)
    assert found.end is not None
    assert (found.complete, found.end["why"], len(found.frames)) == (False, "the daemon ended meanwhile", 3)


def test_a_picture_that_is_not_what_its_line_names_is_none(tmp_path: Path) -> None:
    """Changed bytes, a missing file, a name that leads elsewhere."""
    found = read_recording(written(tmp_path / "r"))
    (found.folder / found.frames[0]["file"]).write_bytes(b"other")
    (found.folder / found.frames[1]["file"]).unlink()
    (tmp_path / "secret").write_bytes(b"\xff\xd8\x02")
    elsewhere = dict(found.frames[2]) | {"file": "../secret"}
    assert [found.picture(facts) for facts in (found.frames[0], found.frames[1], elsewhere)] == [None, None, None]


def test_what_is_no_recording_is_said_to_be_none(tmp_path: Path) -> None:
    """No log, and a log of something else."""
    with pytest.raises(EdgeError, match="holds no recording"):
        read_recording(tmp_path)
    (tmp_path / LOG).write_bytes(b'[1]\nnot json\n{"kind":"about","schema":"edge.recording/9"}\n')
    with pytest.raises(EdgeError, match="another version"):
        read_recording(tmp_path)
    assert not finish_broken(tmp_path / "nothing")
