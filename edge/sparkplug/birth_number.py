"""bdSeq, the number of each birth of the edge node, kept over restarts."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

_log = logging.getLogger(__name__)


class BirthNumber:
    """bdSeq: one more for each CONNECT packet, 0 after 255, over restarts too when there is a file.

    A number that was prepared and then not sent, because the server could not be reached, is used the next time. After a kill just then
    it is not known whether it was sent, so it is skipped: better a number missing than one used twice.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._last = self._read()
        self._prepared: int | None = None

    def prepare(self) -> int:
        """The number for the next CONNECT packet, on the disk before the packet is sent."""
        if self._prepared is None:
            self._prepared = 0 if self._last is None else (self._last + 1) % 256
            self._write(self._prepared)
        return self._prepared

    def sent(self) -> None:
        """The packet with the prepared number has left."""
        self._last, self._prepared = self._prepared, None

    def put_back(self) -> None:
        """Nothing more will be sent: a number that was only prepared is the next start's first."""
        if self._prepared is not None and self._file is not None:
            if self._last is not None:
                self._write(self._last)
            else:
                with contextlib.suppress(OSError):
                    self._file.unlink()
        self._prepared = None

    def _read(self) -> int | None:
        if self._file is None:
            return None
        try:
            number = int(self._file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None
        return number % 256

    def _write(self, number: int) -> None:
        if self._file is None:
            return
        fresh = self._file.with_suffix(".new")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with fresh.open("w", encoding="ascii") as file:
                file.write(f"{number}\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._file)
        except OSError as error:
            _log.warning("sparkplug: bdSeq is not on the disk: %s; after a restart it may repeat", error)
