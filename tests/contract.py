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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from edge.envelope import Outgoing
from edge.messages import schema_name
from edge.topics import IN, OUT, PICTURES, PictureTopic, Topic

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"
DEEPEST = 5  # levels of `{root}/{node}` that listeners hear
KEEPALIVE_S = 600  # a broker that a test freezes must not lose its listener


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


def problem(topic: str, payload: bytes) -> str | None:
    """What is wrong with a message; None: nothing, or it is none of ours.

    Ours is what is published on one of our topics, and what names one of our schemas, e.g. an answer on the asker's own topic.
    """
    place = next((place for pattern, place in PLACES if pattern.fullmatch(topic)), None)
    album = next((album for pattern, album in ALBUMS if pattern.fullmatch(topic)), None)
    known = place or album
    if known is not None and known.retain and payload == b"":
        return None  # clears what was retained
    if album is not None:
        return None if _is_picture(payload, album) else f"{topic}: no {album.form}: {payload[:80]!r}"
    try:
        document: Any = json.loads(payload)
    except ValueError:
        return None if place is None else f"{topic}: not JSON: {payload[:80]!r}"
    named = document.get("schema") if isinstance(document, dict) else None
    if place is None and not str(named).startswith("edge."):
        return None
    wanted = named if place is None else schema_name(place.message)
    validator = validators().get(str(wanted))
    if validator is None:
        return f"{topic}: there is no schema {wanted!r}"
    error = jsonschema.exceptions.best_match(validator.iter_errors(document))
    return None if error is None else f"{topic}: {wanted} {error.json_path}: {error.message}"


def _is_picture(payload: bytes, album: PictureTopic) -> bool:
    """Whether it begins like one of the forms that the topic names."""
    return any(payload.startswith(begin) for form, begin in BEGINNINGS.items() if form in album.form)


def handling_problem(message: Outgoing) -> str | None:
    """What is wrong with the QoS or the retain flag of a message on one of our topics."""
    known: list[tuple[re.Pattern[str], Topic | PictureTopic]] = [*PLACES, *ALBUMS]
    place = next((place for pattern, place in known if pattern.fullmatch(message.topic)), None)
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
        self._client = Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311, reconnect_on_failure=False
        )
        self._client.on_message = self._on_message
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect("127.0.0.1", port, KEEPALIVE_S)
        paths = [re.sub(r"\{\w+\}", "+", topic.path) for topic in (*OUT, *PICTURES)]
        self._client.subscribe([("+/" * depth + path, 0) for depth in range(2, DEEPEST + 1) for path in paths])
        self._thread = threading.Thread(target=self._client.loop_forever, name=f"listener-{port}", daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the broker did not answer the subscription")

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        del client, userdata
        self._note(message.topic, bytes(message.payload))

    def finish(self) -> None:
        """After the broker's end: take what had still arrived."""
        self._thread.join(10)
