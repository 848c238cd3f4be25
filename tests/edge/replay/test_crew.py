"""Processes that work behind a pipe each: all is done in order, and one that is killed holds up nobody, whenever it is killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import EdgeError
from edge.replay.crew import spread


def _squares() -> Callable[[int], int]:
    return lambda number: number * number


def _only_once() -> Callable[[Path], str]:
    """A process ends at the first sight of a piece, and does it at the second."""

    def do(mark: Path) -> str:
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return mark.name

    return do


def _never() -> Callable[[int], int]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


@pytest.mark.parametrize(("count", "workers"), [(0, 2), (1, 4), (9, 2)])
def test_every_piece_is_done_in_order(count: int, workers: int) -> None:
    """Also where there are more processes than work."""
    assert spread(_squares, range(count), workers) == [number**2 for number in range(count)]


def test_pieces_of_processes_that_end_are_given_to_others(tmp_path: Path) -> None:
    """Two of three pieces are lost first, and each comes back once."""
    (tmp_path / "b").touch()
    marks = [tmp_path / name for name in "abc"]
    assert spread(_only_once, marks, 2) == ["a", "b", "c"]


def test_processes_that_always_end_are_an_error() -> None:
    """Not an endless loop."""
    with pytest.raises(EdgeError, match="again and again"):
        spread(_never, [1, 2], 2)


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_a_process_may_be_killed_at_any_moment(delay_s: float) -> None:
    """While it or another one is being started as well: a pool with shared queues hung for ever there."""
    over = threading.Event()

    def kill_one() -> None:
        time.sleep(delay_s)
        while not over.is_set():
            for child in multiprocessing.active_children():
                child.kill()
                return
            time.sleep(0.001)

    thread = threading.Thread(target=kill_one)
    thread.start()
    found = spread(_squares, range(200), 2)
    over.set()
    thread.join()
    assert found == [number**2 for number in range(200)]
