"""What is made once is made once, and what failed is tried again; coverage looks away and comes back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.stand.once import once
from tests.stand.untraced import untraced


def test_the_second_asker_gets_what_the_first_one_made(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One call, one folder."""
    calls: list[Path] = []

    def make(folder: Path) -> None:
        calls.append(folder)
        (folder / "file").write_text("here")

    folders = [once(tmp_path_factory, "tried", make) for _ in range(3)]
    assert len(calls) == 1
    assert {(folder / "file").read_text() for folder in folders} == {"here"}


def test_what_could_not_be_made_is_tried_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The next one does not get half a folder for a whole one."""

    def fail(_folder: Path) -> None:
        raise ValueError("no room")

    with pytest.raises(ValueError, match="no room"):
        once(tmp_path_factory, "failed", fail)
    assert (once(tmp_path_factory, "failed", lambda folder: (folder / "x").touch()) / "x").exists()


def test_an_untraced_call_is_the_call_and_the_tracer_comes_back() -> None:
    """Also where it raises."""
    before = sys.gettrace()
    assert untraced(sys.gettrace)() is None
    with pytest.raises(ZeroDivisionError):
        untraced(lambda: 1 // 0)()
    assert sys.gettrace() is before
