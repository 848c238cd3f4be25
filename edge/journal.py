"""The journal: what happened is on disk before it is said, is said until the broker has it, and survives the daemon.

One thread writes and tells, so that neither a slow disk nor a slow broker is ever on the path of a frame. Without a usable disk everything
works from memory, says so, and returns to the disk by itself. SQLite with WAL and synchronous=FULL: see docs/decisions/004-journal.md.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from edge.envelope import Outgoing
from edge.outbox import Caps, Changes, Entry, Key, Outbox
from edge.store import (
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
from edge.topics import ALARM, EVENT

HOLD_NS = 1_000_000_000  # a disk that does not answer for so long no longer holds an alarm back
RETRY_NS = 5_000_000_000  # between attempts to get a lost disk back
MARK_NS = 1_000_000_000  # confirmations are written with the next event, or after so long: losing one costs a duplicate
IDLE_S = 0.2
BUSY_S = 0.02
MAX_PENDING = 5_000  # entries that wait for the journal's thread
RELIEF = 20  # of these are told at one go by the inference thread, when the disk hangs
MAX_UNWRITTEN = 1_000  # entries told while the disk hangs; past it the whole journal is written anew

_log = logging.getLogger(__name__)

Storage = Literal["none", "ok", "low", "memory"]


@dataclass(frozen=True, slots=True)
class JournalStats:
    """How the journal is; see `edge.messages.JournalFigures` for the fields."""

    epoch: int
    held: int
    waiting: int
    lost: int
    repeated: int
    storage: Storage
    reason: str
    set_aside: int


class _Words(NamedTuple):
    """What an entry says, encoded."""

    events: list[tuple[Key, bytes]]
    alarms: list[Outgoing]


class Journal:
    """Keeps and tells every event, and keeps the state of every alarm.

    Opening never fails: what cannot be read or written is in `stats` with its reason.

    Args:
        folder: where the journal lives; None: memory only.
        prefix: ``{root}/{node}``.
        send: hands a message to the broker connection; None means that it could not.
        monotonic_ns: clock of all pauses and windows.
        wall_ns: wall clock, for the epoch.
        caps: how much is kept.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        prefix: str,
        send: Callable[[Outgoing], int | None],
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
        caps: Caps | None = None,
    ) -> None:
        self._folder = folder
        self._prefix = prefix
        self._send = send
        self._now = monotonic_ns
        self._lock = (
            threading.Lock()
        )  # guards the outbox, and what is pending and unwritten; never held during disk work
        self._outbox = Outbox(caps)
        self._pending: deque[Entry] = deque()  # neither on disk nor told
        self._unwritten: list[Entry] = []  # told, because the disk hangs
        self._shed = 0
        self._behind = False
        self._tail: dict[str, Callable[[], Mapping[str, Any]] | None] | None = None  # what shed entries keep
        self._overrun: dict[str, Callable[[], Mapping[str, Any]] | None] = {}  # what later ones of these keep
        self._unsaid: dict[str, Outgoing] = {}  # newest conditions that the connection would not take

        self._kept: Kept = {}  # from here on the journal thread's own
        self._store: Store | None = None
        self._reason = ""
        self._disk_began_ns: int | None = None  # while the disk is at work
        self._retry_ns = 0
        self._mark_ns = 0
        self._set_aside = 0
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        #: Wall seconds of this start, but always more than the last one: rises with every start, on disk or not.
        self.epoch = wall_ns() // 1_000_000_000
        self._begin()
        #: What an earlier start left under the names that its entries gave.
        self.restored: Mapping[str, Any] = dict(self._kept)

    # --- the inference thread ------------------------------------------------------------------------------------------------------

    def record(self, entry: Entry) -> None:
        """Hand over what happened; never waits. Past the bound its events are shed and counted as lost, its states are kept."""
        if len(self._pending) < MAX_PENDING:
            self._pending.append(entry)
        else:
            with self._lock:
                self._shed += len(entry.events)
                self._behind = True
                if self._tail is None:
                    self._tail = {}
                    self._pending.append(Entry(entry.at_ns, kept=self._tail))
                self._tail |= entry.kept
        self._wake.set()

    def relieve(self, now_ns: int) -> None:
        """Tell what a disk that hangs holds back for too long, a little at a time; called now and then, mostly for nothing."""
        began_ns = self._disk_began_ns
        if began_ns is None or now_ns - began_ns < HOLD_NS:
            return
        for _ in range(min(RELIEF, len(self._pending))):
            entry = self._pending[0]
            words = self._words(entry)
            with self._lock:
                if self._pending and self._pending[0] is entry:  # else the disk answered meanwhile
                    self._pending.popleft()
                    self._owe(entry)
                    self._tell(words, now_ns)

    def fell_behind(self) -> bool:
        """Whether events were shed and that is over now, so that every condition is to be said anew; asked once, answered once."""
        over = self._behind and len(self._pending) < MAX_PENDING // 2
        self._behind = self._behind and not over
        return over

    def say_again(self) -> None:
        """Say the whole window again, as history."""
        with self._lock:
            self._outbox.say_again()
        self._wake.set()

    def ask_again(self) -> None:
        """Say once more what the broker has not confirmed: it refused it, and may take it now."""
        with self._lock:
            if self._outbox.up:
                self._outbox.link_down()
                self._outbox.link_up(self._now())
        self._wake.set()

    # --- the network thread --------------------------------------------------------------------------------------------------------

    def link_up(self) -> None:
        """The connection is up."""
        with self._lock:
            self._outbox.link_up(self._now())
        self._wake.set()

    def link_down(self) -> None:
        """The connection is gone, and what it had not confirmed may be lost."""
        with self._lock:
            self._outbox.link_down()

    def forgotten(self) -> None:
        """The broker does not know our session: it may have lost everything that it had confirmed."""
        with self._lock:
            self._outbox.forgotten(self._now())

    def acknowledged(self, message_id: int, now_ns: int) -> None:
        """The broker confirmed a message, perhaps one of ours."""
        with self._lock:
            self._outbox.confirmed(message_id, now_ns)

    # --- anybody -------------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to write and tell."""
        self._thread.start()

    def settle(self, timeout_s: float = 1.0) -> None:
        """Wait until everything recorded so far was told."""
        end_ns = self._now() + round(timeout_s * 1e9)
        while self._pending and self._thread.is_alive() and self._now() < end_ns:
            time.sleep(0.002)

    def stop(self, timeout_s: float = 2.0) -> None:
        """Write and tell what is left, and close the file."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if not self._thread.is_alive() and self._store is not None:
            self._store.close()
            self._store = None

    def stats(self) -> JournalStats:
        """A snapshot."""
        with self._lock:
            box = self._outbox
            return JournalStats(
                self.epoch,
                box.held,
                box.waiting,
                box.lost + self._shed,
                box.repeated,
                *self._storage(),
                self._set_aside,
            )

    def _storage(self) -> tuple[Storage, str]:
        """The state of the storage and what is wrong with it."""
        store = self._store
        if self._folder is None:
            return "none", ""
        if self._unwritten:
            return "memory", f"the disk does not answer; check {self._folder}"
        if store is None:
            return "memory", self._reason
        if not store.ballast:
            return "low", self._reason or f"no room for the reserve; make room in {self._folder}"
        return "ok", self._reason or (set_aside_text(self._folder) if self._set_aside else "")

    # --- the journal thread ----------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            last = self._stopping
            try:
                self._wake.clear()
                wait_s = self.turn()
            except Exception:  # noqa: BLE001 - whatever it is, alarms must go on being told
                _log.exception("the journal failed, and goes on")
                wait_s = IDLE_S
            if last:
                return
            self._wake.wait(wait_s)

    def turn(self) -> float:
        """Write what is pending, tell it, send what is due; returns how long to wait for more, s."""
        now_ns = self._now()
        with self._lock:
            told, waiting = tuple(self._unwritten), tuple(self._pending)
            overrun, self._overrun = self._overrun, {}
            self._tail = None
            marks = told or waiting or self._stopping or now_ns >= self._mark_ns
            changes = self._outbox.take_changes() if marks else Changes()
        words = []
        for entry in waiting:
            words.append(self._words(entry))
            time.sleep(0)
        rows = [_row(key, body) for said in words for key, body in said.events]
        rows += [_row(key, body) for entry in told for key, body in self._words(entry).events]
        if overrun:
            told = (*told, Entry(now_ns, kept=overrun))
        self._disk_began_ns = now_ns
        self._write((*told, *waiting), rows, changes, now_ns, everything=bool(overrun))
        self._disk_began_ns = None
        with self._lock:
            del self._unwritten[: len(told) - bool(overrun)]
            now_ns = self._now()
            for entry, said in zip(waiting, words, strict=True):
                if self._pending and self._pending[0] is entry:  # else it was told meanwhile, see relieve
                    self._pending.popleft()
                    self._tell(said, now_ns)
            self._outbox.tick(now_ns)
            self._send_due(now_ns)
            busy = self._outbox.late or (self._unsaid and self._outbox.up)
        return BUSY_S if busy else IDLE_S

    def _words(self, entry: Entry) -> _Words:
        """Build and encode what an entry says; the lock is not held."""
        events = [build() for build in entry.events]
        alarms = [build() for build in entry.alarms]
        return _Words(
            [(Key(event.epoch, event.seq), event.encode()) for event in events],
            [ALARM.outgoing(self._prefix, alarm, alarm.id) for alarm in alarms],
        )

    def _tell(self, words: _Words, now_ns: int) -> None:
        """Events, then conditions; the lock is held."""
        for key, body in words.events:
            self._outbox.add(key, body, now_ns)
        self._send_due(now_ns)
        for outgoing in words.alarms:
            self._unsaid.pop(outgoing.topic, None)
            if not self._outbox.up or self._send(outgoing) is None:
                self._unsaid[outgoing.topic] = outgoing

    def _send_due(self, now_ns: int) -> None:
        """Newest conditions first, then events; the lock is held, so that no confirmation overtakes the note of what was sent."""
        if not self._outbox.up:
            return
        for topic, outgoing in list(self._unsaid.items()):
            if self._send(outgoing) is None:
                return
            del self._unsaid[topic]
        while (due := self._outbox.due(now_ns)) is not None:
            key, body, historical = due
            if historical:  # quotes inside texts are escaped, so these bytes are the field
                body = body.replace(b'"historical":false', b'"historical":true', 1)
            message_id = self._send(EVENT.wrap(self._prefix, body))
            if message_id is None:
                return
            self._outbox.sent(key, message_id, now_ns)

    def _owe(self, entry: Entry) -> None:
        """The disk hangs: remember what it has to write, within bounds; the lock is held."""
        if len(self._unwritten) < MAX_UNWRITTEN and not self._overrun:
            self._unwritten.append(entry)
        else:
            self._overrun |= entry.kept

    # --- the disk ------------------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Read what an earlier start left, and take the next epoch."""
        if self._folder is None:
            return
        self._open(self._folder, lambda store: self._take_up(store.load()))
        if self._store is None:
            found = rescue(self._folder)
            if found is not None:
                self._take_up(found)
        self._try(lambda store: store.write(epoch=self.epoch))

    def _take_up(self, found: Found) -> None:
        epoch, rows, self._kept = found
        self.epoch = max(self.epoch, epoch + 1)
        now_ns = self._now()
        for row_epoch, seq, body, done in rows:
            self._outbox.restore(Key(row_epoch, seq), body, now_ns, done=done)

    def _write(
        self, entries: Sequence[Entry], rows: Sequence[Row], changes: Changes, now_ns: int, *, everything: bool
    ) -> None:
        """Bring the file up to what happened; whatever the disk says, the caller goes on."""
        newest: dict[str, Callable[[], Mapping[str, Any]] | None] = {}
        for entry in entries:
            newest |= entry.kept
        for name, build in newest.items():
            if build is None:
                self._kept.pop(name, None)
            else:
                self._kept[name] = build()
        if self._folder is None:
            return
        if self._store is None:
            if now_ns >= self._retry_ns or self._stopping:
                self._open(self._folder, lambda store: self._write_all(store, rows))
            return
        if everything:
            self._try(lambda store: self._write_all(store, rows))
            return
        if now_ns >= self._mark_ns:
            self._mark_ns = now_ns + MARK_NS
            self._try(Store.check)
            if self._store is not None and self._store.ballast:
                self._reason = ""
        if rows or newest or changes:
            self._try(lambda store: store.write(rows, {name: self._kept.get(name) for name in newest}, changes))

    def _write_all(self, store: Store, more: Sequence[Row] = ()) -> None:
        """The file lost touch: write everything that is known anew."""
        with self._lock:
            rows = [_row(key, body, done=done) for key, body, done in self._outbox.rows()]
        store.replace(self.epoch, [*rows, *more], self._kept)

    def _open(self, folder: Path, then: Callable[[Store], None]) -> None:
        """Open the file and do what comes first; only when that is done are we on disk."""
        lost = self._reason
        try:
            store = self._fresh(folder)
        except StorageError as error:
            self._lose_disk(error)
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
        """Do it, if need be with the space of the reserve, or lose the disk; returns whether it is done."""
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
            self._lose_disk(error)
            return False
        return True

    def _lose_disk(self, error: StorageError) -> None:
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


def _row(key: Key, body: bytes, *, done: bool = False) -> Row:
    return (key.epoch, key.seq, body, done)
