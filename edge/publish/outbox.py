"""The queue of events: sent, acknowledged, kept for a while, and resent to a broker that lost its sessions.

Pure: time is an argument, sending is the caller's. A PUBACK is no proof that a subscriber got an event: a broker that dies loses what it
confirmed. So a confirmed event stays for a window, and is resent, marked as history, when the broker has lost our session.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from edge.units import NS_PER_S

AGAIN_NS = (15 * NS_PER_S, 120 * NS_PER_S)  # subscribers return to a broker that lost its sessions later than we do
LIVE_NS = 5 * NS_PER_S  # an event that is sent later than this after it happened is history
PACE_NS = 2_000_000  # between two late events: stock Mosquitto drops what a subscriber queues past 1000
BURST = 50
STATE_FIRST_NS = 200_000_000
MAX_OUTSTANDING = 200  # late events sent and not yet confirmed


class Key(NamedTuple):
    """The permanent name of an event: the start of the daemon that it happened in, and its number there."""

    epoch: int
    seq: int


@dataclass(slots=True)
class Row:
    """One event; ``done_ns`` is when the broker first confirmed it, ``to_resend`` that it has lost it since."""

    body: bytes
    at_ns: int
    sent: bool = False
    done_ns: int | None = None
    to_resend: bool = False


@dataclass(frozen=True, slots=True)
class Caps:
    """How much is kept, and for how long after the broker's confirmation."""

    rows: int = 20_000
    size_bytes: int = 16_000_000
    window_ns: int = 3600 * NS_PER_S


@dataclass(slots=True)
class Changes:
    """What a copy on disk has to follow: events that were confirmed, and events that are gone."""

    done: list[Key] = field(default_factory=list)
    gone: list[Key] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.done or self.gone)


class Outbox:
    """Every event that may have to be sent or resent, in order."""

    def __init__(self, caps: Caps | None = None) -> None:
        self._caps = caps or Caps()
        self._rows: dict[Key, Row] = {}
        self._live: deque[Key] = deque()
        self._late: deque[Key] = deque()
        self._awaited: dict[int, Key] = {}
        self._again_ns: list[int] = []
        self._pace_ns = 0
        self._up = False
        self._changes = Changes()
        self._size_bytes = 0
        self._done_rows = 0
        self.lost = 0
        self.repeated = 0

    def add(self, key: Key, body: bytes, now_ns: int) -> None:
        """An event happened."""
        self._put(key, Row(body, now_ns))
        (self._live if self._up else self._late).append(key)
        self._shrink()

    def restore(self, key: Key, body: bytes, now_ns: int, *, done: bool) -> None:
        """An event of an earlier start; the window of a confirmed one starts again, because the time away is not known."""
        self._put(key, Row(body, now_ns, sent=True, done_ns=now_ns if done else None))
        if not done:
            self._late.append(key)
        self._shrink()

    def link_up(self, now_ns: int) -> None:
        """The connection is up: what happens from now on is sent at once, and history waits until the newest state was sent."""
        self._up = True
        self._pace_ns = now_ns + STATE_FIRST_NS
        young = {
            key for key in self._late if (row := self._rows.get(key)) and not row.sent and self._young(row, now_ns)
        }
        self._live.extend(key for key in self._late if key in young)
        self._late = deque(key for key in self._late if key not in young)

    def link_down(self) -> None:
        """What was sent and not confirmed has to be resent."""
        self._up = False
        self._awaited.clear()
        self._live.clear()
        self._line_up()

    def session_lost(self, now_ns: int) -> None:
        """The broker lost our session, and so what it had confirmed: resend the whole window, now and when subscribers are back."""
        if not self._done_rows:
            return
        self.resend_all()
        self._again_ns = [now_ns + after_ns for after_ns in AGAIN_NS]

    def due(self, now_ns: int) -> tuple[Key, bytes, bool] | None:
        """The next event to send now, whether it is history, or None; `sent` removes it."""
        while self._live:
            key = self._live[0]
            if key in self._rows:
                return key, self._rows[key].body, False
            self._live.popleft()
        while self._up and self._late:
            key = self._late[0]
            row = self._rows.get(key)
            if row is not None:
                if now_ns < self._pace_ns or len(self._awaited) >= MAX_OUTSTANDING:
                    return None
                return key, row.body, row.sent or not self._young(row, now_ns)
            self._late.popleft()
        return None

    def sent(self, key: Key, message_id: int, now_ns: int) -> None:
        """The event that `due` gave was handed over; its confirmation will carry this id."""
        row = self._rows[key]
        if self._live and self._live[0] == key:
            self._live.popleft()
        else:
            self._late.popleft()
            self._pace_ns = max(self._pace_ns, now_ns - BURST * PACE_NS) + PACE_NS
            self.repeated += row.sent or not self._young(row, now_ns)
        row.sent = True
        self._awaited[message_id] = key

    def confirmed(self, message_id: int, now_ns: int) -> None:
        """The broker has a message; ids of other messages are ignored."""
        key = self._awaited.pop(message_id, None)
        row = self._rows.get(key) if key is not None else None
        if key is None or row is None:
            return
        row.to_resend = False
        if row.done_ns is None:
            row.done_ns = now_ns
            self._done_rows += 1
            self._changes.done.append(key)

    def tick(self, now_ns: int) -> None:
        """Resend what is due for it, and drop what was confirmed long enough ago."""
        if self._up and self._again_ns and now_ns >= self._again_ns[0]:
            self._again_ns.pop(0)
            self.resend_all()
        for key in self._aged(now_ns):
            self._drop(key)

    def resend_all(self) -> None:
        """Resend the whole window."""
        for row in self._rows.values():
            row.to_resend = row.done_ns is not None
        self._line_up()

    def take_changes(self) -> Changes:
        """What changed since the last call."""
        changes, self._changes = self._changes, Changes()
        return changes

    def rows(self) -> list[tuple[Key, bytes, bool]]:
        """All events, oldest first, and whether each is confirmed; for a copy on disk that lost touch."""
        return [(key, row.body, row.done_ns is not None) for key, row in self._rows.items()]

    @property
    def up(self) -> bool:
        """Whether the connection is up."""
        return self._up

    @property
    def held(self) -> int:
        """How many events are kept."""
        return len(self._rows)

    @property
    def waiting(self) -> int:
        """How many of them the broker has not confirmed."""
        return len(self._rows) - self._done_rows

    @property
    def late(self) -> int:
        """How many events wait for their turn to be sent late or resent."""
        return len(self._late) if self._up else 0

    @staticmethod
    def _young(row: Row, now_ns: int) -> bool:
        return now_ns - row.at_ns <= LIVE_NS

    def _line_up(self) -> None:
        """Queue everything that is not under way: first what was never confirmed, then what the broker lost."""
        moving = set(self._awaited.values()) | set(self._live)
        still = [(key, row) for key, row in self._rows.items() if key not in moving]
        waiting = [key for key, row in still if row.done_ns is None]
        self._late = deque(waiting + [key for key, row in still if row.to_resend])

    def _put(self, key: Key, row: Row) -> None:
        self._rows[key] = row
        self._size_bytes += len(row.body)
        self._done_rows += row.done_ns is not None

    def _drop(self, key: Key) -> None:
        row = self._rows.pop(key)
        self._size_bytes -= len(row.body)
        self._done_rows -= row.done_ns is not None
        self.lost += row.done_ns is None
        self._changes.gone.append(key)

    def _shrink(self) -> None:
        """Over the caps the oldest confirmed event goes first, and only then the oldest unconfirmed one."""
        while len(self._rows) > self._caps.rows or self._size_bytes > self._caps.size_bytes:
            done = (key for key, row in self._rows.items() if row.done_ns is not None) if self._done_rows else iter(())
            self._drop(next(done, next(iter(self._rows))))

    def _aged(self, now_ns: int) -> list[Key]:
        aged = []
        for key, row in self._rows.items():
            if row.done_ns is None or now_ns - row.done_ns < self._caps.window_ns:
                break
            aged.append(key)
        return aged
