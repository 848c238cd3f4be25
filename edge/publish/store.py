"""The journal's file: events, kept states and the number of the last start, in one SQLite database with a reserve beside it.

Every call may take as long as the disk likes, and raises only `StorageError`. Exclusive locking keeps a second daemon out.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.errors import RejectedInput
from edge.parsing.structure import Bounds, json_within
from edge.publish.outbox import Changes

NAME = "journal.db"
BALLAST = "journal.ballast"
BALLAST_BYTES = 512 * 1024  # with a full disk SQLite cannot even delete; this is given up first
SYNCHRONOUS = "FULL"  # with NORMAL a power cut takes committed rows, see the test of it
MAX_PAGES = 16_384  # of 4 KiB: 64 MiB
SCHEMA = """
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (epoch INTEGER, seq INTEGER, body BLOB NOT NULL, done INTEGER NOT NULL, PRIMARY KEY (epoch, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
"""

# of one kept state: the largest, of a camera's picture quality, has some 800 numbers
KEPT_BOUNDS = Bounds(size_bytes=262_144, values=20_000)

Row = tuple[int, int, bytes, bool]  # epoch, seq, JSON, confirmed
Kept = dict[str, Mapping[str, Any]]
Found = tuple[int, list[Row], Kept]


class StorageError(Exception):
    """The disk does not do what is asked; the text is its own reason."""


class StorageFullError(StorageError):
    """There is no room."""


class DamagedError(StorageError):
    """The file is not what we wrote."""


class Store:
    """An open journal file.

    Args:
        folder: where it is, or will be.

    Raises:
        DamagedError: it is not what we wrote; see `put_aside`.
        StorageError: it cannot be opened for writing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / NAME
        self.ballast = False  # whether the reserve is there
        with _translated():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = _connect(self._path)
            self._inode = self._path.stat().st_ino
        self.renew_ballast()

    def check(self) -> None:
        """Write the reserve if there is room for it, and check that the file is still there: SQLite writes on into a deleted one.

        Raises:
            StorageError: it is gone.
        """
        with _translated():
            if self._path.stat().st_ino != self._inode:
                raise StorageError("the journal's file was replaced")
        self.renew_ballast()

    def load(self) -> Found:
        """The last epoch, all events oldest first, and what is kept.

        Raises:
            StorageError: it cannot be read.
        """
        with _translated():
            return _load(self._db)

    def write(
        self,
        rows: Sequence[Row] = (),
        kept: Mapping[str, Mapping[str, Any] | None] | None = None,
        changes: Changes | None = None,
        epoch: int | None = None,
    ) -> None:
        """All of it or nothing of it, on the disk when this returns.

        Raises:
            StorageError: it is not.
        """
        with _translated(), self._transaction():
            if epoch is not None:
                self._db.execute("INSERT OR REPLACE INTO fact VALUES ('epoch', ?)", (epoch,))
            self._insert(rows, kept or {})
            if changes is not None:
                self._db.executemany("UPDATE event SET done = 1 WHERE epoch = ? AND seq = ?", changes.done)
                self._db.executemany("DELETE FROM event WHERE epoch = ? AND seq = ?", changes.gone)

    def replace(self, epoch: int, rows: Sequence[Row], kept: Kept) -> None:
        """Replace the whole content of the file.

        Raises:
            StorageError: the file is as before.
        """
        with _translated(), self._transaction():
            self._db.execute("DELETE FROM event")
            self._db.execute("DELETE FROM kept")
            self._db.execute("INSERT OR REPLACE INTO fact VALUES ('epoch', ?)", (epoch,))
            self._insert(rows, kept)

    def renew_ballast(self) -> None:
        """Write the reserve, if there is room for it."""
        path = self._folder / BALLAST
        self.ballast = False
        with contextlib.suppress(OSError):
            if path.exists() and path.stat().st_size == BALLAST_BYTES:
                self.ballast = True
            elif shutil.disk_usage(self._folder).free >= 2 * BALLAST_BYTES:
                with path.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, BALLAST_BYTES)
                self.ballast = True

    def spend_ballast(self) -> bool:
        """Give up the reserve; returns whether there was one."""
        had, self.ballast = self.ballast, False
        with contextlib.suppress(OSError):
            (self._folder / BALLAST).unlink()
        return had

    def close(self) -> None:
        """Close into one file, if the disk allows it."""
        with contextlib.suppress(sqlite3.Error):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _insert(self, rows: Sequence[Row], kept: Mapping[str, Mapping[str, Any] | None]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO event VALUES (?, ?, ?, ?)", rows)
        bodies = [(name, json.dumps(body, allow_nan=False)) for name, body in kept.items() if body is not None]
        self._db.executemany("INSERT OR REPLACE INTO kept VALUES (?, ?)", bodies)
        self._db.executemany(
            "DELETE FROM kept WHERE name = ?", [(name,) for name, body in kept.items() if body is None]
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise


def put_aside(folder: Path) -> None:
    """Move a damaged journal aside, for people to inspect; only the newest such file stays.

    Raises:
        StorageError: it cannot be moved.
    """
    with _translated():
        for old in folder.glob(f"{NAME}.damaged-*"):
            old.unlink()
        stamp = int(time.time())
        for suffix in ("", "-wal"):
            path = folder / f"{NAME}{suffix}"
            if path.exists():
                path.rename(folder / f"{NAME}.damaged-{stamp}{suffix}")


def set_aside_text(folder: Path) -> str:
    """What `put_aside` means, for people."""
    return (
        f"the file was damaged: it is put aside as {folder / NAME}.damaged-*, and a new one is begun; alarm states, shelving and events "
        "that only it held are lost. Look at the alarms, and at the disk"
    )


def rescue(folder: Path) -> Found | None:
    """The content of a journal that cannot be opened for writing (a read-only disk); None: nothing usable.

    Read from a copy, or in its own place if nothing anywhere can be written.
    """
    for read in (_read_copy, _read_in_place):
        with contextlib.suppress(sqlite3.Error, OSError, StorageError):
            return read(folder)
    return None


def _read_copy(folder: Path) -> Found | None:
    with tempfile.TemporaryDirectory() as name:
        for suffix in ("", "-wal"):
            if (folder / f"{NAME}{suffix}").exists():
                shutil.copyfile(folder / f"{NAME}{suffix}", Path(name) / f"{NAME}{suffix}")
        if not (Path(name) / NAME).exists():
            return None
        with contextlib.closing(_connect(Path(name) / NAME)) as db:
            return _load(db)


def _read_in_place(folder: Path) -> Found:
    """Without locks (no process can write there) and without shared memory, so that the write-ahead log is read too; `immutable` would leave it out."""
    db = sqlite3.connect(f"{(folder / NAME).resolve().as_uri()}?mode=ro&vfs=unix-none", uri=True, isolation_level=None)
    with contextlib.closing(db):
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        _refuse_damage(db)
        return _load(db)


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that is ready; a damaged file shows here."""
    db = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
        db.execute("PRAGMA wal_autocheckpoint = 100")
        db.execute("PRAGMA journal_size_limit = 524288")
        db.execute(f"PRAGMA max_page_count = {MAX_PAGES}")
        db.executescript(SCHEMA)
        _refuse_damage(db)
        path.chmod(0o600)
    except BaseException:
        db.close()
        raise
    return db


def _refuse_damage(db: sqlite3.Connection) -> None:
    problem = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise DamagedError(f"the journal is damaged: {problem}")


def _load(db: sqlite3.Connection) -> Found:
    found = db.execute("SELECT value FROM fact WHERE name = 'epoch'").fetchone()
    rows = [
        (epoch, seq, bytes(body), bool(done))
        for epoch, seq, body, done in db.execute("SELECT epoch, seq, body, done FROM event ORDER BY epoch, seq")
    ]
    kept: Kept = {}
    for name, body in db.execute("SELECT name, body FROM kept"):
        try:
            kept[name] = json_within(body.encode(), KEPT_BOUNDS)
        except RejectedInput as error:
            raise DamagedError(f"the journal is damaged: {name} is not JSON that we keep: {error.detail}") from error
    return found[0] if found else 0, rows, kept


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Any error of SQLite or the kernel becomes a StorageError."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise StorageFullError(f"disk full: {error}") from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise DamagedError(f"the journal is damaged: {error}") from error
        raise StorageError(str(error)) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise (StorageFullError if full else StorageError)(error.strerror or str(error)) from error
