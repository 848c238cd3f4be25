"""The folder of all recordings: named by time and camera, found by occurrence, kept by days and bytes."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge.errors import EdgeError
from edge.evidence.recording import LOG, Recording, finish_broken, read_recording
from edge.units import NS_PER_S

FOLDER = "evidence"  # inside node.state_dir
_NS_PER_DAY = 86_400 * NS_PER_S

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept: days, and bytes of all recordings together."""

    keep_days: float
    max_bytes: int


def recordings(folder: Path) -> Iterator[Recording]:
    """Every readable recording, oldest first."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / LOG).exists():
            with contextlib.suppress(EdgeError):
                yield read_recording(path)


def find(folder: Path, wanted: str) -> Recording:
    """The newest recording of an occurrence, or of an alarm by its id.

    Raises:
        EdgeError: there is none; the text lists those that exist.
    """
    known: set[str] = set()
    found: Recording | None = None
    for recording in recordings(folder):
        names = {str(mark.get(key)) for mark in recording.raised for key in ("alarm", "occurrence")}
        known |= {str(mark.get("alarm")) for mark in recording.raised}
        if wanted in names:
            found = recording
    if found is None:
        held = f"there is some of {', '.join(sorted(known))}" if known else "there is none of any alarm"
        raise EdgeError(f"no evidence of {wanted!r} in {folder}: {held}; a camera needs `evidence = true`")
    return found


def finish_all(folder: Path) -> int:
    """End the recordings of a daemon that was killed; returns how many there were.

    Raises:
        OSError: the disk refuses.
    """
    broken = 0
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            broken += finish_broken(path)
        except EdgeError as error:
            _log.warning("evidence: %s", error)
    return broken


def make_room(folder: Path, limits: Limits, now_wall_ns: int | None, coming_bytes: int = 0) -> int:
    """Delete the oldest recordings that are too old or too much; returns how many.

    Without a time, because the clock is not to be trusted, none is too old: a wrong clock at boot must not delete them all.

    Raises:
        OSError: the disk refuses.
    """
    held = [(path, *_size_and_time(path)) for path in sorted(folder.iterdir()) if path.is_dir()]
    total = sum(size for _, size, _ in held) + coming_bytes
    deleted = 0
    for path, size, written_ns in held:
        too_old = now_wall_ns is not None and now_wall_ns - written_ns > limits.keep_days * _NS_PER_DAY
        if total <= limits.max_bytes and not too_old:
            continue
        shutil.rmtree(path)
        total -= size
        deleted += 1
    return deleted


def _size_and_time(folder: Path) -> tuple[int, int]:
    stats = [path.stat() for path in folder.iterdir()]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)
