"""Holds every message that any test publishes against the schemas that ship: what this process builds, and what passes a test's broker.

In process every message is an `Outgoing` on its way, whoever sends it; on the wire a `Listener` of our own hears what daemons in other processes
publish. Both only note; the fixture in conftest.py judges after each test, so that nothing is slower for being watched.

Two gaps are known. After a broker was killed and started again, a daemon may speak in the moment before the new listener is subscribed. And the demo
with its own embedded broker is out of reach; it reads what it hears with the very records that the schemas are made of, and fails on anything else.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge.wire.envelope import Outgoing
from edge.wire.messages import schema_name
from edge.wire.topics import IN, OUT, PICTURES, PictureTopic, Topic
from tests.stand.likeness import Likeness, Unlike

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
DEEPEST = 5  # levels of `{root}/{node}` that listeners hear
KEEPALIVE_S = 600  # a broker that a test freezes must not lose its listener
MAX_TOPICS = 10_000  # whose place is remembered
MAX_LIKE = 10_000  # good messages whose likes are remembered
CONNECTIONS, ANSWER_S = 3, 15.0  # attempts to be heard by a broker on a busy machine


def _pattern(topic: Topic | PictureTopic) -> re.Pattern[str]:
    """Matches a topic's whole name under any root and node."""
    return re.compile(r"(?:[^/]+/){2,}" + re.sub(r"\\{\w+\\}", "[^/]+", re.escape(topic.path)))


PLACES: list[tuple[re.Pattern[str], Topic]] = [(_pattern(topic), topic) for topic in (*OUT, *IN)]
ALBUMS: list[tuple[re.Pattern[str], PictureTopic]] = [(_pattern(topic), topic) for topic in PICTURES]
BEGINNINGS = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG\r\n\x1a\n"}


@cache
def validators() -> dict[str, jsonschema.Draft202012Validator]:
    """By schema name, from the files that integrators get."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in SCHEMAS.glob("edge.*.json")}
    return {name.replace("-", "/"): jsonschema.Draft202012Validator(schema) for name, schema in found.items()}


@cache
def likenesses() -> dict[str, Likeness]:
    """By schema name, what a schema can see of a message; of those without, each message is judged by itself."""
    found: dict[str, Likeness] = {}
    for name, validator in validators().items():
        with suppress(Unlike):
            found[name] = Likeness(validator.schema)
    return found


_GOOD: set[tuple[str, Hashable]] = set()  # schemas, and the likeness of messages that they found good


def schema_problem(name: str, document: Any) -> jsonschema.ValidationError | None:
    """What a schema says against a document; one that is like another that it found good is good, too."""
    likeness = likenesses().get(name)
    seen = None if likeness is None else (name, likeness.of(document))
    if seen in _GOOD:
        return None
    error: jsonschema.ValidationError | None = jsonschema.exceptions.best_match(
        validators()[name].iter_errors(document)
    )
    if error is None and seen is not None and len(_GOOD) < MAX_LIKE:
        _GOOD.add(seen)
    return error


@lru_cache(MAX_TOPICS)
def _place(topic: str) -> Topic | PictureTopic | None:
    """Which of our topics it is; None: none."""
    known: list[tuple[re.Pattern[str], Topic | PictureTopic]] = [*PLACES, *ALBUMS]
    return next((place for pattern, place in known if pattern.fullmatch(topic)), None)


def problem(topic: str, payload: bytes) -> str | None:
    """What is wrong with a message; None: nothing, or it is none of ours.

    Ours is what is published on one of our topics, and what names one of our schemas, e.g. an answer on the asker's own topic.
    """
    place = _place(topic)
    if place is not None and place.retain and payload == b"":
        return None  # clears what was retained
    if isinstance(place, PictureTopic):
        return None if _is_picture(payload, place) else f"{topic}: no {place.form}: {payload[:80]!r}"
    try:
        document: Any = json.loads(payload)
    except ValueError:
        return None if place is None else f"{topic}: not JSON: {payload[:80]!r}"
    named = document.get("schema") if isinstance(document, dict) else None
    if place is None and not str(named).startswith("edge."):
        return None
    wanted = named if place is None else schema_name(place.message)
    if str(wanted) not in validators():
        return f"{topic}: there is no schema {wanted!r}"
    error = schema_problem(str(wanted), document)
    return None if error is None else f"{topic}: {wanted} {error.json_path}: {error.message}"


def _is_picture(payload: bytes, album: PictureTopic) -> bool:
    """Whether it begins like one of the forms that the topic names."""
    return any(payload.startswith(begin) for form, begin in BEGINNINGS.items() if form in album.form)


def handling_problem(message: Outgoing) -> str | None:
    """What is wrong with the QoS or the retain flag of a message on one of our topics."""
    place = _place(message.topic)
    if place is None or (message.qos, message.retain) == (place.qos, place.retain):
        return None
    return f"{message.topic}: QoS {message.qos}, retain {message.retain}; the contract says QoS {place.qos}, retain {place.retain}"


class Contract:
    """Notes messages from any thread, and judges them when asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[tuple[str, bytes], None] = {}  # what was said twice is judged once
        self._problems: list[str] = []
        self.judged = 0

    def note(self, topic: str, payload: bytes) -> None:
        """Remember a message."""
        with self._lock:
            self._noted[topic, payload] = None

    def note_outgoing(self, message: Outgoing) -> None:
        """Remember a message that this process built, and how it is to be sent."""
        self.note(message.topic, message.payload)
        if (found := handling_problem(message)) is not None:
            with self._lock:
                self._problems.append(found)

    def verdict(self) -> list[str]:
        """What is wrong with everything noted since the last verdict."""
        with self._lock:
            noted, self._noted = self._noted, {}
            problems, self._problems = self._problems, []
        self.judged += len(noted)
        return problems + [found for item in noted if (found := problem(*item)) is not None]

    @contextmanager
    def over_this_process(self) -> Iterator[None]:
        """Note every message that is built for sending in this process."""
        build = Outgoing.__init__

        def noted(message: Outgoing, *arguments: Any, **named: Any) -> None:
            build(message, *arguments, **named)
            self.note_outgoing(message)

        with mock.patch.object(Outgoing, "__init__", noted):  # the one place that every message passes, wire or no wire
            yield


CONTRACT = Contract()  # of this run of the tests


class Listener:
    """Hears on a broker what daemons publish, until the broker ends. Commands are left out: tests send bad ones on purpose."""

    def __init__(self, port: int, note: Callable[[str, bytes], None] = CONTRACT.note) -> None:
        self._note = note
        for _ in range(CONNECTIONS):  # a busy machine, or a broker that is still starting, may lose the first one
            if self._hears(port):
                return
        raise RuntimeError(f"the broker on port {port} did not answer a subscription, {CONNECTIONS} times {ANSWER_S} s")

    def _hears(self, port: int) -> bool:
        """Connect and subscribe to everything that daemons publish; False: no answer in time, and the connection is closed."""
        self._client = Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311, reconnect_on_failure=False
        )
        self._client.on_message = self._on_message
        paths = [re.sub(r"\{\w+\}", "+", topic.path) for topic in (*OUT, *PICTURES)]
        topics = [("+/" * depth + path, 0) for depth in range(2, DEEPEST + 1) for path in paths]
        self._client.on_connect = lambda client, *_: client.subscribe(
            topics
        )  # not before: the broker says when it listens
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect("127.0.0.1", port, KEEPALIVE_S)
        self._thread = threading.Thread(target=self._client.loop_forever, name=f"listener-{port}", daemon=True)
        self._thread.start()
        if ready.wait(ANSWER_S):
            return True
        self._client.disconnect()
        self._thread.join(1)
        return False

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        del client, userdata
        self._note(message.topic, bytes(message.payload))

    def finish(self) -> None:
        """After the broker's end: take what had still arrived."""
        self._thread.join(10)
