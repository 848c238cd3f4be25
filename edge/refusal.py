"""What the broker refuses: messages by its PUBACK, subscriptions by its SUBACK, ourselves by its CONNACK; remembered until it takes them.

Pure but for its memory and one log line for each change: time is an argument. A refusal cannot be told on a topic that is refused, so the node's
state says it. MQTT 3.1.1 has no refusal of a message, and Mosquitto grants a forbidden subscription: of those nobody here can know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

NS_PER_S = 1_000_000_000
FORGET_NS = 300 * NS_PER_S  # a topic without a word for so long is not held against the broker any more
SETTLED_NS = 5 * NS_PER_S  # so long after we connected, all that is said then has been answered
MAX_TOPICS = 1_000
#: A CONNACK with one of these means us; others mean the broker's own state, e.g. that it is busy.
OF_US = ("Not authorized", "Bad user name or password", "Bad username or password", "Client identifier not valid", "Banned")  # fmt: skip

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Denied:
    """What is refused to one connection now."""

    connection: str | None = None
    topics: tuple[str, ...] = ()
    subscriptions: tuple[str, ...] = ()


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
        """Everything is said again now, so its answers are awaited anew."""
        self._since_ns = dict.fromkeys(self._since_ns, now_ns)

    def now(self, now_ns: int) -> tuple[str, ...]:
        """The topics that count as refused; only to be asked while connected, because absence tells nothing."""
        old = [topic for topic, since_ns in self._since_ns.items() if now_ns - since_ns > FORGET_NS]
        for topic in old:
            del self._since_ns[topic]
        return tuple(self._since_ns)

    def all(self) -> tuple[str, ...]:
        """The topics that counted as refused when the connection was lost."""
        return tuple(self._since_ns)


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
        self._told: tuple[str, ...] = ()

    def link_up(self, now_ns: int) -> None:
        """The publishing connection is up; any thread."""
        self._up_ns = now_ns

    def link_down(self) -> None:
        """It is lost; any thread."""
        self._up_ns = None

    def words(self, now_ns: int) -> tuple[str, ...] | None:
        """What is refused now, e.g. ``alarm/+``; None: not known yet, because nothing was said since the start."""
        found = in_words(self._prefix, [ask(now_ns) for ask in self._denied])
        if found != self._told:
            if found:
                _log.error("the broker refuses %s: check its access rules; tried again every minute", ", ".join(found))
            else:
                _log.info("the broker refuses nothing any more")
            self._told = found
        up_ns = self._up_ns
        self._known = self._known or (up_ns is not None and now_ns - up_ns >= SETTLED_NS)
        return found if found or self._known else None


def in_words(prefix: str, denied: Sequence[Denied]) -> tuple[str, ...]:
    """Topics of ours by their kind, subscriptions as they are, connections with their reason."""
    kinds = {_kind(topic[len(prefix) + 1 :]) for item in denied for topic in item.topics if topic.startswith(f"{prefix}/")}  # fmt: skip
    heard = {f"subscription to {topic}" for item in denied for topic in item.subscriptions}
    whole = {item.connection for item in denied if item.connection is not None}
    return (*sorted(whole), *sorted(kinds), *sorted(heard))


def _kind(path: str) -> str:
    head, _, rest = path.partition("/")
    return f"{head}/+" if rest else head
