"""One zip that opens on any machine, and what the terminal lists."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from edge.errors import EdgeError
from edge.evidence.export import MAX_SHOWN, as_json, listing, page, write_zip, zipped
from edge.evidence.recording import Recording, RecordingWriter, read_recording
from edge.wire.message import timestamp
from tests.edge.evidence.moments import WALL_NS, moment
from tests.stand.bundles import flat_jpeg

RED = flat_jpeg(255, 0, 0)


def recording(folder: Path, frames: int = 3, name: str = "red") -> Recording:
    """So many red frames, 40 ms apart, an alarm at the second one."""
    writer = RecordingWriter(
        folder, {"camera": "cam", "thresholds": {"red": 0.5}, "model": {"name": "m", "version": 1, "sha256": "ab"}}
    )
    for number in range(frames):
        writer.frame(moment(number, number * 40, RED, score=0.6))
    writer.raised({"alarm": name, "occurrence": "o1", "at": timestamp(WALL_NS + 50_000_000)})
    writer.end({"complete": True})
    return read_recording(folder)


def test_the_zip_holds_every_picture_and_a_page_that_needs_nothing_else(tmp_path: Path) -> None:
    """The page shows them from inside itself; no address of anything else stands in it."""
    with zipfile.ZipFile(io.BytesIO(zipped(recording(tmp_path / "r")))) as archive:
        assert {name for name in archive.namelist() if name.startswith("frames/")} == {
            f"frames/{number:08d}.jpg" for number in range(3)
        }
        assert archive.read("frames/00000000.jpg") == RED
        text = archive.read("index.html").decode()
    assert text.count("data:image/jpeg;base64,") == 3
    assert "http://" not in text
    assert "https://" not in text
    assert "threshold 0.500" in text


def test_the_picture_of_the_alarm_is_marked(tmp_path: Path) -> None:
    """The newest one when it was raised, also where only some of many are shown."""
    few = page(recording(tmp_path / "few"))
    assert few.count("class=raised") == 1
    assert few.index("class=raised") < few.index(timestamp(WALL_NS + 80_000_000))
    many = page(recording(tmp_path / "many", frames=3 * MAX_SHOWN))
    assert many.count("<img") <= MAX_SHOWN
    assert many.count("class=raised") == 1


def test_names_cannot_put_anything_into_the_page(tmp_path: Path) -> None:
    """Whatever an id holds is text."""
    text = page(recording(tmp_path / "r", name="<script>alert(1)</script>"))
    assert "<script>" not in text


def test_a_recording_without_pictures_is_no_evidence(tmp_path: Path) -> None:
    """It is refused, and so is a file that is there already."""
    found = recording(tmp_path / "r")
    write_zip(found, tmp_path / "out.zip")
    with pytest.raises(EdgeError, match="cannot write"):
        write_zip(found, tmp_path / "out.zip")
    for path in found.folder.glob("*.jpg"):
        path.unlink()
    with pytest.raises(EdgeError, match="no picture"):
        zipped(found)


def test_what_is_kept_is_listed_by_occurrence(tmp_path: Path) -> None:
    """As lines and as JSON; nothing is said to be nothing."""
    found = recording(tmp_path / "r")
    assert "o1" in listing([found])
    assert "whole" in listing([found])
    assert listing([]) == "no evidence is kept"
    assert json.loads(as_json([found]))[0]["raised"][0]["alarm"] == "red"
    broken = Recording(found.folder, found.about, found.raised, found.frames[:1])
    assert "not whole" in listing([broken])
    text = page(broken)
    assert "not whole" in text
    assert "Too few frames" in text
