"""Tests that need the whole machine run alone: a lock between pytest's workers that many tests share and one test can take for itself."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turnstile:
    """Two lock files in one folder. Who wants to be alone closes the door first, so that those who share cannot starve it.

    Args:
        folder: where the lock files live; None: there is only one worker, and nothing is locked.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @classmethod
    def of_this_run(cls) -> Turnstile:
        """The one that all workers of this pytest-xdist run share."""
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
        return cls(None if run is None else Path(tempfile.gettempdir()) / f"pytest-turnstile-{run}")

    @contextmanager
    def passed(self, *, alone: bool) -> Iterator[None]:
        """Wait for a turn, and keep it: beside others, or alone."""
        if self._folder is None:
            yield
            return
        self._folder.mkdir(exist_ok=True)
        with (self._folder / "door").open("w") as door, (self._folder / "room").open("w") as room:
            fcntl.flock(door, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            if not alone:
                fcntl.flock(door, fcntl.LOCK_UN)
            yield
