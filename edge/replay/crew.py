"""Spreads work over processes of this machine, each behind a pipe of its own: one that is killed loses nothing and holds up nobody.

The standard library's pool shares its queues between its processes. One that is killed while another is being started leaves that one waiting for
ever, and the whole backtest with it (seen with Python 3.11).
"""

from __future__ import annotations

import contextlib
import multiprocessing
from collections import deque
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from edge.errors import EdgeError

TRIES = 3  # processes that may end in a row without anything done
_CONTEXT = multiprocessing.get_context("spawn")

Work = TypeVar("Work")
Result = TypeVar("Result")


def spread(begin: Callable[[], Callable[[Work], Result]], work: Sequence[Work], workers: int) -> list[Result]:
    """The results of all pieces of work, in their order.

    Args:
        begin: makes in each process, once, the function that does a piece; it, the pieces and the results are pickled.
        work: the pieces.
        workers: processes.

    Raises:
        EdgeError: processes end again and again.
    """
    missing = deque(range(len(work)))
    done: dict[int, Result] = {}
    crew: list[_Worker[Work, Result]] = []
    ended = 0
    try:
        while len(done) < len(work):
            for _ in range(min(workers - len(crew), len(missing))):
                crew.append(_Worker(begin))
                number = missing.popleft()
                crew[-1].give(number, work[number])
            ready = wait([worker.pipe for worker in crew])
            for worker in [one for one in crew if one.pipe in ready]:
                try:
                    done[worker.number] = worker.result()
                    ended = 0
                except (EOFError, OSError):
                    missing.appendleft(worker.number)
                    ended += 1
                    _remove(crew, worker)
                    continue
                if missing:
                    number = missing.popleft()
                    worker.give(number, work[number])
                else:
                    _remove(crew, worker)
            if ended >= TRIES:
                raise EdgeError(
                    "processes of the backtest end again and again: is there memory for so many? Ask for fewer --workers"
                )
    finally:
        while crew:
            _remove(crew, crew[-1])
    return [done[number] for number in range(len(work))]


class _Worker(Generic[Work, Result]):
    """One process, and the piece of work that it has."""

    def __init__(self, begin: Callable[[], Callable[[Work], Result]]) -> None:
        self.pipe, theirs = _CONTEXT.Pipe()
        self.number = -1
        self._process = _CONTEXT.Process(target=_serve, args=(begin, theirs), daemon=True)
        self._process.start()
        theirs.close()  # so that its end is the end of the pipe

    def give(self, number: int, piece: Work) -> None:
        """Have it do a piece; if it is gone, `result` says so."""
        self.number = number
        with contextlib.suppress(OSError):
            self.pipe.send(piece)

    def result(self) -> Result:
        """What came of its piece. Raises EOFError or OSError when it is gone."""
        found: Result = self.pipe.recv()
        return found

    def end(self) -> None:
        """End it, whatever it does."""
        self.pipe.close()
        self._process.kill()
        self._process.join()


def _remove(crew: list[_Worker[Work, Result]], worker: _Worker[Work, Result]) -> None:
    crew.remove(worker)
    worker.end()


def _serve(begin: Callable[[], Callable[[Any], Any]], pipe: Connection) -> None:
    """The life of a process: it does what comes until the pipe ends."""
    do = begin()
    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(do(pipe.recv()))
