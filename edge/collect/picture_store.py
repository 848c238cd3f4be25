"""The folder of collected pictures: within bytes and days, and when it is full, the oldest of the least worth goes first.

A picture lies in ``CAMERA/unsorted`` until somebody says what it shows. Its name is its time, why it was kept and what it is worth, so a restart needs
no other file. Everything here belongs to the thread that writes.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.collect.pick import Kind, Pick
from edge.system import spare
from edge.system.flush import flush
from edge.units import NS_PER_S
from edge.wire.message import timestamp
from edge.wire.topics import content_type

FOLDER = "collected"  # inside node.state_dir
UNSORTED = "unsorted"  # `edge-export init` passes over it
_NAME = re.compile(r"\d{8}T\d{6}\.\d+Z_\d+_(near|highest|random|alarm)(?:-[\w.-]+)?_(\d{3})\.(?:jpg|png)")
_NS_PER_DAY = 86_400 * NS_PER_S

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept: days, and bytes of all pictures of each kind."""

    keep_days: float
    max_bytes: Mapping[Kind, int]


@dataclass(frozen=True, slots=True)
class _Held:
    path: Path
    kind: Kind
    rank: tuple[int, int]  # tenths of worth, then time: the least goes first
    size_bytes: int

    @property
    def written_ns(self) -> int:
        return self.rank[1]


def name_of(pick: Pick) -> str:
    """The file name of a picture."""
    frame = pick.frame
    wall_ns = frame.received_wall_ns if frame.captured_wall_ns is None else frame.captured_wall_ns
    why = f"{pick.kind}-{pick.fault}" if pick.fault else pick.kind
    ending = "png" if content_type(frame.encoded) == "image/png" else "jpg"
    return f"{re.sub('[-:]', '', timestamp(wall_ns))}_{frame.seq}_{why}_{pick.worth:03d}.{ending}"


class PictureStore:
    """The pictures of all cameras.

    Args:
        folder: is made with the first picture.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[_Held] | None = None  # None: not looked at yet

    def keep(self, pick: Pick, limits: Limits, now_wall_ns: int | None) -> list[str]:
        """Keep a picture or not: what became of it and of others, as words to count.

        Without a time, because the clock is not to be trusted, no picture is too old.
        """
        try:
            outcomes = ["expired"] * self._expire(limits, now_wall_ns)
            return outcomes + self._keep(pick, limits)
        except OSError as error:
            _log.warning("collect: %s: %s", self._folder, error.strerror or error)
            self._held = None
            return ["disk_error"]

    def label(self, camera: str, name: str, label: str) -> list[str]:
        """Move a picture from the unsorted ones into the folder of a label."""
        source = self._folder / camera / UNSORTED / name
        target = self._folder / camera / label / name
        try:
            if not source.is_file():
                return []
            target.parent.mkdir(mode=0o700, exist_ok=True)
            source.rename(target)
        except OSError as error:
            _log.warning("collect: %s: %s", target.parent, error.strerror or error)
            return ["disk_error"]
        self._held = None
        return ["labelled"]

    def _keep(self, pick: Pick, limits: Limits) -> list[str]:
        data = pick.frame.encoded
        folder = self._folder / pick.frame.camera / UNSORTED
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = self._all()
        if any(one.size_bytes == len(data) and one.path.read_bytes() == data for one in held):
            return ["copy"]
        new = _Held(folder / name_of(pick), pick.kind, (pick.worth // 10, pick.frame.received_wall_ns), len(data))
        same = [one for one in held if one.kind is pick.kind]
        too_much = sum(one.size_bytes for one in same) + len(data) - limits.max_bytes[pick.kind]
        victims = _to_make_room(same, new, too_much)
        if victims is None:
            return ["outvalued"]
        if not spare.has_room(folder, len(data) - sum(one.size_bytes for one in victims)):
            others = [one for one in held if one not in victims]
            more = _to_make_room(others, new, len(data) - sum(one.size_bytes for one in victims))
            if more is None:  # on a full disk it replaces and never grows: what is left of it is the journal's
                return ["disk_full"]
            victims += more
        for one in victims:
            one.path.unlink(missing_ok=True)
            held.remove(one)
        _write(new.path, data)
        held.append(new)
        return ["kept", *(["replaced"] * len(victims))]

    def _expire(self, limits: Limits, now_wall_ns: int | None) -> int:
        held = self._all()
        if now_wall_ns is None:
            return 0
        old = [one for one in held if now_wall_ns - one.written_ns > limits.keep_days * _NS_PER_DAY]
        for one in old:
            one.path.unlink(missing_ok=True)
            held.remove(one)
        return len(old)

    def _all(self) -> list[_Held]:
        if self._held is None:
            for part in self._folder.glob("*/*/*.part"):
                part.unlink(missing_ok=True)  # of a daemon that was killed
            self._held = list(self._look())
        return self._held

    def _look(self) -> Iterator[_Held]:
        """Pictures by their names; what has another name is somebody else's, and never deleted."""
        for path in sorted(self._folder.glob("*/*/*")):
            found = _NAME.fullmatch(path.name)
            if found is not None and path.is_file() and not path.is_symlink():
                stat = path.stat()
                yield _Held(path, Kind(found[1]), (int(found[2]) // 10, stat.st_mtime_ns), stat.st_size)


def _to_make_room(held: list[_Held], new: _Held, too_much: int) -> list[_Held] | None:
    """The least of the held pictures that must go for the new one; None: it is of less worth itself."""
    victims: list[_Held] = []
    for one in sorted(held, key=lambda one: one.rank):
        if too_much <= 0:
            break
        if one.rank[0] > new.rank[0]:
            return None
        victims.append(one)
        too_much -= one.size_bytes
    return victims if too_much <= 0 else None


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, also after a power cut."""
    part = path.with_suffix(".part")
    try:
        part.write_bytes(data)
        flush(part)
        os.replace(part, path)  # noqa: PTH105 - Path.replace is the same, os.replace says that it is atomic
    except OSError:
        part.unlink(missing_ok=True)
        raise
