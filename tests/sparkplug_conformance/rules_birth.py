"""Rules about NBIRTH and DBIRTH: what they are, what they hold, when they come (chapters 4.2, 5.4, 5.6, 5.14, 5.15, 6.4)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.sparkplug_conformance.recording import BIRTHS, DATA, Message, Recording, Session
from tests.sparkplug_conformance.rules import (
    Spoil,
    clear,
    first_metric,
    holds,
    of,
    one,
    put,
    with_payload,
    with_raw,
    without,
)
from tests.sparkplug_conformance.rules_session import bd_seq
from tests.sparkplug_conformance.schema import canonical, metric, value_of

REBIRTH, BOOLEAN, INT64 = "Node Control/Rebirth", 11, 4
BIRTH_OF = {"NDATA": "NBIRTH", "DDATA": "DBIRTH"}
LATE_MS = 3_000.0  # a camera's first new picture and its birth are at most so far apart


# --- bdSeq


def _births(recording: Recording) -> Iterator[tuple[Session, Message]]:
    recording.said("NBIRTH")
    for session in recording.born:
        for birth in session.said("NBIRTH"):
            yield session, birth


def _other_bd_seq(payload: Any) -> None:
    metric(payload, "bdSeq").long_value += 1


@holds(
    "topics-nbirth-bdseq-included",
    "payloads-nbirth-bdseq",
    spoil=with_payload(one("NBIRTH"), first_metric(put(name="bdseq"), "bdSeq")),
)
def an_nbirth_has_bd_seq(recording: Recording) -> None:
    """An NBIRTH has a bdSeq metric."""
    for _, birth in _births(recording):
        assert "bdSeq" in {item.name for item in birth.payload.metrics}


@holds("topics-nbirth-bdseq-matching", "payloads-nbirth-bdseq-repeat", spoil=with_payload(one("NBIRTH"), _other_bd_seq))
def bd_seq_is_that_of_the_will(recording: Recording) -> None:
    """An NBIRTH's bdSeq is the one of the will in the CONNECT packet before."""
    for session, birth in _births(recording):
        assert session.will is not None
        assert bd_seq(birth) == bd_seq(session.will)


@holds(
    "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq",
    spoil=with_payload(one("NBIRTH"), first_metric(put(datatype=8), "bdSeq")),
)
def bd_seq_is_int64(recording: Recording) -> None:
    """An NBIRTH's bdSeq is Int64 and that of the CONNECT packet before."""
    for session, birth in _births(recording):
        item = metric(birth.payload, "bdSeq")
        assert (item.datatype, item.WhichOneof("value")) == (INT64, "long_value")
        assert session.will is not None
        assert bd_seq(birth) == bd_seq(session.will)


# --- Node Control/Rebirth


def _rebirth_metric(*ids: str, words: str, change: Any, **wanted: Any) -> None:
    @holds(*ids, spoil=with_payload(one("NBIRTH"), first_metric(change, REBIRTH)), words=words)
    def check(recording: Recording) -> None:
        for _, birth in _births(recording):
            item = metric(birth.payload, REBIRTH)
            assert {name: getattr(item, name) for name in wanted} == wanted
            assert item.WhichOneof("value") == "boolean_value" or "boolean_value" not in wanted


_rebirth_metric(
    "topics-nbirth-rebirth-metric",
    words="An NBIRTH has `Node Control/Rebirth`, Boolean, false",
    change=put(datatype=3),
    name=REBIRTH,
    datatype=BOOLEAN,
    boolean_value=False,
)
_rebirth_metric(
    "payloads-nbirth-rebirth-req",
    words="An NBIRTH has `Node Control/Rebirth` with the boolean value false",
    change=put(boolean_value=True),
    boolean_value=False,
)
_rebirth_metric(
    "operational-behavior-data-commands-rebirth-name",
    words="An NBIRTH has a metric `Node Control/Rebirth`",
    change=put(name="Node Control/rebirth"),
    name=REBIRTH,
)
_rebirth_metric(
    "operational-behavior-data-commands-rebirth-datatype",
    words="`Node Control/Rebirth` is a Boolean",
    change=put(datatype=12),
    datatype=BOOLEAN,
)
_rebirth_metric(
    "operational-behavior-data-commands-rebirth-value",
    words="`Node Control/Rebirth` is false",
    change=clear("boolean_value"),
    boolean_value=False,
)


# --- the payload as a whole


def _protobuf(name: str, kind: str) -> None:
    @holds(
        name,
        spoil=with_raw(one(kind), lambda raw: raw[:-1]),
        words=f"The {kind} payload is a Sparkplug protobuf payload",
    )
    def check(recording: Recording) -> None:
        assert all(canonical(message.raw) for message in recording.said(kind))


_protobuf("message-flow-edge-node-birth-publish-nbirth-payload", "NBIRTH")
_protobuf("message-flow-device-birth-publish-dbirth-payload", "DBIRTH")


def _declared(recording: Recording, kind: str) -> Iterator[tuple[Message, Message]]:
    """Every data message of a type with the birth that it stands on."""
    recording.said(kind)
    for session in recording.born:
        births: dict[str | None, Message] = {}
        for message in session.messages:
            if message.kind == BIRTH_OF[kind]:
                births[message.device] = message
            elif message.kind == kind:
                assert message.device in births, f"{message.topic} before its birth"
                yield message, births[message.device]


def _undeclared(kind: str) -> Spoil:
    """A metric that data say later is missing in their birth."""

    def spoil(recording: Recording) -> Recording:
        data, birth = next(iter(_declared(recording, kind)))
        name = data.payload.metrics[0].name

        def remove(payload: Any) -> None:
            rest = [item for item in payload.metrics if item.name != name]
            payload.ClearField("metrics")
            payload.metrics.extend(rest)

        return recording.rewritten(birth, remove)

    return spoil


def _complete(kind: str, *ids: str, words: str) -> None:
    @holds(*ids, spoil=_undeclared(kind), words=words)
    def check(recording: Recording) -> None:
        for data, birth in _declared(recording, kind):
            undeclared = {item.name for item in data.payload.metrics} - {item.name for item in birth.payload.metrics}
            assert not undeclared, undeclared


_complete("NDATA", "topics-nbirth-metric-reqs", words="An NBIRTH has every metric that the node ever reports")
_complete(
    "NDATA",
    "operational-behavior-data-publish-nbirth",
    words="An NBIRTH has every metric that the node publishes in its session",
)
_complete("DDATA", "topics-dbirth-metric-reqs", words="A DBIRTH has every metric that the device ever reports")
_complete(
    "DDATA",
    "operational-behavior-data-publish-dbirth",
    words="A DBIRTH has every metric that the device publishes in its session",
)


def _minimum(name: str, kind: str) -> None:
    @holds(
        name,
        spoil=with_payload(one(kind), first_metric(clear("datatype"))),
        words=f"Every metric of {kind} has name, datatype and current value, or says that it is null",
    )
    def check(recording: Recording) -> None:
        for message in recording.said(kind):
            assert message.payload.metrics
            for item in message.payload.metrics:
                assert item.name
                assert item.HasField("datatype"), item.name
                assert item.is_null or item.WhichOneof("value"), item.name


_minimum("topics-nbirth-metrics", "NBIRTH")
_minimum("topics-dbirth-metrics", "DBIRTH")


def _said_before(session: Session) -> Iterator[tuple[Message, Any, Any]]:
    """Every metric of a birth with what the session said of it last, or None."""
    known: dict[tuple[str | None, str], Any] = {}
    for message in session.messages:
        for item in message.payload.metrics:
            if message.kind in BIRTHS:
                yield message, item, known.get((message.device, item.name))
            if message.kind in BIRTHS + DATA and not item.is_historical:
                known[message.device, item.name] = item


def _outdated(kind: str) -> Spoil:
    """A birth in a running session says something older than what was said already."""

    def spoil(recording: Recording) -> Recording:
        message, item, before = next(
            (message, item, before)
            for session in recording.born
            for message, item, before in _said_before(session)
            if message.kind == kind and before is not None and item.string_value and not before.HasField("datatype")
        )
        assert before is not None
        return recording.rewritten(message, first_metric(put(string_value="something else"), item.name))

    return spoil


def _current(name: str, kind: str) -> None:
    @holds(
        name,
        spoil=_outdated(kind),
        words=f"{kind} has the current value of every metric; where that is null it says is_null and no value",
    )
    def check(recording: Recording) -> None:
        compared = 0
        for session in recording.born:
            for message, item, before in _said_before(session):
                if message.kind != kind:
                    continue
                assert item.is_null is (item.WhichOneof("value") is None), item.name
                if before is not None:
                    same = value_of(item) == value_of(before)
                    assert item.timestamp > before.timestamp or (item.timestamp == before.timestamp and same), item.name
                    compared += not before.HasField("datatype")
        assert compared, f"no {kind} followed data"


_current("operational-behavior-data-publish-nbirth-values", "NBIRTH")
_current("operational-behavior-data-publish-dbirth-values", "DBIRTH")


# --- the order of births and data


def _quiet_before(recording: Recording, session: Session, device: str, at_ms: float) -> bool:
    """Whether a device's camera was silent for as long as makes it dead, until just before a moment."""
    pictures = [0.0, *recording.pictures(session.node, device)]
    gaps = pairwise(pictures)
    return any(end - start >= session.node.stale_after_ms and at_ms - LATE_MS <= end <= at_ms for start, end in gaps)


def _birth_sequences(session: Session) -> Iterator[tuple[list[Message], list[Message]]]:
    """From NBIRTH to NBIRTH: the births that stand together at the beginning, and everything after."""
    parts: list[list[Message]] = []
    for message in session.messages:
        if message.kind == "NBIRTH":
            parts.append([])
        if parts:
            parts[-1].append(message)
    for part in parts:
        length = next((place for place, message in enumerate(part) if message.kind not in BIRTHS), len(part))
        yield part[:length], part[length:]


def _all_births_first(recording: Recording) -> None:
    """No data before all births; a DBIRTH comes later only for a camera that was silent."""
    for session in recording.born:
        for births, rest in _birth_sequences(session):
            assert births[0].kind == "NBIRTH"
            living = {message.device for message in births}
            for message in rest:
                if message.kind == "DBIRTH" and message.device is not None:
                    assert message.device not in living, f"{message.device} is born twice"
                    assert _quiet_before(recording, session, message.device, message.at_ms), f"late {message.topic}"
                    living.add(message.device)
                elif message.kind == "DDEATH":
                    living.discard(message.device)
                elif message.kind == "DDATA":
                    assert message.device in living, f"{message.topic} without a birth"


def _late_birth(kind: str) -> Spoil:
    """After a rebirth, when all cameras had been there for long, the last DBIRTH comes only after the first data."""

    def spoil(recording: Recording) -> Recording:
        births, rest = next(
            (births, rest)
            for session in recording.born
            for births, rest in list(_birth_sequences(session))[1:]
            if len(births) > 1
        )
        return recording.moved(births[-1].packet, next(message.packet for message in rest if message.kind == kind))

    return spoil


@holds("payloads-dbirth-order", spoil=_late_birth("DDATA"))
def device_births_follow_the_nbirth(recording: Recording) -> None:
    """DBIRTHs come right after the NBIRTH and before any data (a device that was away is born when it is back)."""
    recording.said("DBIRTH")
    _all_births_first(recording)


@holds("payloads-ndata-order", spoil=_late_birth("NDATA"))
def node_data_follow_the_births(recording: Recording) -> None:
    """NDATA are sent after the NBIRTH and all DBIRTHs."""
    recording.said("NDATA")
    _all_births_first(recording)


@holds("payloads-ddata-order", spoil=_late_birth("DDATA"))
def device_data_follow_the_births(recording: Recording) -> None:
    """DDATA are sent after the NBIRTH and all DBIRTHs."""
    recording.said("DDATA")
    _all_births_first(recording)


@holds("message-flow-device-birth-publish-nbirth-wait", spoil=without(of("press8", "NBIRTH")))
def no_dbirth_before_the_nbirth(recording: Recording) -> None:
    """A DBIRTH comes after the NBIRTH of its MQTT session."""
    recording.said("DBIRTH")
    for session in recording.sessions:
        for birth in session.said("DBIRTH"):
            before = [
                message
                for message in session.said("NBIRTH")
                if session.place[message.packet] < session.place[birth.packet]
            ]
            assert before, birth.topic
