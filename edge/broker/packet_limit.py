"""Learns which messages are too long for a broker that does not report its limit, from the connections that ended after them.

MQTT 3.1.1 has no field for it, and Mosquitto's `message_size_limit` is not reported over MQTT 5 either: the broker just closes. Without this, the same
message would be published after every reconnect, and end it again. Pure: time is an argument. Not thread-safe: its user holds a lock.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from edge.units import NS_PER_S

STRIKES = 2  # connections in a row that ended after a message on one topic, longer than any that passed
AWAITED = 200  # messages that may still be the cause
CAUSE_NS = 5 * NS_PER_S  # a broker closes at once; what was written longer ago has passed
RETRY_NS = 3600 * NS_PER_S  # the broker's limit may have been raised


class _Sent(NamedTuple):
    serial: int
    size_bytes: int
    topic: str
    at_ns: int


class PacketLimit:
    """What passed on one connection and its successors, and what ended them."""

    def __init__(self) -> None:
        self._awaited: deque[_Sent] = deque(maxlen=AWAITED)
        self._passed_bytes = 0
        self._suspect: _Sent | None = None
        self._strikes = 0
        self._limit_bytes: int | None = None
        self._learned_ns = 0
        self._known = False  # it was learned before, so one more ending is enough

    def allows(self, size_bytes: int, now_ns: int) -> bool:
        """Whether a message of this size may be published."""
        if self._limit_bytes is not None and now_ns - self._learned_ns > RETRY_NS:
            self._limit_bytes = None
        return self._limit_bytes is None or size_bytes < self._limit_bytes

    def sent(self, serial: int, size_bytes: int, topic: str, now_ns: int) -> None:
        """A message was written; a broker reads in the order of writing."""
        self._awaited.append(_Sent(serial, size_bytes, topic, now_ns))

    def passed(self, serial: int) -> None:
        """The broker acknowledged a message, so it read all before it too."""
        if any(one.serial == serial for one in self._awaited):
            while self._awaited[0].serial != serial:
                self._pass(self._awaited.popleft())
            self._pass(self._awaited.popleft())

    def connected(self) -> None:
        """Another connection begins, and nothing is on its way."""
        self._awaited.clear()

    def ended(self, now_ns: int) -> int | None:
        """The connection ended without a known reason; returns the size from which on messages are held back now, if that is news."""
        for one in tuple(self._awaited):
            if now_ns - one.at_ns > CAUSE_NS:
                self._pass(self._awaited.popleft())
        longest = max(self._awaited, key=lambda one: one.size_bytes, default=None)
        self._awaited.clear()
        if longest is None or longest.size_bytes <= self._passed_bytes:
            self._suspect, self._strikes = None, 0
            return None
        again = self._suspect is not None and self._suspect.topic == longest.topic
        self._strikes = self._strikes + 1 if again else 1
        self._suspect = longest
        if self._strikes < STRIKES and not self._known:
            return None
        self._limit_bytes, self._learned_ns, self._known = longest.size_bytes, now_ns, True
        return self._limit_bytes

    def _pass(self, one: _Sent) -> None:
        self._passed_bytes = max(self._passed_bytes, one.size_bytes)
        if self._suspect is not None and one.size_bytes >= self._suspect.size_bytes:
            self._suspect, self._strikes = None, 0
