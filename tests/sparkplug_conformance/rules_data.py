"""Rules about NDATA, DDATA, rebirth and DDEATH: data by exception, complete, in order; what a rebirth request does; a device that is lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from tests.sparkplug_conformance.recording import BIRTHS, DATA, Message, Node, Packet, Recording, Session, parsed
from tests.sparkplug_conformance.rules import Spoil, first_metric, holds, one, with_payload
from tests.sparkplug_conformance.rules_session import bd_seq
from tests.sparkplug_conformance.schema import metric, value_of

ALARM_STATE, FLAG = "Alarms/{}/State", "Flags/{}/Active"
SAME_MS = 500.0  # how far the two accounts of one change may differ in time
UNSENT_MS = 500.0  # what was changed so shortly before an end without order may not have been said
REBIRTH = "Node Control/Rebirth"
SOON_MS = 3_000.0
NOTICED_MS = 2_000.0  # after the time that makes a camera silent


# --- report by exception


def _content(item: Any) -> tuple[Any, ...]:
    """What a metric says: value and quality."""
    quality = dict(zip(item.properties.keys, item.properties.values, strict=False)).get("Quality")
    return value_of(item), quality.int_value if quality is not None else 192


def _repeated(recording: Recording, kinds: tuple[str, ...]) -> list[str]:
    """What data say though it is what their session said last; history is not news by its nature."""
    found = []
    for session in recording.born:
        known: dict[tuple[str | None, str], tuple[Any, ...]] = {}
        for message in session.said(*BIRTHS, *DATA):
            for item in message.payload.metrics:
                if item.is_historical:
                    continue
                key = message.device, item.name
                if message.kind in kinds and known.get(key) == _content(item):
                    found.append(f"{message.topic} {item.name} {known[key]}")
                known[key] = _content(item)
    return found


def _said_twice(kind: str) -> Spoil:
    def spoil(recording: Recording) -> Recording:
        packet = next(
            message for message in recording.said(kind) if not message.payload.metrics[0].is_historical
        ).packet
        return recording.exchanged(packet, packet, replace(packet))

    return spoil


def _by_exception(words: str, *ids: str, kinds: tuple[str, ...]) -> None:
    @holds(*ids, spoil=_said_twice(kinds[0]), words=words)
    def check(recording: Recording) -> None:
        recording.said(*kinds)
        repeated = _repeated(recording, kinds)
        assert not repeated, repeated[:5]


_by_exception("Data are published when something changes, not by the clock", "principles-rbe-recommended", kinds=DATA)
_by_exception(
    "NDATA are published only when a metric of the node changes",
    "operational-behavior-data-publish-nbirth-change",
    kinds=("NDATA",),
)
_by_exception(
    "DDATA are published only when a metric of the device changes",
    "operational-behavior-data-publish-dbirth-change",
    kinds=("DDATA",),
)


# --- order in time


def _postpone(payload: Any) -> None:
    payload.metrics[0].timestamp += 10_000


def _chronological(name: str, kinds: tuple[str, ...]) -> None:
    @holds(
        name,
        spoil=with_payload(one(kinds[0]), _postpone),
        words=f"In {kinds[0]} and {kinds[1]} metrics stand in order of time, history apart",
    )
    def check(recording: Recording) -> None:
        several = 0
        for message in recording.said(*kinds):
            times = [item.timestamp for item in message.payload.metrics if not item.is_historical]
            assert times == sorted(times), message.topic
            several += message.kind in DATA and len(set(times)) > 1
        assert several, "no data message had metrics of several times"


_chronological("operational-behavior-data-publish-nbirth-order", ("NBIRTH", "NDATA"))
_chronological("operational-behavior-data-publish-dbirth-order", ("DBIRTH", "DDATA"))


# --- complete


def _told(recording: Recording, node: Node, branch: str, name: str, key: str) -> Iterator[tuple[str, float, Any]]:
    """What changed by the node's JSON topics: metric, time in ms, value."""
    last: dict[str, Any] = {}
    for document in recording.json(node, branch):
        subject, value = document.get("id", document.get("ch")), document[key]
        when = document["time"]["published"] if "time" in document else document["ts"]
        if subject not in last or last[subject] != value:
            yield name.format(subject), datetime.fromisoformat(when).timestamp() * 1000, value
        last[subject] = value


def _unfinished(recording: Recording, node: Node, at_ms: float) -> bool:
    """Whether a moment is before the node's first birth, just before a connection ended without order, or in a pause between two."""
    births = [
        message.at_ms for session in recording.sessions if session.node == node for message in session.said("NBIRTH")
    ]
    if at_ms < min(births):
        return True  # a birth has the newest values only
    for session in recording.sessions:
        end_ms = session.packets[-1].at_ms
        if session.node == node and not session.up("DISCONNECT") and end_ms - UNSENT_MS <= at_ms <= end_ms + UNSENT_MS:
            return True
    return False


def _complete(recording: Recording, kind: str) -> None:
    compared = 0
    for node in recording.nodes:
        said: dict[str, list[tuple[float, Any]]] = {}
        for session in recording.sessions:
            for message in session.said(*BIRTHS, *DATA) if session.node == node else ():
                for item in message.payload.metrics if message.kind[0] == kind[0] else ():
                    said.setdefault(item.name, []).append((item.timestamp, value_of(item)))
        changes = [
            *_told(recording, node, "alarm/", ALARM_STATE, "state"),
            *_told(recording, node, "flag/", FLAG, "on"),
        ]
        for name, at_ms, value in changes:
            if name in said and not _unfinished(recording, node, at_ms):
                found = any(known == value and abs(when - at_ms) <= SAME_MS for when, known in said[name])
                assert found, f"{node.node}: nothing says that {name} became {value} at {at_ms:.0f}"
                compared += 1
    assert compared > 10, f"{compared} changes to compare"


def _unsaid(kind: str, name: str, value: Any) -> Spoil:
    """A change that is said once only is not said."""

    def spoil(recording: Recording) -> Recording:
        session = next(session for session in recording.born if session.node.node == "press8")
        message = next(
            message
            for message in session.said(kind)
            if any(
                (item.name, value_of(item), item.is_historical) == (name, value, False)
                for item in message.payload.metrics
            )
        )
        return recording.rewritten(message, first_metric(lambda item: setattr(item, "name", "Lost"), name))

    return spoil


@holds("topics-ndata-payload", spoil=_unsaid("NDATA", "Alarms/hot/State", "UNACK_ALM"))
def node_changes_are_said(recording: Recording) -> None:
    """NDATA have the node's metrics that changed: each change of flag and alarm on the JSON topics is published here too."""
    recording.said("NDATA")
    _complete(recording, "NDATA")


@holds("topics-ddata-payload", spoil=_unsaid("DDATA", "Alarms/red1/State", "UNACK_ALM"))
def device_changes_are_said(recording: Recording) -> None:
    """DDATA have the device's metrics that changed: each change of flag and alarm on the JSON topics is published here too."""
    recording.said("DDATA")
    _complete(recording, "DDATA")


# --- rebirth


def _rebirths(recording: Recording) -> list[tuple[Session, Packet, Message]]:
    """Each rebirth request with the moment when the node had it (its acknowledgement), and the NBIRTH that answers."""
    found = []
    for session in recording.born:
        for request in session.down("PUBLISH"):
            if request.fields["topic"] != session.node.topic("NCMD") or not request.fields["qos"]:
                continue
            order = parsed(bytes.fromhex(request.fields["payload"]))
            if not any(item.name == REBIRTH and item.boolean_value for item in order.metrics):
                continue
            acknowledged = next(
                packet
                for packet in session.up("PUBACK")
                if packet.fields["packet_id"] == request.fields["packet_id"]
                and session.place[packet] > session.place[request]
            )
            after = [
                birth for birth in session.said("NBIRTH") if session.place[birth.packet] > session.place[acknowledged]
            ]
            assert after, "no NBIRTH answers the request"
            assert after[0].at_ms - request.at_ms < SOON_MS, "the NBIRTH comes late"
            found.append((session, acknowledged, after[0]))
    assert found, "no rebirth was asked for"
    return found


def _between(session: Session, first: Packet, last: Packet) -> list[Message]:
    return [
        message
        for message in session.messages
        if session.place[first] < session.place[message.packet] < session.place[last]
    ]


@holds(
    "operational-behavior-data-commands-rebirth-action-1",
    spoil=lambda recording: recording.moved(
        next(m for m in _rebirths(recording)[0][0].said("DDATA") if m.at_ms > _rebirths(recording)[0][2].at_ms).packet,
        _rebirths(recording)[0][1],
    ),
)
def a_rebirth_request_stops_data(recording: Recording) -> None:
    """After a rebirth request has arrived no data are sent before the births."""
    for session, acknowledged, birth in _rebirths(recording):
        before = [
            message for message in session.said(*DATA) if session.place[message.packet] < session.place[acknowledged]
        ]
        assert before, "no data were flowing"
        assert not [message for message in _between(session, acknowledged, birth.packet) if message.kind in DATA]


def _answered(recording: Recording) -> Iterator[tuple[Session, list[Message], set[str | None]]]:
    """The births that answer each request, and the devices that lived before it."""
    for session, acknowledged, birth in _rebirths(recording):
        living: set[str | None] = set()
        for message in session.messages:
            if session.place[message.packet] > session.place[acknowledged]:
                break
            if message.kind == "DBIRTH":
                living.add(message.device)
            elif message.kind == "DDEATH":
                living.discard(message.device)
        rest = session.messages[session.messages.index(birth) :]
        length = next(place for place, message in enumerate(rest) if message.kind not in BIRTHS)
        yield session, rest[:length], living


@holds(
    "operational-behavior-data-commands-rebirth-action-2",
    spoil=lambda recording: recording.exchanged(next(_answered(recording))[1][-1].packet),
)
def a_rebirth_is_complete(recording: Recording) -> None:
    """After a rebirth request come the NBIRTH and the DBIRTH of every device that lives."""
    for _, births, living in _answered(recording):
        assert living
        assert births[0].kind == "NBIRTH"
        assert {message.device for message in births[1:]} == living


def _other_bd_seq(payload: Any) -> None:
    metric(payload, "bdSeq").long_value += 1


@holds(
    "operational-behavior-data-commands-rebirth-action-3",
    spoil=with_payload(lambda recording: _rebirths(recording)[0][2], _other_bd_seq),
)
def a_rebirth_keeps_the_bd_seq(recording: Recording) -> None:
    """The NBIRTH after a rebirth request has the bdSeq of the will in the CONNECT packet before."""
    for session, _, birth in _rebirths(recording):
        assert session.will is not None
        assert bd_seq(birth) == bd_seq(session.will)


# --- DDEATH


def _silences(recording: Recording) -> Iterator[tuple[Session, str, float, float]]:
    """Every time that a camera sent nothing for so long, within one session, that it counts as lost."""
    for session in recording.born:
        began, ended = session.said("NBIRTH")[0].at_ms, session.packets[-1].at_ms
        for device in session.node.devices:
            times = [at_ms for at_ms in recording.pictures(session.node, device) if began <= at_ms <= ended]
            for last, first in pairwise(times):
                if first - last > session.node.stale_after_ms + 300.0:
                    yield session, device, last, first


@holds(
    "operational-behavior-device-ddeath",
    spoil=lambda recording: recording.exchanged(recording.said("DDEATH")[0].packet),
)
def a_lost_device_is_said_to_be_dead(recording: Recording) -> None:
    """When a camera sends nothing any more, its DDEATH is published."""
    silences = list(_silences(recording))
    assert silences, "no camera fell silent"
    for session, device, last_ms, first_ms in silences:
        deaths = [
            message.at_ms
            for message in session.said("DDEATH")
            if message.device == device and last_ms <= message.at_ms <= first_ms + 200.0
        ]
        assert deaths, f"{session.node.node}: {device} was silent and no DDEATH came"
        assert deaths[0] <= last_ms + session.node.stale_after_ms + NOTICED_MS
