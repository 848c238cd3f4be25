"""Rules that every type of message has in common: QoS and retain flag, sequence number, timestamp (chapters 4.2, 5.4, 5.6, 6.4)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.sparkplug_conformance.recording import NUMBERED, Message, Recording
from tests.sparkplug_conformance.rules import clear, holds, one, put, with_mqtt, with_payload

CLOCK_MS = 5_000.0  # how far a message's own time may be from when it passed the relay, on a busy machine


# --- MQTT


def _qos_and_retain(kind: str, both: tuple[str, ...], qos: tuple[str, ...], retain: tuple[str, ...]) -> None:
    def has_qos_0(recording: Recording) -> None:
        assert {message.qos for message in recording.said(kind)} == {0}

    def is_not_retained(recording: Recording) -> None:
        assert not any(message.retain for message in recording.said(kind))

    def has_both(recording: Recording) -> None:
        has_qos_0(recording)
        is_not_retained(recording)

    holds(*both, spoil=with_mqtt(one(kind), retain=True), words=f"{kind} is published with QoS 0 and not retained")(
        has_both
    )
    holds(*qos, spoil=with_mqtt(one(kind), qos=1), words=f"{kind} is published with QoS 0")(has_qos_0)
    holds(*retain, spoil=with_mqtt(one(kind), retain=True), words=f"{kind} is not retained")(is_not_retained)


_qos_and_retain(
    "NBIRTH",
    ("topics-nbirth-mqtt",),
    ("payloads-nbirth-qos", "message-flow-edge-node-birth-publish-nbirth-qos"),
    ("payloads-nbirth-retain", "message-flow-edge-node-birth-publish-nbirth-retained"),
)
_qos_and_retain(
    "DBIRTH",
    ("topics-dbirth-mqtt",),
    ("payloads-dbirth-qos", "message-flow-device-birth-publish-dbirth-qos"),
    ("payloads-dbirth-retain", "message-flow-device-birth-publish-dbirth-retained"),
)
_qos_and_retain("NDATA", ("topics-ndata-mqtt",), ("payloads-ndata-qos",), ("payloads-ndata-retain",))
_qos_and_retain("DDATA", ("topics-ddata-mqtt",), ("payloads-ddata-qos",), ("payloads-ddata-retain",))
_qos_and_retain("DDEATH", ("topics-ddeath-mqtt",), (), ())


# --- sequence numbers


def _numbered(recording: Recording) -> Iterator[tuple[Message, Message]]:
    """Neighbours among the numbered messages of each session."""
    for session in recording.born:
        yield from pairwise(session.said(*NUMBERED))


def _has_number(message: Message) -> None:
    assert message.payload.HasField("seq"), message.topic
    assert 0 <= message.payload.seq <= 255, message.payload.seq


def _follows(before: Message, message: Message) -> None:
    _has_number(message)
    wanted = (before.payload.seq + 1) % 256
    assert message.payload.seq == wanted, f"{message.topic} has {message.payload.seq}, not {wanted}"


def _skip(payload: Any) -> None:
    payload.seq = (payload.seq + 1) % 256


def _starts_at_zero(words: str, change: Any, *ids: str) -> None:
    @holds(*ids, spoil=with_payload(one("NBIRTH"), change), words=words)
    def check(recording: Recording) -> None:
        for message in recording.said("NBIRTH"):
            assert message.payload.HasField("seq")
            assert message.payload.seq == 0


_starts_at_zero("An NBIRTH has the sequence number 0", put(seq=1), "topics-nbirth-seq-num")
_starts_at_zero(
    "An NBIRTH has a sequence number from 0 to 255 (here: always 0)",
    clear("seq"),
    "payloads-nbirth-seq",
    "payloads-sequence-num-req-nbirth",
    "message-flow-edge-node-birth-publish-nbirth-payload-seq",
)


def _has_a_number(kind: str, *ids: str) -> None:
    @holds(*ids, spoil=with_payload(one(kind), clear("seq")), words=f"Every {kind} has a sequence number")
    def check(recording: Recording) -> None:
        for message in recording.said(kind):
            _has_number(message)


_has_a_number("DBIRTH", "payloads-dbirth-seq")
_has_a_number("NDATA", "payloads-ndata-seq")
_has_a_number("DDATA", "payloads-ddata-seq")
_has_a_number("DDEATH", "payloads-ddeath-seq", "payloads-ddeath-seq-number")


def _number_follows(kind: str, *ids: str) -> None:
    @holds(
        *ids,
        spoil=with_payload(one(kind), _skip),
        words=f"{kind} has the sequence number after that of the node's message before it, 0 after 255",
    )
    def check(recording: Recording) -> None:
        recording.said(kind)
        for before, message in _numbered(recording):
            if message.kind == kind:
                _follows(before, message)


_number_follows(
    "DBIRTH", "topics-dbirth-seq", "payloads-dbirth-seq-inc", "message-flow-device-birth-publish-dbirth-payload-seq"
)
_number_follows("NDATA", "topics-ndata-seq-num", "payloads-ndata-seq-inc")
_number_follows("DDATA", "topics-ddata-seq-num", "payloads-ddata-seq-inc")
_number_follows("DDEATH", "topics-ddeath-seq-num", "payloads-ddeath-seq-inc")


@holds("payloads-sequence-num-always-included", spoil=with_payload(one(*NUMBERED), clear("seq")))
def everything_but_ndeath_is_numbered(recording: Recording) -> None:
    """Every message but NDEATH has a sequence number."""
    for message in recording.messages:
        if message.kind != "NDEATH":
            _has_number(message)


@holds("payloads-sequence-num-incrementing", spoil=with_payload(one(*NUMBERED), put(seq=200)))
def numbers_run(recording: Recording) -> None:
    """After an NBIRTH every message of the node has one more than the one before, and 0 after 255."""
    wrapped = False
    for before, message in _numbered(recording):
        if message.kind != "NBIRTH":
            _follows(before, message)
            wrapped |= before.payload.seq == 255
    assert wrapped, "no session had more than 255 messages"


# --- timestamps


def _sent_now(message: Message) -> None:
    assert message.payload.HasField("timestamp"), message.topic
    off_ms = message.payload.timestamp - message.at_ms
    assert abs(off_ms) < CLOCK_MS, f"{message.topic} has a time {off_ms} ms from its own"


def _an_hour_ago(payload: Any) -> None:
    payload.timestamp -= 3_600_000


def _says_when(kind: str, words: str, change: Any, *ids: str) -> None:
    @holds(*ids, spoil=with_payload(one(kind), change), words=words.format(kind=kind))
    def check(recording: Recording) -> None:
        for message in recording.said(kind):
            _sent_now(message)


for _kind in ("NBIRTH", "DBIRTH", "NDATA", "DDATA"):
    _says_when(_kind, "{kind} says when it was sent", clear("timestamp"), f"topics-{_kind.lower()}-timestamp")
for _kind in NUMBERED:
    _says_when(
        _kind,
        "{kind} has a payload timestamp: when it was published",
        _an_hour_ago,
        f"payloads-{_kind.lower()}-timestamp",
    )


@holds(
    "payloads-timestamp-in-UTC",
    spoil=with_payload(one(*NUMBERED), lambda payload: put(timestamp=payload.timestamp + 19_800_000)(payload)),
)
def payload_times_are_utc(recording: Recording) -> None:
    """Payload timestamps are UTC, in ms; the daemons of the recording run in a time zone of +5:30."""
    for message in recording.messages:
        if message.kind != "NDEATH":
            _sent_now(message)


@holds(
    "payloads-metric-timestamp-in-UTC",
    spoil=with_payload(one("DDATA"), lambda payload: put(timestamp=payload.timestamp + 19_800_000)(payload.metrics[0])),
)
def metric_times_are_utc(recording: Recording) -> None:
    """Metric timestamps are UTC, in ms: none is before the recording or after its message was sent."""
    began_ms = recording.packets[0].at_ms - CLOCK_MS
    for message in recording.messages:
        for item in message.payload.metrics:
            if item.HasField("timestamp"):
                assert began_ms <= item.timestamp <= message.at_ms + CLOCK_MS, f"{message.topic} {item.name}"
