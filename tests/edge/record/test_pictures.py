"""Which pictures of a camera a recording keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.frame import Frame
from edge.inference.preprocess import CALIBRATION, Preprocessor
from edge.manifest import InputSpec
from edge.record.pictures import Choice, PictureFolder
from tests.stand.bundles import flat_jpeg

S = 1_000_000_000
WALL_NS = 1_800_000_000 * S
PREPARE = Preprocessor(InputSpec(name="small", width=32, height=32, resize="stretch"), CALIBRATION).prepare
GREYS = [flat_jpeg(level, level, level) for level in (10, 60, 120, 180)]


def frame(picture: bytes, at_s: float, seq: int = 1, captured_s: float | None = None) -> Frame:
    """A frame received at so many seconds."""
    at_ns = round(at_s * S)
    captured = None if captured_s is None else WALL_NS + round(captured_s * S)
    return Frame("cam", seq, picture, at_ns, WALL_NS + at_ns, at_ns + S, captured)


def folder(path: Path, *, every_s: float = 0.0, novelty: float = 1.0, max_bytes: int = 1_000_000) -> PictureFolder:
    """A folder for pictures."""
    return PictureFolder(path / "cam", Choice(round(every_s * S), novelty, max_bytes), PREPARE)


def test_pictures_are_kept_as_they_came_under_the_time_of_their_source(tmp_path: Path) -> None:
    """The very bytes; the name is the capture time in UTC, so that names sort by time and group by minute."""
    kept = folder(tmp_path)
    assert kept.offer(frame(GREYS[0], 0.0, seq=7, captured_s=60.5)) == "kept"
    (path,) = (tmp_path / "cam").iterdir()
    assert (path.name, path.read_bytes()) == ("20270115T080100.500Z_7.jpg", GREYS[0])


def test_at_most_one_in_a_while_is_kept(tmp_path: Path) -> None:
    """Counted from the last kept one."""
    kept = folder(tmp_path, every_s=2.0)
    outcomes = [kept.offer(frame(GREYS[number % 4], number * 0.5, seq=number)) for number in range(6)]
    assert outcomes == ["kept", "soon", "soon", "soon", "copy", "kept"]


def test_copies_and_views_like_the_last_one_are_not_kept(tmp_path: Path) -> None:
    """Exact copies of anything that is there, also of an earlier recording; what differs less than the novelty from the last."""
    kept = folder(tmp_path, novelty=5.0)
    assert kept.offer(frame(GREYS[0], 0)) == "kept"
    assert kept.offer(frame(GREYS[0], 1)) == "copy"
    assert kept.offer(frame(flat_jpeg(12, 12, 12), 2)) == "alike"
    assert kept.offer(frame(GREYS[1], 3)) == "kept"
    again = folder(tmp_path, novelty=5.0)
    assert again.offer(frame(GREYS[0], 4)) == "copy"


def test_what_is_no_picture_is_not_kept(tmp_path: Path) -> None:
    """It is counted under the reason."""
    kept = folder(tmp_path)
    assert kept.offer(frame(b"rubbish", 0)) == "not_an_image"
    assert kept.counts == {"not_an_image": 1}


def test_a_folder_never_grows_beyond_its_size(tmp_path: Path) -> None:
    """What was there before counts; then it is full, and stays so."""
    size = len(GREYS[0])
    kept = folder(tmp_path, max_bytes=2 * size + size // 2)
    assert [kept.offer(frame(GREYS[number], number)) for number in range(4)] == ["kept", "kept", "full", "full"]
    assert kept.full
    assert sum(path.stat().st_size for path in (tmp_path / "cam").iterdir()) <= 2 * size + size // 2


def test_a_picture_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that refuses leaves no half picture under its name."""
    kept = folder(tmp_path)

    def refuse(_source: Path, _target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.record.pictures.os.replace", refuse)
    with pytest.raises(OSError, match="No space"):
        kept.offer(frame(GREYS[0], 0))
    assert not list((tmp_path / "cam").glob("*.jpg"))
