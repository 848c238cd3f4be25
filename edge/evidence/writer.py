"""The thread that writes recordings: it takes jobs from a bounded queue, so that a slow disk costs pictures of evidence, never a flag.

The inference thread puts jobs and takes what is finished under a lock. Everything on disk belongs to this thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from edge.evidence.archive import Limits, finish_all, make_room
from edge.evidence.recording import RecordingWriter
from edge.evidence.ring import Moment
from edge.system.spare import has_room
from edge.system.spool import Spool

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Finished:
    """A recording that ended; `problem` is what kept it from being whole, empty when nothing did."""

    name: str
    frames: int
    written_bytes: int
    problem: str


@dataclass(frozen=True, slots=True)
class _Job:
    name: str
    act: Callable[[RecordingWriter], None] | None  # None: begin
    facts: Mapping[str, Any]
    size_bytes: int = 0
    last: bool = False


@dataclass(slots=True)
class _Open:
    writer: RecordingWriter
    frames: int = 0
    problem: str = ""


class EvidenceWriter:
    """Writes recordings one after another, several open at a time.

    Args:
        folder: of all recordings; made when the first begins.
        wall_ns: the wall clock, for what is too old; None while it cannot be trusted.
        max_waiting_bytes: of pictures that wait for the disk; what comes beyond it is left out and counted.
    """

    def __init__(self, folder: Path, wall_ns: Callable[[], int | None], max_waiting_bytes: int) -> None:
        self._folder = folder
        self._wall_ns = wall_ns
        self._max_waiting_bytes = max_waiting_bytes
        self._limits = Limits(30.0, 1)
        self._lock = threading.Lock()  # of limits and of what is finished
        self._finished: list[Finished] = []
        self._open: dict[str, _Open] = {}  # of the writing thread
        self._spool = Spool("evidence", max_waiting_bytes, first=self._tidy, last=self._close_all)

    # --- the inference thread

    def begin(self, name: str, about: Mapping[str, Any]) -> None:
        """Begin a recording."""
        self._put(_Job(name, None, dict(about)))

    def frame(self, name: str, moment: Moment) -> bool:
        """Add a frame; False: the disk is behind, and it was left out."""
        return self._put(_Job(name, lambda writer: writer.frame(moment), {}, moment.size_bytes))

    def raised(self, name: str, mark: Mapping[str, Any]) -> None:
        """Add an alarm that was raised."""
        self._put(_Job(name, lambda writer: writer.raised(mark), {}))

    def end(self, name: str, facts: Mapping[str, Any]) -> None:
        """End a recording."""
        self._put(_Job(name, lambda _writer: None, dict(facts), last=True))

    def take_finished(self) -> list[Finished]:
        """What ended since the last call."""
        with self._lock:
            finished, self._finished = self._finished, []
        return finished

    def start(self, limits: Limits) -> None:
        """Have the thread run, with these limits from now on; what an earlier daemon left unfinished is ended."""
        with self._lock:
            self._limits = limits
        self._spool.start()

    def stop(self, timeout_s: float) -> None:
        """Write what waits, then end."""
        self._spool.stop(timeout_s)

    def _put(self, job: _Job) -> bool:
        return self._spool.put(partial(self._do, job), job.size_bytes)

    # --- the writing thread

    def _tidy(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            finish_all(self._folder)
        except OSError as error:
            _log.warning("evidence: %s: %s", self._folder, error.strerror)

    def _close_all(self) -> None:
        for found in self._open.values():
            found.writer.close()

    def _do(self, job: _Job) -> None:
        """One job; a disk that refuses ends the recording that it is about, and no other."""
        problem = ""
        try:
            if job.act is None:
                self._begin(job)
                return
            found = self._open.get(job.name)
            if found is None:
                return  # it was given up
            job.act(found.writer)
            found.frames += bool(job.size_bytes)
            if job.last:
                found.writer.end(job.facts)
        except OSError as error:
            problem = error.strerror or str(error)
            _log.warning("evidence %s is not whole: %s", job.name, problem)
        if job.last or problem:
            self._close(job.name, problem)

    def _begin(self, job: _Job) -> None:
        with self._lock:
            limits = self._limits
        make_room(self._folder, limits, self._wall_ns(), self._max_waiting_bytes)
        if not has_room(self._folder, self._max_waiting_bytes):
            raise OSError(0, "the disk is nearly full, and what is left of it is the journal's")
        self._open[job.name] = _Open(RecordingWriter(self._folder / job.name, job.facts))

    def _close(self, name: str, problem: str) -> None:
        found = self._open.pop(name, None)
        if found is not None:
            found.writer.close()
        frames, size = (0, 0) if found is None else (found.frames, found.writer.written_bytes)
        with self._lock:
            self._finished.append(Finished(name, frames, size, problem))
