"""A copy of the state folder, and the events in it, taken while a daemon writes there.

The daemon holds its journal with an exclusive lock, so SQLite admits no other process. The file and its write-ahead log are copied instead, again and
again until neither changed meanwhile; the copy is opened, checked and made one file.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from edge.errors import EdgeError, RejectedInput
from edge.parsing.structure import Bounds, json_within
from edge.publish.store import NAME, StorageError, Store
from edge.system.flush import flush

WAL = f"{NAME}-wal"
OTHER_FILES = ("sparkplug.bdseq",)
PATIENCE_S = 20.0
QUIET_NS = 50_000_000  # the kernel's stamps of files are coarse: a change shortly before may hide one that comes now
PAUSE_S = 0.05
EVENT_BOUNDS = Bounds(size_bytes=65_536, values=2_000)

Mark = tuple[tuple[int, int, int] | None, ...]  # inode, size, time of change: of the file and of its log


def back_up(state_dir: Path, out: Path) -> None:
    """Copy what a daemon keeps over a restart into a new folder, whole or not at all.

    Args:
        state_dir: of a daemon that runs or not.
        out: folder to make.

    Raises:
        EdgeError: there is nothing, `out` is there already, or a disk refuses.
    """
    if out.exists():
        raise EdgeError(f"{out} is there already: name a folder that is to be made")
    with (
        _with_folders(state_dir, out),
        tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.absolute().parent) as name,
    ):
        whole = Path(name) / "whole"
        whole.mkdir(mode=0o700)
        with (
            _copied(state_dir) as copy,
            contextlib.closing(sqlite3.connect(copy)) as source,
            contextlib.closing(sqlite3.connect(whole / NAME)) as target,
        ):
            source.backup(target)
        for other in OTHER_FILES:
            if (state_dir / other).exists():
                shutil.copyfile(state_dir / other, whole / other)
        for path in whole.iterdir():
            path.chmod(0o600)
            flush(path)
        whole.rename(out)
        flush(out.absolute().parent)


def events_of(state_dir: Path) -> list[dict[str, Any]]:
    """The events that the journal holds, oldest first.

    Raises:
        EdgeError: there is no journal, or it cannot be read.
    """
    with _with_folders(state_dir, None), _copied(state_dir) as copy, contextlib.closing(sqlite3.connect(copy)) as db:
        bodies = [bytes(body) for (body,) in db.execute("SELECT body FROM event ORDER BY epoch, seq")]
    return _read(state_dir, bodies, "an event")


def kept_of(state_dir: Path, prefix: str) -> dict[str, dict[str, Any]]:
    """What is kept under names that begin so, by name and in their order.

    Raises:
        EdgeError: there is no journal, or it cannot be read.
    """
    with _with_folders(state_dir, None), _copied(state_dir) as copy, contextlib.closing(sqlite3.connect(copy)) as db:
        found = db.execute("SELECT name, body FROM kept ORDER BY name")
        bodies = {name: body.encode() for name, body in found if name.startswith(prefix)}
    return dict(zip(bodies, _read(state_dir, tuple(bodies.values()), f"what is kept under {prefix!r}"), strict=True))


def _read(state_dir: Path, bodies: Sequence[bytes], what: str) -> list[dict[str, Any]]:
    try:
        return [json_within(body, EVENT_BOUNDS) for body in bodies]
    except RejectedInput as error:
        raise EdgeError(f"the journal in {state_dir} holds {what} that is none: {error.detail}") from error


@contextlib.contextmanager
def _copied(state_dir: Path) -> Iterator[Path]:
    """A copy of the journal, opened once by the store and so checked and whole, in a folder that goes with the block."""
    if not (state_dir / NAME).exists():
        raise EdgeError(f"there is no journal in {state_dir}: did a daemon with this node.state_dir ever run?")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _copy_unchanged(state_dir, folder)
        Store(folder).close()
        yield folder / NAME


def _copy_unchanged(source: Path, target: Path) -> None:
    """Copy file and log as they were at one moment."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        before = _mark(source)
        if _is_quiet(before):
            for name in (NAME, WAL):
                (target / name).unlink(missing_ok=True)
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(source / name, target / name)
            if _mark(source) == before:
                return
        time.sleep(PAUSE_S)
    raise EdgeError(
        f"the journal in {source} changed all the time for {PATIENCE_S:.0f} s: try again when fewer alarms come"
    )


def _mark(folder: Path) -> Mark:
    return tuple(_stamp(folder / name) for name in (NAME, WAL))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _is_quiet(mark: Mark) -> bool:
    return all(one is None or abs(time.time_ns() - one[2]) > QUIET_NS for one in mark)


@contextlib.contextmanager
def _with_folders(state_dir: Path, out: Path | None) -> Iterator[None]:
    """Add the folders concerned to an error of the disk or of SQLite."""
    try:
        yield
    except (OSError, sqlite3.Error, StorageError) as error:
        where = f"{state_dir}" if out is None else f"{state_dir} into {out}"
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise EdgeError(f"cannot copy {where}: {reason}") from error
