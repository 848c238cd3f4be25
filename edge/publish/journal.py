"""The journal: writes each event before it is published, resends it until the broker has it, and survives a restart.

One thread writes and publishes, so that neither a slow disk nor a slow broker is ever on the path of a frame. Without a usable disk everything
works from memory, reports that, and returns to the disk by itself. SQLite with WAL and synchronous=FULL: see docs/decisions/004-journal.md.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from edge.publish.disk import Disk, Storage
from edge.publish.entry import AlarmRecord, Entry, EventRecord, StateRecord
from edge.publish.outbox import Caps, Changes, Key, Outbox
from edge.publish.store import Row
from edge.system.internal_errors import InternalErrors
from edge.wire.envelope import Outgoing
from edge.wire.topics import ALARM, EVENT

HOLD_NS = 1_000_000_000  # a disk that does not answer for so long no longer holds an alarm back
IDLE_S = 0.2
BUSY_S = 0.02
MAX_PENDING = Caps().rows  # entries that wait for the journal's thread, of 2 KB each: as many as are kept afterwards
BATCH = 500  # of these are encoded, written and published at one go: the first of a storm must not wait for the last
RELIEF = 20  # of these are published at one go by the inference thread, when the disk hangs
MAX_UNWRITTEN = 1_000  # entries published while the disk hangs; past it the whole journal is rewritten


@dataclass(frozen=True, slots=True)
class JournalStats:
    """How the journal is; see `edge.wire.heartbeat.JournalFigures` for the fields."""

    epoch: int
    held: int
    waiting: int
    lost: int
    repeated: int
    storage: Storage
    reason: str
    set_aside: int


class _Encoded(NamedTuple):
    """The messages of an entry, encoded."""

    events: list[tuple[Key, bytes]]
    alarms: list[Outgoing]
    failed: int  # events that could not be built or encoded


class Journal:
    """Keeps and publishes every event, and keeps the state of every alarm.

    Opening never fails: what cannot be read or written is in `stats` with its reason.

    Args:
        folder: where the journal lives; None: memory only.
        prefix: ``{root}/{node}``.
        send: hands a message to the broker connection; None means that it could not.
        monotonic_ns: clock of all pauses and windows.
        wall_ns: wall clock, for the epoch.
        caps: how much is kept.
        errors: where exceptions go that are faults of this program.
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
        errors: InternalErrors | None = None,
    ) -> None:
        self._prefix = prefix
        self._send = send
        self._now = monotonic_ns
        self._errors = errors or InternalErrors(monotonic_ns)
        # Two locks, never held during disk work, taken in this order; docs/decisions/008-threads.md has who owns what.
        self._lock = threading.Lock()  # the outbox, what is unsent and unwritten, and the disk's clock
        # what is pending; held for a few instructions, so that `record` never waits
        self._queue_lock = threading.Lock()
        self._pending: deque[Entry] = deque()  # neither on disk nor published
        self._shed = 0
        self._behind = False
        self._tail: dict[str, StateRecord | None] | None = None  # what shed entries keep

        self._outbox = Outbox(caps)
        self._unbuilt = 0  # events that could not be encoded
        self._unwritten: list[Entry] = []  # published, because the disk hangs
        self._disk_began_ns: int | None = None  # while the disk is at work
        self._overrun: dict[str, StateRecord | None] | None = None  # what more of these keep
        self._unsent: dict[str, Outgoing] = {}  # newest conditions that the connection would not take

        self._disk = Disk(folder, monotonic_ns)  # from here on the journal thread's own
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        now_ns = monotonic_ns()
        for epoch, seq, body, done in self._disk.begin(wall_ns() // 1_000_000_000):
            self._outbox.restore(Key(epoch, seq), body, now_ns, done=done)
        #: Wall seconds of this start, but always more than the last one: rises with every start, on disk or not.
        self.epoch = self._disk.epoch
        self._storage = self._disk.state()  # as it was after the last write; the lock guards it
        #: What an earlier start left under the names that its entries gave.
        self.restored: Mapping[str, Any] = dict(self._disk.kept)

    # --- the inference thread ------------------------------------------------------------------------------------------------------

    def record(self, entry: Entry) -> None:
        """Hand over what happened; never waits. Past the bound its events are shed and counted as lost, its states are kept."""
        with self._queue_lock:
            if len(self._pending) < MAX_PENDING:
                self._pending.append(entry)
            else:
                self._shed += len(entry.events)
                self._behind = True
                if self._tail is None:
                    self._tail = {}
                    self._pending.append(Entry(entry.at_ns, kept=self._tail))
                self._tail |= entry.kept
        self._wake.set()

    def relieve(self, now_ns: int) -> None:
        """Publish what a hanging disk holds back for too long, a little at a time; called at each turn, mostly without effect."""
        for _ in range(RELIEF):
            with self._lock:
                entry = self._oldest() if self._disk_hangs(now_ns) else None
            if entry is None:
                return
            encoded = self._encoded(entry)
            with self._lock:  # the disk may have answered meanwhile: then the journal's thread publishes it
                if self._disk_hangs(now_ns) and self._take_off(entry):
                    self._write_later(entry)
                    self._hand_over(encoded, now_ns)

    def renumber(self, epoch: int) -> None:
        """Entries are numbered in a higher epoch from now on."""
        with self._lock:
            self.epoch = epoch

    def fell_behind(self) -> bool:
        """Whether events were shed and that is over now, so that every condition is to be published again; true once only."""
        with self._queue_lock:
            over = self._behind and len(self._pending) < MAX_PENDING // 2
            self._behind = self._behind and not over
        return over

    def resend_all(self) -> None:
        """Resend the whole window, as history."""
        with self._lock:
            self._outbox.resend_all()
        self._wake.set()

    def resend_unconfirmed(self) -> None:
        """Resend what the broker has not confirmed: it rejected it, and may accept it now."""
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

    def session_lost(self) -> None:
        """The broker does not know our session: it may have lost everything that it had confirmed."""
        with self._lock:
            self._outbox.session_lost(self._now())

    def acknowledged(self, message_id: int, now_ns: int) -> None:
        """The broker confirmed a message, perhaps one of the journal."""
        with self._lock:
            self._outbox.confirmed(message_id, now_ns)

    # --- any thread -------------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to write and publish."""
        self._thread.start()

    def flush(self, timeout_s: float = 1.0) -> None:
        """Wait until everything recorded so far was published."""
        end_ns = self._now() + round(timeout_s * 1e9)
        while self._oldest() is not None and self._thread.is_alive() and self._now() < end_ns:
            time.sleep(0.002)

    def stop(self, timeout_s: float = 2.0) -> None:
        """Write and publish what is left, and close the file."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        if not self._thread.is_alive():
            self._disk.close()

    def ended(self) -> bool:
        """Whether the thread ended by itself: alarms are not published any more."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def stats(self) -> JournalStats:
        """A snapshot."""
        with self._lock:
            box = self._outbox
            with self._queue_lock:
                shed = self._shed + self._unbuilt
            return JournalStats(
                self.epoch,
                box.held,
                box.waiting,
                box.lost + shed,
                box.repeated,
                *(self._disk.hanging(self._storage.set_aside) if self._unwritten else self._storage),
            )

    # --- the journal thread ----------------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            last = self._stopping
            try:
                self._wake.clear()
                wait_s = self.turn()
                over = last and self._oldest() is None
            except Exception as error:  # noqa: BLE001 - whatever it is, alarms must go on being published
                self._errors.caught("journal", error)
                wait_s, over = IDLE_S, last
            if over:
                return
            self._wake.wait(wait_s)

    def turn(self) -> float:
        """Write what is pending, a batch of it at most, publish it, send what is due; returns how long to wait for more, s."""
        now_ns = self._now()
        with self._lock:
            published = tuple(self._unwritten)
            with self._queue_lock:
                waiting, self._tail = tuple(itertools.islice(self._pending, BATCH)), None
            overrun, self._overrun = self._overrun, None
            marks = published or waiting or self._stopping or self._disk.marks_due(now_ns)
            changes = self._outbox.take_changes() if marks else Changes()
        encoded = []
        for entry in waiting:
            encoded.append(self._encoded(entry))
            time.sleep(0)
        rows = [_row(key, body) for item in encoded for key, body in item.events]
        rows += [_row(key, body) for entry in published for key, body in self._encoded(entry).events]
        if overrun is not None:
            published = (*published, Entry(now_ns, kept=overrun))
        self._keep((*published, *waiting))
        rewrite, last = overrun is not None, self._stopping
        with self._disk_at_work():
            write = partial(self._disk.write, rows, changes, self._now(), self._all_rows, rewrite=rewrite, last=last)
            if not self._errors.guarded("journal", write):
                self._disk.give_up("a write failed by a fault of this program")
        with self._lock:
            del self._unwritten[: len(published) - rewrite]
        now_ns = self._now()
        for entry, item in zip(waiting, encoded, strict=True):
            with self._lock:  # entry by entry: the inference thread waits for one at most
                if self._take_off(entry):  # else it was published meanwhile, see relieve
                    self._hand_over(item, now_ns)
        with self._lock:
            self._outbox.tick(now_ns)
            self._send_due(now_ns)
            if len(waiting) == BATCH:
                return 0.0
            busy = self._outbox.late or (self._unsent and self._outbox.up)
        return BUSY_S if busy else IDLE_S

    @contextlib.contextmanager
    def _disk_at_work(self) -> Iterator[None]:
        """Time the disk, and nothing else: what was encoded before must not count as a disk that hangs."""
        with self._lock:
            self._disk_began_ns = self._now()
        try:
            yield
        finally:
            with self._lock:
                self._disk_began_ns = None
                self._storage = self._disk.state()

    def _disk_hangs(self, now_ns: int) -> bool:
        """Whether a write has been under way for too long; the lock is held."""
        return self._disk_began_ns is not None and now_ns - self._disk_began_ns >= HOLD_NS

    def _oldest(self) -> Entry | None:
        """The entry that has been pending longest."""
        with self._queue_lock:
            return self._pending[0] if self._pending else None

    def _take_off(self, entry: Entry) -> bool:
        """Take an entry off the queue, if it is still the oldest: the thread that takes it publishes it. The lock is held, so that the order stays."""
        with self._queue_lock:
            if not self._pending or self._pending[0] is not entry:
                return False
            self._pending.popleft()
            if entry.kept is self._tail:
                self._tail = None  # it is on its way; what is shed from now on comes behind it
            return True

    def _encoded(self, entry: Entry) -> _Encoded:
        """Build and encode the messages of an entry; the lock is not held. What cannot be built must not delay what follows it."""
        events: list[tuple[Key, bytes]] = []
        alarms: list[Outgoing] = []

        def encode_event(record: EventRecord) -> None:
            events.append((Key(record.epoch, record.seq), record.message().encode()))

        def encode_alarm(record: AlarmRecord) -> None:
            alarm = record.message()
            alarms.append(ALARM.outgoing(self._prefix, alarm, alarm.id))

        failed = sum(not self._errors.guarded("journal", partial(encode_event, record)) for record in entry.events)
        for record in entry.alarms:
            self._errors.guarded("journal", partial(encode_alarm, record))
        return _Encoded(events, alarms, failed)

    def _hand_over(self, encoded: _Encoded, now_ns: int) -> None:
        """Hand events, then conditions, to the connection; the lock is held."""
        self._unbuilt += encoded.failed
        for key, body in encoded.events:
            self._outbox.add(key, body, now_ns)
        self._send_due(now_ns)
        for outgoing in encoded.alarms:
            self._unsent.pop(outgoing.topic, None)
            if not self._outbox.up or self._send(outgoing) is None:
                self._unsent[outgoing.topic] = outgoing

    def _send_due(self, now_ns: int) -> None:
        """Newest conditions first, then events; the lock is held, so that no confirmation overtakes the note of what was sent."""
        if not self._outbox.up:
            return
        for topic, outgoing in list(self._unsent.items()):
            if self._send(outgoing) is None:
                return
            del self._unsent[topic]
        while (due := self._outbox.due(now_ns)) is not None:
            key, body, historical = due
            if historical:  # quotes inside texts are escaped, so these bytes are the field
                body = body.replace(b'"historical":false', b'"historical":true', 1)
            message_id = self._send(EVENT.wrap(self._prefix, body))
            if message_id is None:
                return
            self._outbox.sent(key, message_id, now_ns)

    def _write_later(self, entry: Entry) -> None:
        """The disk hangs: remember, within bounds, what it has to write; the lock is held."""
        if self._overrun is None and len(self._unwritten) < MAX_UNWRITTEN:
            self._unwritten.append(entry)
        else:
            self._overrun = {**(self._overrun or {}), **entry.kept}

    def _keep(self, entries: Iterable[Entry]) -> None:
        """Update the kept states with what happened, before the disk is written; only the newest of each state is encoded."""
        newest: dict[str, StateRecord | None] = {}
        for entry in entries:
            newest |= entry.kept

        def keep(name: str, record: StateRecord | None) -> None:
            self._disk.keep(name, None if record is None else record.to_dict())

        for name, record in newest.items():
            self._errors.guarded("journal", partial(keep, name, record))

    def _all_rows(self) -> list[Row]:
        """Every event that the file should have, for a file that lost touch."""
        with self._lock:
            return [_row(key, body, done=done) for key, body, done in self._outbox.rows()]


def _row(key: Key, body: bytes, *, done: bool = False) -> Row:
    return (key.epoch, key.seq, body, done)
