"""A thread behind all others that does jobs for the disk one after another; what waits for it is bounded, so that a slow disk costs pictures, never a flag."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from edge.system.realtime import step_back

Job = Callable[[], object]


class Spool:
    """Jobs are put by one thread and done by another.

    Args:
        name: of the thread.
        max_waiting_bytes: of what waits; a job that goes beyond it is refused.
        first: done on the thread before any job.
        last: done on the thread after all jobs.
    """

    def __init__(
        self, name: str, max_waiting_bytes: int, *, first: Job = lambda: None, last: Job = lambda: None
    ) -> None:
        self._name = name
        self._max_waiting_bytes = max_waiting_bytes
        self._first, self._last = first, last
        self._changed = threading.Condition()
        self._jobs: deque[tuple[Job, int]] = deque()
        self._waiting_bytes = 0
        self._stopping = False
        self._thread: threading.Thread | None = None

    def put(self, job: Job, size_bytes: int = 0) -> bool:
        """Add a job that holds so many bytes; False: too much waits, and it is refused. One of no bytes never is."""
        with self._changed:
            if size_bytes and self._waiting_bytes + size_bytes > self._max_waiting_bytes:
                return False
            self._jobs.append((job, size_bytes))
            self._waiting_bytes += size_bytes
            self._changed.notify()
        return True

    def start(self) -> None:
        """Have the thread run; again does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Do what waits, then end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        step_back()
        self._first()
        while (job := self._take()) is not None:
            job()
        self._last()

    def _take(self) -> Job | None:
        with self._changed:
            while not self._jobs and not self._stopping:
                self._changed.wait()
            if not self._jobs:
                return None
            job, size_bytes = self._jobs.popleft()
            self._waiting_bytes -= size_bytes
            return job
