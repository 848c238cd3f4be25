"""The journal's disk: opened, written, lost and regained; without a usable one nothing fails, and `state` gives the reason.

The journal's thread owns it: no other thread calls it between the start of that thread and its end. Every call may take as long as the disk likes.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from edge.publish.outbox import Changes
from edge.publish.store import (
    DamagedError,
    Found,
    Kept,
    Row,
    StorageError,
    StorageFullError,
    Store,
    put_aside,
    rescue,
    set_aside_text,
)

RETRY_NS = 5_000_000_000  # between attempts to get a lost disk back
MARK_NS = 1_000_000_000  # confirmations are written with the next event, or after so long: losing one costs a duplicate

_log = logging.getLogger(__name__)

Storage = Literal["none", "ok", "low", "memory"]


class StorageState(NamedTuple):
    """The state of the storage, what is wrong with it, and how many damaged files were put aside."""

    storage: Storage
    reason: str
    set_aside: int


class Disk:
    """Keeps a file equal to what the journal knows, as well as the disk allows.

    Args:
        folder: where the file lives; None: there is no disk.
        monotonic_ns: clock of the pauses.
    """

    def __init__(self, folder: Path | None, monotonic_ns: Callable[[], int]) -> None:
        self._folder = folder
        self._now = monotonic_ns
        self._store: Store | None = None
        self._reason = ""
        self._retry_ns = 0
        self._mark_ns = 0
        self._set_aside = 0
        self._changed: set[str] = set()  # names of states that the file does not have yet
        self._rows: list[Row] = []  # what an earlier start left, until `begin` hands it over
        #: States that survive a restart, by name.
        self.kept: Kept = {}
        #: Number of this start.
        self.epoch = 0

    def begin(self, epoch: int) -> list[Row]:
        """Read what an earlier start left and take the next number, ``epoch`` at least; returns the events found, oldest first."""
        self.epoch = epoch
        if self._folder is None:
            return []
        self._open(self._folder, lambda store: self._take_up(store.load()))
        if self._store is None:
            found = rescue(self._folder)
            if found is not None:
                self._take_up(found)
        self._try(lambda store: store.write(epoch=self.epoch))
        rows, self._rows = self._rows, []
        return rows

    def state(self) -> StorageState:
        """How the storage is."""
        store, count = self._store, self._set_aside
        if self._folder is None:
            return StorageState("none", "", count)
        if store is None:
            return StorageState("memory", self._reason, count)
        if not store.ballast:
            return StorageState("low", self._reason or f"no room for the reserve; make room in {self._folder}", count)
        return StorageState("ok", self._reason or (set_aside_text(self._folder) if count else ""), count)

    def hanging(self, set_aside: int) -> StorageState:
        """How the storage is while a write does not end; reads nothing that changes, so any thread may call it."""
        return StorageState("memory", f"the disk does not answer; check {self._folder}", set_aside)

    def marks_due(self, now_ns: int) -> bool:
        """Whether confirmations are to be written, even without an event."""
        return now_ns >= self._mark_ns

    def keep(self, name: str, body: Mapping[str, Any] | None) -> None:
        """Have a state written, or deleted, with the next `write`.

        Raises:
            ValueError: it cannot be written; it would hold back all others, so it is tried here.
            TypeError: likewise.
        """
        if body is None:
            self.kept.pop(name, None)
        else:
            json.dumps(body, allow_nan=False)
            self.kept[name] = body
        self._changed.add(name)

    def write(
        self,
        rows: Sequence[Row],
        changes: Changes,
        now_ns: int,
        everything: Callable[[], list[Row]],
        *,
        rewrite: bool,
        last: bool,
    ) -> None:
        """Bring the file up to date with what happened; an error of the disk is handled here.

        Args:
            rows: events that happened.
            changes: of events that the file has.
            now_ns: monotonic ns.
            everything: gives all events but ``rows``, for a file that lost touch.
            rewrite: write the whole file, because it lost touch.
            last: whether this is the last write: a lost disk is tried once more.
        """
        changed, self._changed = self._changed, set()
        if self._folder is None:
            return
        if self._store is None:
            if now_ns >= self._retry_ns or last:
                self._open(self._folder, lambda store: self._write_all(store, [*everything(), *rows]))
            return
        if rewrite:
            self._try(lambda store: self._write_all(store, [*everything(), *rows]))
            return
        if self.marks_due(now_ns):
            self._mark_ns = now_ns + MARK_NS
            self._try(Store.check)
            if self._store is not None and self._store.ballast:
                self._reason = ""
        if rows or changed or changes:
            self._try(lambda store: store.write(rows, {name: self.kept.get(name) for name in changed}, changes))

    def give_up(self, reason: str) -> None:
        """The content of the file is unknown now: all of it is rewritten later."""
        if self._store is not None:
            self._store.close()
            self._lose(StorageError(reason))

    def close(self) -> None:
        """Close the file."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _take_up(self, found: Found) -> None:
        epoch, self._rows, self.kept = found
        newest = max((row[0] for row in self._rows), default=0)  # higher where that start went on in another epoch
        self.epoch = max(self.epoch, epoch + 1, newest + 1)

    def _write_all(self, store: Store, rows: Sequence[Row]) -> None:
        store.replace(self.epoch, rows, self.kept)

    def _open(self, folder: Path, then: Callable[[Store], None]) -> None:
        """Open the file and do what comes first; only when that is done are we on disk."""
        lost = self._reason
        try:
            store = self._fresh(folder)
        except StorageError as error:
            self._lose(error)
            return
        if not self._do(store, then):
            return
        self._store = store
        if lost:
            _log.info("journal: on disk again")
            self._reason = "" if self._reason == lost else self._reason

    def _fresh(self, folder: Path) -> Store:
        """Open or create the file; a damaged one is put aside and a new one begun."""
        try:
            return Store(folder)
        except DamagedError:
            put_aside(folder)
            self._note_set_aside(folder)
            return Store(folder)

    def _try(self, action: Callable[[Store], None]) -> None:
        if self._store is not None:
            self._do(self._store, action)

    def _do(self, store: Store, action: Callable[[Store], None]) -> bool:
        """Do one action, with the space of the reserve if needed, or give the disk up; returns whether it is done."""
        try:
            try:
                action(store)
            except StorageFullError:
                if not store.spend_ballast():
                    raise
                self._reason = f"the disk is full, writing on from the reserve; make room in {self._folder}"
                _log.warning("journal: %s", self._reason)
                action(store)
        except StorageError as error:
            store.close()
            self._lose(error)
            return False
        return True

    def _lose(self, error: StorageError) -> None:
        self._store = None
        self._retry_ns = self._now() + RETRY_NS
        reason = f"{error}; check {self._folder}"
        if reason != self._reason:
            _log.warning("journal: working from memory, nothing survives a restart now: %s", reason)
        self._reason = reason
        if isinstance(error, DamagedError) and self._folder is not None:
            with contextlib.suppress(StorageError):
                put_aside(self._folder)
                self._note_set_aside(self._folder)
                self._retry_ns = 0

    def _note_set_aside(self, folder: Path) -> None:
        self._set_aside += 1
        _log.error("journal: %s", set_aside_text(folder))
