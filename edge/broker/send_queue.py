"""Messages from their acceptance to the broker's acknowledgement: a bounded queue and what is in flight, with counters.

Nothing survives a lost connection here: what must not be lost waits in the journal.
"""

from __future__ import annotations

from collections import Counter, deque

from edge.broker.limits import BrokerLimits
from edge.wire.envelope import Outgoing

MAX_BACKLOG = 1000  # messages accepted and not yet sent; more are dropped and counted
MAX_URGENT = 1000  # so many more, of messages that a user waits for


class SendQueue:
    """Messages of one connection on their way to the broker. Not thread-safe: its user holds a lock."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, Outgoing]] = deque()
        self._in_flight: dict[int, tuple[int, str]] = {}  # by paho's message number: the message's id, its topic
        self._serial = 0
        self.dropped: Counter[str] = Counter()  #: messages by the reason why they were not sent or not accepted
        self.published = 0  #: messages written to the connection
        self.acknowledged = 0  #: of these: confirmed by the broker

    def __len__(self) -> int:
        """Messages that wait or are not yet acknowledged."""
        return len(self._waiting) + len(self._in_flight)

    def put(self, message: Outgoing, *, room: int = MAX_BACKLOG) -> int | None:
        """Queue a message, an urgent one in front; returns its id, which never repeats, or None: there is no room."""
        if len(self._waiting) >= room + (MAX_URGENT if message.urgent else 0):
            self.dropped["backlog"] += 1
            return None
        self._serial += 1
        if message.urgent:
            self._waiting.appendleft((self._serial, message))
        else:
            self._waiting.append((self._serial, message))
        return self._serial

    def take(self, limits: BrokerLimits) -> tuple[int, Outgoing] | None:
        """The next message to send with its id; None: none waits, or the broker must acknowledge others first."""
        if not self._waiting or len(self._in_flight) >= limits.in_flight:
            return None
        return self._waiting.popleft()

    def sent(self, serial: int, topic: str, number: int | None) -> None:
        """A message was written, under paho's number; None: nothing confirms it (QoS 0)."""
        self.published += 1
        if number is not None:
            self._in_flight[number] = (serial, topic)

    def answered(self, number: int, *, accepted: bool) -> tuple[int, str] | None:
        """The broker acknowledged or rejected a message; returns its id and topic, None for one at QoS 0."""
        sent = self._in_flight.pop(number, None)
        if sent is not None and accepted:
            self.acknowledged += 1
        elif sent is not None:
            self.dropped["refused"] += 1
        return sent

    def clear(self) -> int:
        """The connection is lost, and with it all that was not confirmed; returns how many messages."""
        lost = len(self)
        self._waiting.clear()
        self._in_flight.clear()
        if lost:
            self.dropped["lost"] += lost
        return lost
