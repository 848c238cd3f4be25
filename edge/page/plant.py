"""The page's one connection to the broker: what nodes publish goes to the board, commands go out and their answers come back."""

from __future__ import annotations

import concurrent.futures
import hashlib
import logging
import secrets
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from edge.broker.connection import Connection
from edge.broker.credentials import client_id
from edge.errors import BrokerError, ConfigError, EdgeError, RejectedInput
from edge.page.board import Board
from edge.page.settings import PageSettings
from edge.parsing.structure import Bounds, json_within
from edge.parsing.toml_file import words
from edge.units import NS_PER_MS
from edge.wire.envelope import Incoming, Subscription
from edge.wire.message import timestamp
from edge.wire.requests import Command
from edge.wire.topics import (
    ALARM,
    COMMAND,
    EVENT,
    EVIDENCE,
    EXPLAIN,
    FLAG,
    HEARTBEAT,
    INSPECTION,
    META,
    REPLY,
    SNAPSHOT,
    STATE,
    VALUE,
)
from edge.wire.verbs import Verb

ANSWER_S = 10.0
RELOAD_S = 180.0  # a large bundle is read and proven beside the frames of the running one
PICTURES_KEPT = 8
PICTURE_BYTES = 4_000_000
MOST_WAITING = 200
OURSELVES = "edge-page"  # the user of what nobody asked for
SMALL = Bounds(size_bytes=65_536, values=2_000)
LARGE = Bounds(size_bytes=2_000_000, values=30_000)  # meta and heartbeats describe each alarm and source of a site
_LARGE_KINDS = frozenset({"meta", "heartbeat"})
_KINDS = frozenset(
    {
        "alarm",
        "flag",
        "value",
        "explain",
        "evidence",
        "inspection",
        "state",
        "meta",
        "heartbeat",
        "event",
        "res",
        "snapshot",
    }
)
_log = logging.getLogger(__name__)


class Plant:
    """Connected to the nodes' topics from `start` to `stop`.

    Args:
        settings: which broker and nodes.

    Raises:
        ConfigError: a certificate, key or password file cannot be used.
    """

    def __init__(self, settings: PageSettings) -> None:
        self.board = Board(_now_ms())
        self._root = settings.broker.root
        self._nodes = frozenset(settings.nodes)
        self._lock = threading.Lock()
        self._waiting: dict[str, concurrent.futures.Future[Mapping[str, Any]]] = {}
        self._asked: dict[str, tuple[int, str | None]] = {}  # by node: in which connection and session
        self._pictures: OrderedDict[str, bytes] = OrderedDict()
        prefixes = [f"{self._root}/{node}" for node in sorted(self._nodes) or ["+"]]
        one = (STATE, META, HEARTBEAT, EVENT)
        many = (ALARM, FLAG, VALUE, EXPLAIN, EVIDENCE, INSPECTION, REPLY)
        topics = [topic.at(prefix) for prefix in prefixes for topic in one]
        topics += [topic.at(prefix, "+") for prefix in prefixes for topic in many]
        topics += [SNAPSHOT.at(prefix, "+") for prefix in prefixes]
        self._connection = Connection(
            settings.broker,
            client_id=client_id(f"edge-page-{secrets.token_hex(4)}", settings.broker),
            subscriptions=[Subscription(topic, 1) for topic in topics],
            on_message=self._received,
            on_up=lambda: self.board.connected(_now_ms(), time.monotonic_ns()),
            on_down=lambda reason: self.board.lost(reason, _now_ms()),
        )

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._connection.start()

    def stop(self) -> None:
        """Disconnect."""
        self._connection.stop()

    def turn(self) -> None:
        """Look at what is still there, and have a node say again what we missed, once; to be called every second."""
        self.board.tick(_now_ms(), time.monotonic_ns())
        for node, link, session in self.board.without_verdicts(_now_ms()):
            if self._asked.get(node) != (link, session):
                self._asked[node] = (link, session)
                try:
                    self.forget(self.command(node, Verb.REBIRTH, {"user": OURSELVES, "comment": "the page came"}))
                except EdgeError as error:
                    _log.warning("flags of %s stay unknown until they change: %s", node, error)

    def alive(self) -> bool:
        """Whether the network thread lives; for a watchdog."""
        return self._connection.alive(time.monotonic_ns())

    def command(
        self, node: str, verb: Verb, fields: Mapping[str, object]
    ) -> concurrent.futures.Future[Mapping[str, Any]]:
        """Send one request; its answer comes with the future, which fails with `BrokerError` when none does.

        Raises:
            ConfigError: a field is not allowed.
            BrokerError: it cannot be sent.
        """
        stamp = {"request_id": uuid.uuid4().hex, "issued_at": timestamp(time.time_ns())}
        try:
            request = Command.model_validate(stamp | dict(fields))
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(f"{'.'.join(map(str, first['loc']))}: {words(first)}") from error
        if not self._connection.connected:
            raise BrokerError("the broker is away: nothing was sent")
        future: concurrent.futures.Future[Mapping[str, Any]] = concurrent.futures.Future()
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                raise BrokerError("too many commands wait for an answer: try again in a moment")
            self._waiting[request.request_id] = future
        if self._connection.publish(COMMAND.outgoing(f"{self._root}/{node}", request, verb.value)) is None:
            self.forget(future)
            raise BrokerError("the broker is away: nothing was sent")
        return future

    def forget(self, future: concurrent.futures.Future[Mapping[str, Any]]) -> None:
        """Nobody waits for this answer any more."""
        with self._lock:
            self._waiting = {name: other for name, other in self._waiting.items() if other is not future}

    def is_refused(self) -> bool:
        """Whether the broker's access rules ever refused what we sent."""
        return bool(self._connection.stats().dropped.get("refused"))

    def picture(self, sha256: str) -> bytes | None:
        """A picture that a snapshot brought lately, by the SHA-256 of its bytes."""
        with self._lock:
            return self._pictures.get(sha256)

    # From here on: the network thread.

    def _received(self, incoming: Incoming) -> None:
        node, _, rest = incoming.topic.removeprefix(f"{self._root}/").partition("/")
        kind, _, name = rest.partition("/")
        if kind not in _KINDS or len(node) > 64 or len(name) > 128 or (self._nodes and node not in self._nodes):
            return
        if kind == "snapshot":
            self._keep(incoming.payload)
            return
        try:
            bounds = LARGE if kind in _LARGE_KINDS else SMALL
            document = json_within(incoming.payload, bounds) if incoming.payload else None
        except RejectedInput as error:
            _log.warning("%s is not read: %s", incoming.topic, error)
            return
        if not isinstance(document, dict) and not (document is None and kind in {"alarm", "explain"}):
            return
        if kind == "res" and document is not None:
            self._answered(document)
        elif kind != "res":
            try:
                self.board.heard((node, kind, name), document, _now_ms(), time.monotonic_ns())
            except (TypeError, ValueError) as error:  # whoever may write there may write anything
                _log.warning("%s is none of our messages: %s", incoming.topic, error)

    def _answered(self, reply: Mapping[str, Any]) -> None:
        with self._lock:
            future = self._waiting.pop(str(reply.get("request_id")), None)
        if future is not None and future.set_running_or_notify_cancel():
            future.set_result(reply)

    def _keep(self, picture: bytes) -> None:
        if not picture or len(picture) > PICTURE_BYTES:
            return
        with self._lock:
            self._pictures[hashlib.sha256(picture).hexdigest()] = picture
            while len(self._pictures) > PICTURES_KEPT:
                self._pictures.popitem(last=False)


def _now_ms() -> int:
    return time.time_ns() // NS_PER_MS
