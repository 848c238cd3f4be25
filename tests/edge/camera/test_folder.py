"""A watched folder: the newest complete picture, once; what lay there before is old, and nothing is touched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.camera.folder import FolderSource
from edge.camera.shot import Shot, SourceFailed
from edge.site.source import SourceSettings
from edge.wire.camera import CameraTrouble
from tests.stand.cameras import pictures

SHOWN = pictures(3)
MS = 1_000_000


class Watch:
    """A folder that is looked at step by step; each look is `poll_ms` later."""

    def __init__(self, folder: Path, max_bytes: int = 100_000) -> None:
        self.folder = folder
        self._now_ns = 0
        settings = SourceSettings(url=f"folder://{folder}", poll_ms=50, settle_ms=100)
        self._source = FolderSource(settings, max_bytes, monotonic_ns=lambda: self._now_ns, sleep=self._later)
        self._shots: Iterator[Shot | None] = self._source.shots()
        assert self.look() is None

    def _later(self, pause_s: float) -> None:
        self._now_ns += round(pause_s * 1e9)

    def look(self) -> bytes | None:
        """What one look finds."""
        shot = next(self._shots)
        return None if shot is None else shot.encoded(90)

    def looks(self, count: int) -> list[bytes]:
        """What some looks find."""
        return [found for found in (self.look() for _ in range(count)) if found is not None]


@pytest.fixture
def watch(tmp_path: Path) -> Callable[..., Watch]:
    """Begins to watch a folder in which an old picture lies."""
    (tmp_path / "old.jpg").write_bytes(SHOWN[0])
    return lambda **options: Watch(tmp_path, **options)


def test_a_new_picture_is_given_once_and_what_lay_there_before_never(watch: Callable[..., Watch]) -> None:
    """After it stayed the same for `settle_ms`."""
    watched = watch()
    (watched.folder / "a.JPG").write_bytes(SHOWN[1])
    assert watched.looks(2) == []
    assert watched.looks(5) == [SHOWN[1]]
    assert sorted(path.name for path in watched.folder.iterdir()) == ["a.JPG", "old.jpg"]


def test_a_file_that_still_grows_is_not_read(watch: Callable[..., Watch]) -> None:
    """A camera that uploads slowly shows no half of a picture."""
    watched = watch()
    with (watched.folder / "a.jpg").open("wb") as growing:
        for start in range(0, len(SHOWN[1]), 1500):
            growing.write(SHOWN[1][start : start + 1500])
            growing.flush()
            assert watched.look() is None
    assert watched.looks(4) == [SHOWN[1]]


def test_of_many_new_pictures_the_newest_complete_one_is_given(watch: Callable[..., Watch]) -> None:
    """A writer that never pauses starves nobody: each look takes the newest of those that are complete."""
    watched = watch()
    found = []
    for number in range(12):
        (watched.folder / f"{number:03}.jpg").write_bytes(SHOWN[1] + b"%d" % number)
        found += watched.looks(1)
    assert len(found) >= 8
    assert found == sorted(found, key=lambda picture: int(picture[len(SHOWN[1]) :]))


def test_a_picture_that_is_written_over_is_a_new_one(watch: Callable[..., Watch]) -> None:
    """Cameras that always write the same name are usual; a rename into place counts too."""
    watched = watch()
    (watched.folder / "old.jpg").write_bytes(SHOWN[1])
    assert watched.looks(4) == [SHOWN[1]]
    (watched.folder / "part.tmp").write_bytes(SHOWN[2])
    (watched.folder / "part.tmp").rename(watched.folder / "old.jpg")
    assert watched.looks(4) == [SHOWN[2]]


def test_its_time_is_when_it_was_written_even_if_it_was_copied_here_later(tmp_path: Path) -> None:
    """So the daemon sees that it is old."""
    shots = FolderSource(SourceSettings(url=f"folder://{tmp_path}", poll_ms=1, settle_ms=0), 100_000).shots()
    assert next(shots) is None
    (tmp_path / "a.jpg").write_bytes(SHOWN[0])
    os.utime(tmp_path / "a.jpg", ns=(7 * MS, 7 * MS))
    shot = next(shots)
    assert shot is not None
    assert shot.captured_wall_ns == 7 * MS


@pytest.mark.parametrize(
    ("content", "told"), [(b"x" * 200_000, CameraTrouble.TOO_LARGE), (b"no picture", CameraTrouble.UNSUPPORTED)]
)
def test_a_file_that_is_no_picture_or_too_large_is_said(
    watch: Callable[..., Watch], content: bytes, told: CameraTrouble
) -> None:
    """The reader opens the folder again then."""
    watched = watch()
    (watched.folder / "a.png").write_bytes(content)
    with pytest.raises(SourceFailed) as caught:
        watched.looks(5)
    assert caught.value.trouble is told


def test_a_folder_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    """A disk that is not mounted, or a name that is wrong."""
    with pytest.raises(SourceFailed) as caught:
        next(FolderSource(SourceSettings(url=f"folder://{tmp_path}/away"), 1).shots())
    assert caught.value.trouble is CameraTrouble.NOT_FOUND


def test_a_picture_that_goes_while_it_is_looked_at_is_no_failure(
    watch: Callable[..., Watch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something tidies up: there will be another."""
    watched = watch()
    (watched.folder / "a.jpg").write_bytes(SHOWN[1])
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", lambda path: (_ for _ in ()).throw(FileNotFoundError(path)))
        assert watched.looks(5) == []
    (watched.folder / "b.jpg").write_bytes(SHOWN[2])
    assert watched.looks(5) == [SHOWN[2]]
