"""What the threads of one connection share, under one lock: limits, queue, counters and refusals.

Users of the connection publish and read; its network thread does the rest. No callback is called here.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType

from edge.broker.limits import Allowed, BrokerLimits, packet_bytes
from edge.broker.refusal import ConnectionRefusals, Denied
from edge.broker.send_queue import MAX_BACKLOG, SendQueue
from edge.wire.envelope import ConnectionStats, Incoming, Outgoing


@dataclass(frozen=True, slots=True)
class Answered:
    """A message that the broker acknowledged or rejected; `first` marks the first one that it rejected."""

    serial: int
    topic: str
    first: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """The end of a link; `changed`: for another reason than the last one."""

    was_up: bool
    messages: int
    changed: bool


class ConnectionState:
    """One connection as all threads see it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: BrokerLimits | None = None  # None while not connected
        self._queue = SendQueue()
        self._refusals = ConnectionRefusals()
        self._dropped: Counter[str] = Counter()  # of what came in
        self._counts: Counter[str] = Counter()
        self._last_message_ns: int | None = None
        self._taken_over_ns: int | None = None
        self._problem: str | None = "not started"

    # Any thread.

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the connection and it is up."""
        with self._lock:
            return self._limits is not None

    def accept(self, message: Outgoing, now_ns: int, *, room: int = MAX_BACKLOG) -> int | None:
        """Queue a message; returns its id, or None: it was dropped and counted."""
        with self._lock:
            if self._limits is None:
                self._queue.dropped["offline"] += 1
                return None
            if self._refusals.too_large(message, self._limits, now_ns):
                self._queue.dropped["too_large"] += 1
                return None
            return self._queue.put(message, room=room)

    def pending(self) -> int:
        """Messages that wait to be sent or acknowledged."""
        with self._lock:
            return len(self._queue)

    def stats(self, protocol: str) -> ConnectionStats:
        """A snapshot of all counters; `protocol` is that of the current link."""
        with self._lock:
            up = self._limits is not None
            return ConnectionStats(
                connected=up,
                protocol=protocol if up else None,
                refused=self._problem,
                connects=self._counts["connects"],
                disconnects=self._counts["disconnects"],
                published=self._queue.published,
                acknowledged=self._queue.acknowledged,
                pending=len(self._queue),
                dropped=MappingProxyType(self._queue.dropped + self._dropped),
                received=self._counts["received"],
                received_bytes=self._counts["received_bytes"],
                last_message_ns=self._last_message_ns,
                callback_errors=self._counts["callback_errors"],
                taken_over_ns=self._taken_over_ns,
                packet_bytes=None if self._limits is None else self._limits.told_packet_bytes,
            )

    def denied(self, now_ns: int, allowed: Allowed) -> Denied:
        """What the broker refuses now; `allowed` is the most that it takes of one message."""
        with self._lock:
            return self._refusals.denied(now_ns, allowed, connected=self._limits is not None)

    def callback_failed(self) -> None:
        """Count an exception of a callback."""
        with self._lock:
            self._counts["callback_errors"] += 1

    # The network thread.

    def connecting(self) -> None:
        """The connection was started."""
        with self._lock:
            self._problem = "connecting"

    def went_up(self, limits: BrokerLimits, now_ns: int) -> None:
        """The broker accepted a link with these limits."""
        with self._lock:
            self._counts["connects"] += 1
            self._limits, self._problem = limits, None
            self._refusals.connected(now_ns)

    def went_down(self, reason: str) -> Lost:
        """A link ended, or could not be made; all that was not confirmed is lost."""
        with self._lock:
            was_up, self._limits = self._limits is not None, None
            self._counts["disconnects"] += was_up
            changed, self._problem = reason != self._problem, reason
            return Lost(was_up, self._queue.clear(), changed)

    def client_rejected(self, why: str) -> None:
        """The broker rejected this client, and not only this attempt."""
        with self._lock:
            self._refusals.client = why

    def taken_over(self, now_ns: int) -> None:
        """Another client connected under the same id."""
        with self._lock:
            self._taken_over_ns = now_ns

    def limits(self) -> BrokerLimits | None:
        """Of the current link; None: it is not up."""
        with self._lock:
            return self._limits

    def following(self) -> tuple[int, Outgoing, BrokerLimits] | None:
        """The next message to send, with its id and the limits; None: nothing can be sent now."""
        with self._lock:
            limits = self._limits
            found = None if limits is None else self._queue.take(limits)
            return None if limits is None or found is None else (*found, limits)

    def sent(self, serial: int, topic: str, number: int | None) -> None:
        """A message was written, under paho's number; None: nothing confirms it."""
        with self._lock:
            self._queue.sent(serial, topic, number)

    def written(self, serial: int, message: Outgoing, now_ns: int) -> None:
        """A message is on its way to the broker, which may end the connection for its length."""
        with self._lock:
            self._refusals.packets.sent(serial, packet_bytes(message), message.topic, now_ns)

    def ended_unexplained(self, now_ns: int) -> int | None:
        """The link ended for a reason that its broker did not give; returns from which size on messages are held back now, if that is news."""
        with self._lock:
            return self._refusals.packets.ended(now_ns)

    def answered(self, number: int, now_ns: int, *, accepted: bool) -> Answered | None:
        """The broker acknowledged or rejected a message; None: it was one at QoS 0, which is not acknowledged."""
        with self._lock:
            sent = self._queue.answered(number, accepted=accepted)
            if sent is None:
                return None
            serial, topic = sent
            self._refusals.packets.passed(serial)
            if accepted:
                self._refusals.topics.accepted(topic)
            else:
                self._refusals.topics.refused(topic, now_ns)
            return Answered(serial, topic, first=not accepted and self._queue.dropped["refused"] == 1)

    def rejected_subscriptions(self) -> tuple[str, ...]:
        """Subscriptions that the broker rejects, with its reasons."""
        with self._lock:
            return self._refusals.subscriptions

    def subscriptions_answered(self, rejected: tuple[str, ...]) -> str | None:
        """The broker answered subscriptions; returns what is wrong, where that is news."""
        with self._lock:
            changed, self._refusals.subscriptions = rejected != self._refusals.subscriptions, rejected
            self._problem = "the broker refused the subscription to " + ", ".join(rejected) if rejected else None
            return self._problem if changed else None

    def received(self, incoming: Incoming) -> None:
        """Count a message that came in."""
        with self._lock:
            self._counts["received"] += 1
            self._counts["received_bytes"] += len(incoming.payload)
            self._last_message_ns = incoming.received_ns

    def rejected(self, reason: str, *, read: bool = True) -> bool:
        """Count a message that came in and is not handed over; returns whether it is the first. Not `read`: its end never came."""
        with self._lock:
            self._counts["received"] += read
            self._dropped[reason] += 1
            return self._dropped[reason] == 1
