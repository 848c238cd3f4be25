"""Reads one source, again after each failure, in a thread of its own: the newest picture into its place, every failure into the report, and then again.

The thread does nothing else, so that no picture waits in the source; a pause between attempts is short, but for a rejected password.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import traceback
from collections.abc import Callable

from edge.camera.newest import Newest
from edge.camera.report import Report
from edge.camera.shot import Source, SourceFailed
from edge.errors import ConfigError
from edge.wire.camera import TROUBLE_TEXTS, CameraTrouble

FIRST_PAUSE_S, LAST_PAUSE_S = 0.2, 1.0  # between attempts; doubles in between
ABSENT_PAUSE_S = 0.4  # at most, where no host answers: an attempt costs nothing, and the camera is back sooner
REJECTED_PAUSE_S = 60.0  # cameras lock an account out after a few wrong passwords

_log = logging.getLogger(__name__)


class Reader:
    """Keeps one source open.

    Args:
        source: what to read.
        newest: where each picture goes.
        report: takes the camera's condition.
        fingerprint: changes when the credentials do; a rejected password is tried again then.
    """

    def __init__(
        self, source: Source, newest: Newest, report: Report, fingerprint: Callable[[], object] = lambda: None
    ) -> None:
        self._source = source
        self._newest = newest
        self._report = report
        self._fingerprint = fingerprint
        self._stopping = threading.Event()
        self.opened = 0
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Read no further; a source that waits for the network is left behind with the process."""
        self._stopping.set()

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            trouble, came = self._read()
            self._newest.empty()
            failures = 0 if came else failures + 1
            self._pause(trouble, failures)

    def _read(self) -> tuple[CameraTrouble, bool]:
        """Open the source and read it to its end; returns why it ended, and whether a picture came."""
        came = False
        self.opened += 1
        try:
            for shot in self._source.shots():
                if self._stopping.is_set():
                    return CameraTrouble.STOPPED, came
                if shot is not None:
                    if not came:
                        _log.info("pictures come: %s%s", shot.coding, ", encoded again" if shot.transcoded else "")
                    came = True
                    self._newest.put(shot)
                    self._report.pictured(shot, time.monotonic_ns(), time.time_ns())
        except SourceFailed as error:
            trouble, detail = error.trouble, error.detail
        except ConfigError as error:
            trouble, detail = CameraTrouble.FORBIDDEN, str(error)[:200]
        except Exception as error:  # noqa: BLE001 - whatever it is, the camera is tried again
            # Without the exception's own text: it may hold the address with the password.
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("reading the camera failed with %s:\n%s", type(error).__name__, where)
            trouble, detail = CameraTrouble.INTERNAL, ""
        else:
            trouble, detail = CameraTrouble.ENDED, ""
        before = self._report.now()
        self._report.failed(trouble, detail, time.time_ns())
        if self._report.now() is not before:
            _log.warning("no picture: %s (%s: %s)", TROUBLE_TEXTS[trouble], trouble.value, detail)
        return trouble, came

    def _pause(self, trouble: CameraTrouble, failures: int) -> None:
        longest_s = ABSENT_PAUSE_S if trouble is CameraTrouble.UNREACHABLE else LAST_PAUSE_S
        pause_s = min(longest_s, FIRST_PAUSE_S * 2.0 ** min(failures, 8)) * random.uniform(0.5, 1.0)
        if trouble is not CameraTrouble.UNAUTHORIZED:
            self._stopping.wait(pause_s)
            return
        before, until_s = self._fingerprint(), time.monotonic() + REJECTED_PAUSE_S
        while time.monotonic() < until_s and self._fingerprint() == before and not self._stopping.is_set():
            self._stopping.wait(LAST_PAUSE_S)
