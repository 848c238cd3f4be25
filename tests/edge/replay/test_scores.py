"""Scores are the same in one process and in several, and a killed process loses nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from edge.bundle import Bundle, open_bundle
from edge.replay import scores as module
from edge.replay.scores import score_all
from tests.stand.bundles import colour_bundle, flat_jpeg


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """How red, green and blue a picture is."""
    folder = tmp_path_factory.mktemp("bundles") / "colours"
    colour_bundle(folder)
    return open_bundle(folder)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of many colours, one that is none, and one that is not there."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(80):
        (folder / f"{number:03d}.jpg").write_bytes(flat_jpeg(3 * number, 255 - 3 * number, 90))
    (folder / "bad.jpg").write_bytes(b"rubbish")
    return [*sorted(folder.iterdir()), folder / "gone.jpg"]


def test_several_processes_give_what_one_gives(bundle: Bundle, paths: list[Path]) -> None:
    """To the bit, in the same order; what has no scores says why."""
    serial = score_all(bundle, paths, 1)
    assert score_all(bundle, paths, 2) == serial
    assert (serial[-2].scores, serial[-1].scores) == (None, None)
    assert "not_an_image" in serial[-2].problem
    assert "cannot be read" in serial[-1].problem


def test_a_killed_process_loses_nothing(bundle: Bundle, paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Others take what it had not done."""
    monkeypatch.setattr(module, "CHUNK", 2)
    serial, killed = score_all(bundle, paths, 1), threading.Event()

    def kill_one() -> None:
        me = os.getpid()
        while not killed.is_set():
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and _parent(entry) == me and b"spawn_main" in _command(entry):
                    os.kill(int(entry.name), signal.SIGKILL)
                    killed.set()
                    return
            time.sleep(0.01)

    thread = threading.Thread(target=kill_one)
    thread.start()
    found = score_all(bundle, paths, 2)
    killed.set()
    thread.join()
    assert found == serial


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return -1


def _command(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""
