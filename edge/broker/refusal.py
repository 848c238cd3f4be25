"""Remembers what the broker rejects: messages by PUBACK, subscriptions by SUBACK, the connection by CONNACK.

Pure but for its memory and one log line for each change: time is an argument. A rejection cannot be published on a rejected topic, so the node's
state reports it. MQTT 3.1.1 cannot reject a message, and Mosquitto grants a forbidden subscription: those stay unknown here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from edge.broker.limits import Allowed, BrokerLimits, packet_bytes
from edge.broker.packet_limit import PacketLimit
from edge.units import NS_PER_S
from edge.wire.envelope import Outgoing

FORGET_NS = 300 * NS_PER_S  # a topic without an answer for so long does not count as rejected any more
ANSWERED_NS = 5 * NS_PER_S  # so long after we connected, all that is sent then has been answered
MAX_TOPICS = 1_000
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Denied:
    """What is refused to one connection now; `limits` is what the broker does not take at all, `oversize` too long for it: topic, bytes, its limit (0: not known)."""

    connection: str | None = None
    topics: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    oversize: tuple[tuple[str, int, int], ...] = ()


class RefusedTopics:
    """Topics whose newest message was refused. Not thread-safe: its user holds a lock."""

    def __init__(self) -> None:
        self._since_ns: dict[str, int] = {}

    def refused(self, topic: str, now_ns: int) -> None:
        """A message on this topic was refused."""
        self._since_ns.pop(topic, None)
        self._since_ns[topic] = now_ns
        if len(self._since_ns) > MAX_TOPICS:
            del self._since_ns[next(iter(self._since_ns))]

    def accepted(self, topic: str) -> None:
        """A message on this topic was taken."""
        self._since_ns.pop(topic, None)

    def connected(self, now_ns: int) -> None:
        """Everything is resent now, so its answers are awaited again."""
        self._since_ns = dict.fromkeys(self._since_ns, now_ns)

    def now(self, now_ns: int) -> tuple[str, ...]:
        """The topics that count as refused; only to be read while connected, because absence proves nothing."""
        old = [topic for topic, since_ns in self._since_ns.items() if now_ns - since_ns > FORGET_NS]
        for topic in old:
            del self._since_ns[topic]
        return tuple(self._since_ns)

    def all(self) -> tuple[str, ...]:
        """The topics that counted as refused when the connection was lost."""
        return tuple(self._since_ns)


class ConnectionRefusals:
    """All that the broker refuses one connection. Not thread-safe: its user holds a lock."""

    def __init__(self) -> None:
        self.topics = RefusedTopics()
        self.client: str | None = None  #: the client id and why it was rejected
        self.subscriptions: tuple[str, ...] = ()  #: rejected, with the reason
        self.packets = PacketLimit()  #: what is too long for a broker that does not report its limit
        self._oversize: dict[str, tuple[int, int, int]] = {}  # by topic: bytes, the broker's limit (0: not known), when

    def connected(self, now_ns: int) -> None:
        """The broker accepted the connection."""
        self.client = None
        self.topics.connected(now_ns)
        self.packets.connected()

    def too_large(self, message: Outgoing, limits: BrokerLimits, now_ns: int) -> bool:
        """Whether a message is longer than the broker takes; that of its topic is remembered until a shorter one comes."""
        self._oversize.pop(message.topic, None)
        size_bytes = packet_bytes(message)
        fits = size_bytes <= limits.packet_bytes
        if fits and self.packets.allows(size_bytes, now_ns):
            return False
        self._oversize[message.topic] = (size_bytes, 0 if fits else limits.packet_bytes, now_ns)
        if len(self._oversize) > MAX_TOPICS:
            del self._oversize[next(iter(self._oversize))]
        return True

    def denied(self, now_ns: int, allowed: Allowed, *, connected: bool) -> Denied:
        """What is refused now; what was refused before the connection was lost counts until it is resent."""
        topics = self.topics.now(now_ns) if connected else self.topics.all()
        self._oversize = {topic: found for topic, found in self._oversize.items() if now_ns - found[2] <= FORGET_NS}
        oversize = tuple((topic, size, limit) for topic, (size, limit, _) in self._oversize.items())
        return Denied(self.client, topics, self.subscriptions, allowed.lacks(), oversize)


class Refusals:
    """Joins what is refused to all our connections, in words for people.

    Args:
        prefix: ``{root}/{node}``; a response topic elsewhere is its requester's business.
        denied: asks each connection, with the monotonic ns of now.
    """

    def __init__(self, prefix: str, denied: Iterable[Callable[[int], Denied]]) -> None:
        self._prefix = prefix
        self._denied = tuple(denied)
        self._up_ns: int | None = None
        self._known = False
        self._reported: tuple[str, ...] = ()

    def link_up(self, now_ns: int) -> None:
        """The publishing connection is up; any thread."""
        self._up_ns = now_ns

    def link_down(self) -> None:
        """It is lost; any thread."""
        self._up_ns = None

    def words(self, now_ns: int) -> tuple[str, ...] | None:
        """What is refused now, e.g. ``alarm/+``; None: not known yet, because nothing was sent since the start."""
        found = in_words(self._prefix, [ask(now_ns) for ask in self._denied])
        if found != self._reported:
            if found:
                _log.error(
                    "the broker refuses %s: check its access rules and limits; tried again every minute",
                    ", ".join(found),
                )
            else:
                _log.info("the broker refuses nothing any more")
            self._reported = found
        up_ns = self._up_ns
        self._known = self._known or (up_ns is not None and now_ns - up_ns >= ANSWERED_NS)
        return found if found or self._known else None


def in_words(prefix: str, denied: Sequence[Denied]) -> tuple[str, ...]:
    """Topics of this node by their kind, subscriptions as they are, connections with their reason."""
    kinds = {_kind(topic[len(prefix) + 1 :]) for item in denied for topic in item.topics if topic.startswith(f"{prefix}/")}  # fmt: skip
    subscriptions = {f"subscription to {topic}" for item in denied for topic in item.subscriptions}
    whole = {item.connection for item in denied if item.connection is not None}
    lacking = {what for item in denied for what in item.limits}
    return (*sorted(whole), *sorted(kinds), *sorted(subscriptions), *sorted(lacking), *_too_long(prefix, denied))


def _too_long(prefix: str, denied: Sequence[Denied]) -> list[str]:
    """Kinds of topics whose messages are longer than the broker takes, with the longest."""
    longest: dict[str, tuple[int, int]] = {}
    for topic, size, limit in (found for item in denied for found in item.oversize):
        if topic.startswith(f"{prefix}/"):
            kind = _kind(topic[len(prefix) + 1 :])
            longest[kind] = max(longest.get(kind, (0, 0)), (size, limit))
    return [f"{kind} of {size} bytes ({_why(limit)})" for kind, (size, limit) in sorted(longest.items())]


def _why(limit: int) -> str:
    return f"it takes {limit}" if limit else "it ended the connection each time, without a word; tried again in an hour"


def _kind(path: str) -> str:
    head, _, rest = path.partition("/")
    return f"{head}/+" if rest else head
