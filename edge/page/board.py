"""What is known of every node, and since when it is not: the newest documents, scores over time, and events; bounded, one lock.

Nothing is believed longer than what it came over: when the broker is lost, every value is unknown until it is heard again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from edge.units import NS_PER_MS, NS_PER_S

MOST_NODES = 64
MOST_NAMES = 3_000  # of one kind of one node: alarms of a large site
POINTS = 600  # of one channel's scores
EVENTS = 5_000
ANSWERS = 12  # of one camera: what was said of its newest parts
MOST_CHARACTERS = 128  # of one word of an answer
_ANSWER_WORDS = ("ts", "part", "outcome", "verdict", "reason", "profile")
DEFAULT_HEARTBEAT_S = 10.0
MISSED_HEARTBEATS = 3
SETTLED_MS = 3_000

Key = tuple[str, str, str]  # node, kind, name


@dataclass(slots=True)
class Entry:
    """The newest document of one topic, when it came, and in which connection."""

    document: Any
    at_ms: int
    link: int


@dataclass(slots=True)
class Series:
    """Scores of one channel over time, the newest at the end; `total` counts those that went, too."""

    points: deque[tuple[int, float | None, str]] = field(default_factory=lambda: deque(maxlen=POINTS))
    total: int = 0


@dataclass(slots=True)
class Node:
    """What is known of one node."""

    heard_ns: int
    session: str | None = None
    alive: bool = False
    why: str = "nothing was heard of it yet"
    since_ms: int = 0


class Board:
    """Everything that the page knows; any thread may call it."""

    def __init__(self, now_ms: int) -> None:
        self.lock = threading.RLock()
        self.link, self.up, self.since_ms, self.why = 0, False, now_ms, "not connected to the broker yet"
        self.version = 0  # rises with each change; of the link and nodes too
        self.nodes: dict[str, Node] = {}
        self.entries: dict[Key, Entry] = {}
        self.changed: dict[Key, int] = {}  # key -> version of its newest change
        self.series: dict[tuple[str, str], Series] = {}
        self.events: deque[tuple[int, str, Mapping[str, Any]]] = deque(maxlen=EVENTS)
        self.events_total = 0
        self._known_events: dict[tuple[str, int, int], None] = {}
        self.refused = 0

    def connected(self, now_ms: int, now_ns: int) -> None:
        """The broker is there: what it says from now on is of now."""
        with self.lock:
            self.link += 1
            self.up, self.since_ms, self.why = True, now_ms, ""
            for node in self.nodes.values():
                node.heard_ns = now_ns  # its heartbeats begin to count now
            self.version += 1

    def lost(self, why: str, now_ms: int) -> None:
        """The broker is gone: from now on nothing is known."""
        with self.lock:
            if self.up:
                self.up, self.since_ms, self.why = False, now_ms, why
                self.version += 1

    def heard(self, key: Key, document: Any, now_ms: int, now_ns: int) -> None:  # noqa: ANN401 - JSON
        """One message of a node; an empty one of an alarm takes it away."""
        node_id, kind, name = key
        with self.lock:
            node = self._node(node_id, now_ms, now_ns)
            if node is None:
                return
            if kind == "state":
                self._state(node_id, node, document, now_ms)
                self._put(key, document, now_ms)
            elif kind == "heartbeat":
                node.heard_ns = now_ns
                self._put(key, document, now_ms)
            elif kind == "event":
                self._event(node_id, document, now_ms)
            elif kind == "value":
                self._point(node_id, name, document)
            elif document is None:
                self._take_away(key)
            elif kind == "inspection":
                self._answer(key, document, now_ms)
            elif kind != "alarm" or not self._is_old(key, document):
                self._put(key, document, now_ms)
                if kind == "flag":
                    self._point(node_id, name, document)

    def tick(self, now_ms: int, now_ns: int) -> None:
        """Whether each node is still there; to be called every second."""
        with self.lock:
            for node_id, node in self.nodes.items():
                state = self.entries.get((node_id, "state", ""))
                self._judge(node, *self._is_alive(node_id, node, state, now_ns), now_ms)

    def without_verdicts(self, now_ms: int) -> list[tuple[str, int, str | None]]:
        """Nodes that are there for some seconds and have not said every verdict yet, each with our connection and its session.

        A flag is sent when it changes and is not retained: of one that stood before we came nothing would be heard.
        """
        with self.lock:
            found = []
            for node_id, node in self.nodes.items():
                if node.alive and now_ms - node.since_ms >= SETTLED_MS:
                    channels = (self.document(node_id, "meta") or {}).get("channels", ())
                    entries = [self.entries.get((node_id, "flag", str(channel.get("id")))) for channel in channels]
                    if any(entry is None or entry.link != self.link or entry.document is None for entry in entries):
                        found.append((node_id, self.link, node.session))
            return found

    def document(self, node_id: str, kind: str, name: str = "") -> Any:  # noqa: ANN401 - JSON
        """The newest document of a topic, or None."""
        with self.lock:
            entry = self.entries.get((node_id, kind, name))
            return None if entry is None else entry.document

    def history(self) -> list[tuple[str, Mapping[str, Any]]]:
        """Every event that is kept, as (node, event), in the order of their time."""
        with self.lock:
            found = [(node, event) for _, node, event in self.events]
        return sorted(found, key=lambda one: (str(one[1].get("ts")), one[0], one[1].get("epoch"), one[1].get("seq")))

    def _node(self, node_id: str, now_ms: int, now_ns: int) -> Node | None:
        found = self.nodes.get(node_id)
        if found is None:
            if len(self.nodes) >= MOST_NODES:
                self.refused += 1
                return None
            found = self.nodes[node_id] = Node(heard_ns=now_ns, since_ms=now_ms)
        return found

    def _state(self, node_id: str, node: Node, document: Mapping[str, Any], now_ms: int) -> None:
        session = str(document.get("session"))
        if session != node.session:
            for key in [key for key in self.entries if key[0] == node_id and key[1] == "flag"]:
                self._take_away(key)  # of a daemon that is no more
            node.session = session
        if document.get("online") is not True:
            self._judge(node, False, _words(document), now_ms)  # noqa: FBT003 - at once, not with the next tick

    def _is_alive(self, node_id: str, node: Node, state: Entry | None, now_ns: int) -> tuple[bool, str]:
        if not self.up:
            return False, self.why
        if state is None or state.link != self.link:
            return False, "its state was not heard yet"
        if state.document.get("online") is not True:
            return False, _words(state.document)
        meta = self.document(node_id, "meta") or {}
        interval_s = float(meta.get("heartbeat_s") or DEFAULT_HEARTBEAT_S)
        silent_s = (now_ns - node.heard_ns) / NS_PER_S
        if silent_s > MISSED_HEARTBEATS * interval_s + 5.0:
            return False, f"no heartbeat for {silent_s:.0f} s: it hangs, or its connection does"
        return True, ""

    def _judge(self, node: Node, alive: bool, why: str, now_ms: int) -> None:  # noqa: FBT001 - the judgement itself
        if alive != node.alive:
            node.since_ms = now_ms
        if (alive, why) != (node.alive, node.why):
            node.alive, node.why = alive, why
            self.version += 1

    def _is_old(self, key: Key, document: Mapping[str, Any]) -> bool:
        """Whether a newer message of this alarm was heard already, in this connection."""
        entry = self.entries.get(key)
        if entry is None or entry.link != self.link or entry.document is None:
            return False
        return _order(document) < _order(entry.document)

    def _put(self, key: Key, document: Any, now_ms: int) -> None:  # noqa: ANN401 - JSON
        if key not in self.entries and sum(1 for one in self.entries if one[:2] == key[:2]) >= MOST_NAMES:
            self.refused += 1
            return
        self.version += 1
        self.entries[key] = Entry(document, now_ms, self.link)
        self.changed[key] = self.version

    def _answer(self, key: Key, document: Mapping[str, Any], now_ms: int) -> None:
        """The newest answers of one camera, the newest first: on a fast line several come between two looks."""
        brief: dict[str, Any] = {word: _short(document.get(word)) for word in _ANSWER_WORDS}
        faults = document.get("faults")
        found = faults.items() if isinstance(faults, dict) else ()
        brief["found"] = [
            _short(name) for name, one in found if isinstance(one, dict) and one.get("verdict") == "fault"
        ]
        entry = self.entries.get(key)
        before = [] if entry is None else entry.document
        self._put(key, [brief, *before][:ANSWERS], now_ms)

    def _take_away(self, key: Key) -> None:
        if key in self.entries:
            self._put(key, None, 0)

    def _point(self, node_id: str, name: str, document: Mapping[str, Any]) -> None:
        if (node_id, name) not in self.series and len(self.series) >= MOST_NAMES:
            self.refused += 1
            return
        series = self.series.setdefault((node_id, name), Series())
        at = _milliseconds(document.get("ts"))
        if at is not None:
            series.points.append((at, document.get("score"), str(document.get("q"))))
            series.total += 1
            self.version += 1

    def _event(self, node_id: str, document: Mapping[str, Any], now_ms: int) -> None:
        name = (node_id, int(document.get("epoch") or 0), int(document.get("seq") or 0))
        if name in self._known_events:
            return
        self._known_events[name] = None
        while len(self._known_events) > 2 * EVENTS:
            del self._known_events[next(iter(self._known_events))]
        self.events.append((now_ms, node_id, document))
        self.events_total += 1
        self.version += 1


def _order(alarm: Mapping[str, Any]) -> tuple[int, int]:
    return int(alarm.get("epoch") or 0), int(alarm.get("seq") or 0)


def _short(word: object) -> str | None:
    return None if word is None else str(word)[:MOST_CHARACTERS]


def _words(state: Mapping[str, Any]) -> str:
    return "the daemon is offline: " + (", ".join(map(str, state.get("reasons") or ())) or "no reason was given")


def _milliseconds(stamp: object) -> int | None:
    try:
        return int(datetime.fromisoformat(str(stamp)).timestamp() * NS_PER_S // NS_PER_MS)
    except (ValueError, OverflowError):
        return None
