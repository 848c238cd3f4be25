"""A watched folder: the newest picture that was put there and is complete; nothing is moved or deleted."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from edge.camera.address import local_path
from edge.camera.shot import Shot, SourceFailed, picture_coding
from edge.site.source import SourceSettings
from edge.units import NS_PER_MS
from edge.wire.camera import CameraTrouble

SUFFIXES = (".jpg", ".jpeg", ".png")


class _File(NamedTuple):
    """One file as a look at the folder found it; the one that was put there last is the largest."""

    placed_ns: int  # when it was last written, renamed or linked, by the clock of the disk's machine
    name: str
    size: int
    written_wall_ns: int


class FolderSource:
    """A folder that a camera or a program writes pictures into; see `edge.camera.shot.Source`.

    What lies there at the start is old and is not given. A file counts when it stayed the same for `settle_ms`. Its capture time is the
    time when it was written, which a copy may keep.

    Args:
        source: which folder.
        max_bytes: a larger file is refused.
        monotonic_ns: for how long a file stayed the same.
        sleep: waits, s.
    """

    def __init__(
        self,
        source: SourceSettings,
        max_bytes: int,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._source = source
        self._folder = local_path(source)
        self._max_bytes = max_bytes
        self._monotonic_ns = monotonic_ns
        self._sleep = sleep

    def shots(self) -> Iterator[Shot | None]:
        """Give the newest complete picture of each look; None after a look that found none.

        Raises:
            SourceFailed: the folder cannot be read, or holds a file that is no picture.
        """
        settle_ns = round(self._source.settle_ms * NS_PER_MS)
        given = max(self._files(), default=None)
        since: dict[_File, int] = {}  # files that are newer than what was given, and since when each is as it is
        while True:
            now_ns = self._monotonic_ns()
            fresh = [file for file in self._files() if given is None or file > given]
            since = {file: since.get(file, now_ns) for file in fresh}
            complete = max((file for file, seen_ns in since.items() if now_ns - seen_ns >= settle_ns), default=None)
            given = complete or given
            yield None if complete is None else self._read(complete)
            self._sleep(self._source.poll_ms / 1000.0)

    def _files(self) -> list[_File]:
        try:
            with os.scandir(self._folder) as entries:
                stats = [(entry, _stat(entry)) for entry in entries if entry.name.lower().endswith(SUFFIXES)]
        except OSError as error:
            raise _failure(self._folder, error) from None
        return [
            _File(stat.st_ctime_ns, entry.name, stat.st_size, stat.st_mtime_ns)
            for entry, stat in stats
            if stat is not None
        ]

    def _read(self, file: _File) -> Shot | None:
        if file.size > self._max_bytes:
            raise SourceFailed(CameraTrouble.TOO_LARGE, f"{file.name} has {file.size} bytes")
        try:
            encoded = (self._folder / file.name).read_bytes()
        except FileNotFoundError:
            return None  # it was removed meanwhile
        except OSError as error:
            raise _failure(self._folder, error) from None
        return Shot(encoded, picture_coding(encoded), file.written_wall_ns)


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat() if entry.is_file() else None
    except OSError:
        return None  # gone meanwhile


def _failure(folder: Path, error: OSError) -> SourceFailed:
    trouble = CameraTrouble.FORBIDDEN if isinstance(error, PermissionError) else CameraTrouble.NOT_FOUND
    return SourceFailed(trouble, f"{folder.name}: {error.strerror}")
