"""Rules about MQTT sessions: how a node connects, what it subscribes to, the will that it leaves, and how it ends (chapters 2.4, 2.5, 5.4, 5.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.sparkplug_conformance.packets import Fields
from tests.sparkplug_conformance.recording import Message, Packet, Recording, Session, middle
from tests.sparkplug_conformance.rules import (
    Spoil,
    first_metric,
    holds,
    one,
    put,
    with_mqtt,
    with_payload,
    with_raw,
)
from tests.sparkplug_conformance.schema import canonical, metric, value_of

INT64, DISCONNECT_WITH_WILL = 4, 0x04


def _sessions(recording: Recording, level: int | None = None) -> list[Session]:
    """Sessions of one MQTT version, or all."""
    found = [session for session in recording.sessions if level in (None, session.level)]
    assert found, "no session was recorded"
    return found


def _connects(change: Fields, level: int = 5) -> Spoil:
    """Some CONNECT packet says something else."""
    return lambda recording: recording.changed(middle(_sessions(recording, level)).connect, **change)


def _before(session: Session, first: Packet, then: Packet) -> bool:
    return session.place[first] < session.place[then]


# --- connecting


@holds(
    "principles-birth-certificates-order",
    spoil=lambda recording: _behind(
        recording, recording.born[0].said("NBIRTH")[0], recording.born[0].said("DBIRTH")[0]
    ),
)
def births_come_first(recording: Recording) -> None:
    """The NBIRTH is the first message of a session (before it only the NDEATH of one that ends without its primary host)."""
    for session in recording.born:
        assert session.messages[0].kind == "NBIRTH", session.messages[0].topic
    for session in recording.sessions:
        if not session.said("NBIRTH"):
            assert {message.kind for message in session.messages} <= {"NDEATH"}


def _behind(recording: Recording, what: Message, behind: Message) -> Recording:
    return recording.moved(what.packet, behind.packet)


@holds("principles-persistence-clean-session-311", spoil=_connects({"clean": False}, level=4))
def clean_session_on_311(recording: Recording) -> None:
    """MQTT 3.1.1: the CONNECT packet has Clean Session true."""
    assert all(session.connect.fields["clean"] for session in _sessions(recording, 4))


@holds("principles-persistence-clean-session-50", spoil=_connects({"properties": {"session_expiry_s": 60}}))
def clean_start_on_5(recording: Recording) -> None:
    """MQTT 5: the CONNECT packet has Clean Start true and a Session Expiry Interval of 0 (which is what no interval means)."""
    for session in _sessions(recording, 5):
        assert session.connect.fields["clean"]
        assert session.connect.fields["properties"].get("session_expiry_s", 0) == 0


@holds(
    "message-flow-edge-node-birth-publish-connect",
    spoil=lambda recording: recording.moved(_accepted(recording.born[0]), recording.born[0].said("DBIRTH")[0].packet),
)
def a_session_before_the_births(recording: Recording) -> None:
    """The server has accepted the connection before NBIRTH and DBIRTH are published."""
    for session in recording.born:
        for birth in session.said("NBIRTH", "DBIRTH"):
            assert _before(session, _accepted(session), birth.packet)


def _accepted(session: Session) -> Packet:
    assert session.accepted is not None, "the server never accepted the connection"
    return session.accepted


def _filtered(topic_part: str, change: dict[str, Any]) -> Spoil:
    """Some subscription is another."""

    def spoil(recording: Recording) -> Recording:
        subscribe = middle(recording.born).up("SUBSCRIBE")[0]
        filters = [item | (change if topic_part in item["topic"] else {}) for item in subscribe.fields["filters"]]
        return recording.changed(subscribe, filters=filters)

    return spoil


def _subscribed_first(session: Session) -> None:
    granted = session.down("SUBACK")[0]
    assert all(code <= 2 for code in granted.fields["codes"]), "the server refused a subscription"
    assert _before(session, granted, session.said("NBIRTH")[0].packet)


@holds("message-flow-edge-node-ncmd-subscribe", spoil=_filtered("/NCMD/", {"qos": 0}))
def node_commands_are_subscribed(recording: Recording) -> None:
    """The node subscribes to its NCMD topic with QoS 1; here: and that is answered before the NBIRTH."""
    for session in recording.born:
        assert session.filters.get(session.node.topic("NCMD")) == 1, session.filters
        _subscribed_first(session)


@holds("message-flow-device-dcmd-subscribe", spoil=_filtered("/DCMD/", {"topic": "spBv1.0/north-works/DCMD/press0/+"}))
def device_commands_are_subscribed(recording: Recording) -> None:
    """The DCMD topic of every device that can be written to is subscribed to with QoS 1."""
    for session in recording.born:
        for device in session.node.devices:
            own, every = session.node.topic("DCMD", device), session.node.topic("DCMD", "+")
            assert session.filters.get(own, session.filters.get(every)) == 1, session.filters
        _subscribed_first(session)


# --- the will


@holds(
    "message-flow-edge-node-birth-publish-will-message",
    "payloads-ndeath-will-message",
    spoil=_connects({"will": None}),
)
def every_session_leaves_a_will(recording: Recording) -> None:
    """Every CONNECT registers an NDEATH as its will; here: and the host received just those bytes when the daemon was killed."""
    assert all(session.will is not None for session in _sessions(recording))
    _nobody_else_speaks(recording)
    heard = {
        packet.fields["payload"]
        for packet in recording.packets
        if packet.way == "down" and packet.kind == "PUBLISH" and "/NDEATH/" in packet.fields["topic"]
    }
    killed = [session for session in recording.born if not session.up("DISCONNECT") and session.will is not None]
    assert any(session.will is not None and session.will.raw.hex() in heard for session in killed), (
        "no will was executed"
    )


def _nobody_else_speaks(recording: Recording) -> None:
    """The daemon's other connections, also the one that asks for the MQTT version, have to do with no Sparkplug topic."""
    known = {session.connect.link for session in recording.sessions}
    for packet in recording.packets:
        topics = [packet.fields.get("topic", ""), *(item["topic"] for item in packet.fields.get("filters", ()))]
        if packet.way == "up" and any(topic.startswith("spBv1.0") for topic in topics):
            assert packet.link in known or recording.clients[packet.link] == "host", recording.clients[packet.link]


@holds(
    "message-flow-edge-node-birth-publish-will-message-topic",
    spoil=with_mqtt(one("WILL"), topic="spBv1.0/north-works/NDEATH"),
)
def the_will_is_on_the_ndeath_topic(recording: Recording) -> None:
    """The will's topic is spBv1.0/group/NDEATH/edge node."""
    for session in _sessions(recording):
        assert session.will is not None
        assert session.will.topic == session.node.topic("NDEATH")


@holds(
    "message-flow-edge-node-birth-publish-will-message-payload", spoil=with_raw(one("WILL"), lambda raw: raw + b"\x0a")
)
def the_will_is_protobuf(recording: Recording) -> None:
    """The will's payload is a Sparkplug protobuf payload."""
    assert recording.wills
    assert all(canonical(will.raw) for will in recording.wills)


def bd_seq(message: Message) -> int:
    """The bdSeq that a message says."""
    said: int = value_of(metric(message.payload, "bdSeq"))
    return said


def _numbers(recording: Recording) -> None:
    passed_the_end = False
    for node in recording.nodes:
        wanted = node.first_bd_seq
        for session in recording.sessions:
            if session.node != node:
                continue
            assert session.will is not None
            assert bd_seq(session.will) == wanted, f"{node.node}: bdSeq {bd_seq(session.will)}, not {wanted}"
            passed_the_end |= wanted == 255
            wanted = (wanted + 1) % 256
    assert passed_the_end, "no bdSeq of 255 was recorded"
    assert {0} < {node.first_bd_seq for node in recording.nodes}, "no node without a past was recorded"


def _other_bd_seq(payload: Any) -> None:
    metric(payload, "bdSeq").long_value += 1


@holds("topics-nbirth-bdseq-increment", spoil=with_payload(one("WILL"), _other_bd_seq))
def bd_seq_counts_connects(recording: Recording) -> None:
    """BdSeq starts at zero and is one more with every CONNECT packet, also those without an answer, and over restarts."""
    _numbers(recording)


@holds(
    "message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
    spoil=with_payload(one("WILL"), first_metric(put(datatype=8))),
)
def the_will_says_bd_seq(recording: Recording) -> None:
    """The will has bdSeq as Int64, one more than the CONNECT before, 0 after 255."""
    for will in recording.wills:
        item = metric(will.payload, "bdSeq")
        assert (item.datatype, item.WhichOneof("value")) == (INT64, "long_value")
    _numbers(recording)


@holds(
    "message-flow-edge-node-birth-publish-will-message-qos",
    "payloads-ndeath-will-message-qos",
    spoil=with_mqtt(one("WILL"), qos=0),
)
def the_will_has_qos_1(recording: Recording) -> None:
    """The will's QoS is 1."""
    assert recording.wills
    assert all(will.qos == 1 for will in recording.wills)


@holds(
    "message-flow-edge-node-birth-publish-will-message-will-retained",
    "payloads-ndeath-will-message-retain",
    spoil=with_mqtt(one("WILL"), retain=True),
)
def the_will_is_not_retained(recording: Recording) -> None:
    """The will is not retained."""
    assert recording.wills
    assert not any(will.retain for will in recording.wills)


# --- NDEATH


@holds(
    "topics-ndeath-payload",
    spoil=with_payload(one("NDEATH"), lambda payload: payload.metrics.add(name="why", string_value="x")),
)
def an_ndeath_says_bd_seq_alone(recording: Recording) -> None:
    """An NDEATH has one metric, bdSeq."""
    for death in recording.deaths:
        assert [item.name for item in death.payload.metrics] == ["bdSeq"]


@holds("topics-ndeath-seq", spoil=with_payload(one("NDEATH"), put(seq=0)))
def an_ndeath_has_no_number(recording: Recording) -> None:
    """An NDEATH has no sequence number."""
    assert not any(death.payload.HasField("seq") for death in recording.deaths)


@holds("payloads-ndeath-seq", spoil=with_payload(one("WILL"), put(seq=7)))
def no_ndeath_has_a_number(recording: Recording) -> None:
    """No NDEATH, will or published, has a sequence number."""
    assert not any(death.payload.HasField("seq") for death in recording.deaths)


@holds("payloads-ndeath-bdseq", spoil=with_payload(one("NDEATH"), _other_bd_seq))
def an_ndeath_has_the_bd_seq_of_its_nbirth(recording: Recording) -> None:
    """An NDEATH has the bdSeq of the NBIRTH that it ends."""
    ended = [session for session in recording.born if session.said("NDEATH")]
    assert ended
    for session in ended:
        assert session.will is not None
        births = {bd_seq(birth) for birth in session.said("NBIRTH")}
        assert {bd_seq(death) for death in (session.will, *session.said("NDEATH"))} == births


# --- leaving


def _left(recording: Recording, level: int | None = None) -> list[Session]:
    """Sessions that the node ended by itself."""
    found = [session for session in _sessions(recording, level) if session.up("DISCONNECT")]
    assert found, "no session was ended in order"
    return found


def _ndeath_precedes(session: Session) -> None:
    disconnect = session.up("DISCONNECT")[0]
    deaths = session.said("NDEATH")
    assert deaths, "no NDEATH before the DISCONNECT"
    assert _before(session, deaths[-1].packet, disconnect)
    assert session.messages[-1] is deaths[-1], "something was said after the NDEATH"


def _no_ndeath(level: int | None) -> Spoil:
    return lambda recording: recording.exchanged(_left(recording, level)[0].said("NDEATH")[0].packet)


@holds(
    "operational-behavior-edge-node-intentional-disconnect-ndeath",
    "payloads-ndeath-will-message-publisher",
    spoil=_no_ndeath(5),
)
def an_ndeath_before_leaving(recording: Recording) -> None:
    """A node that leaves by itself publishes an NDEATH before it does."""
    for session in _left(recording):
        _ndeath_precedes(session)


@holds(
    "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
    spoil=lambda recording: recording.moved(
        _left(recording, 4)[0].said("NDEATH")[0].packet, _left(recording, 4)[0].up("DISCONNECT")[0]
    ),
)
def an_ndeath_before_a_disconnect_on_311(recording: Recording) -> None:
    """MQTT 3.1.1: the NDEATH is published before the DISCONNECT packet."""
    for session in _left(recording, 4):
        _ndeath_precedes(session)


@holds(
    "payloads-ndeath-will-message-publisher-disconnect-mqtt50",
    spoil=lambda recording: recording.changed(_left(recording, 5)[0].up("DISCONNECT")[0], code=0),
)
def disconnect_with_will_on_5(recording: Recording) -> None:
    """MQTT 5: the DISCONNECT packet has the reason code `Disconnect with Will Message`."""
    for session in _left(recording, 5):
        assert session.up("DISCONNECT")[0].fields["code"] == DISCONNECT_WITH_WILL


@holds(
    "operational-behavior-edge-node-intentional-disconnect-packet",
    spoil=lambda recording: recording.exchanged(
        _left(recording)[-1].up("DISCONNECT")[0],
        replace(_left(recording)[-1].messages[0].packet),
        _left(recording)[-1].up("DISCONNECT")[0],
    ),
)
def a_disconnect_right_after_the_ndeath(recording: Recording) -> None:
    """The DISCONNECT packet follows the published NDEATH at once."""
    ended = [session for session in recording.sessions if session.said("NDEATH")]
    assert ended
    for session in ended:
        sent = [packet for packet in session.packets if packet.way == "up" and packet.kind not in {"CLOSE", "PUBACK"}]
        assert sent[sent.index(session.said("NDEATH")[-1].packet) + 1].kind == "DISCONNECT"
