"""What was written is pushed to the disk: files and the names in a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge.system.flush import flush

DESCRIPTORS = Path("/proc/self/fd")


def test_a_file_and_a_folder_are_pushed_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by its own descriptor, which is closed again."""
    pushed: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda number: pushed.append((DESCRIPTORS / str(number)).readlink()))
    (tmp_path / "file").write_bytes(b"x")
    before = len(list(DESCRIPTORS.iterdir()))
    flush(tmp_path / "file")
    flush(tmp_path)
    assert pushed == [tmp_path / "file", tmp_path]
    assert len(list(DESCRIPTORS.iterdir())) == before


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """The caller must not take it for pushed."""
    with pytest.raises(FileNotFoundError):
        flush(tmp_path / "nothing")
