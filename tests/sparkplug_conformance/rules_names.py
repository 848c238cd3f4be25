"""Rules about ids and topics (chapters 1, 4 and 5.2 of the specification)."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from tests.sparkplug_conformance.recording import DATA, Message, Node, Recording
from tests.sparkplug_conformance.rules import holds, of, one, with_token

NODE_KINDS = ("NBIRTH", "NDEATH", "NDATA")
DEVICE_KINDS = ("DBIRTH", "DDEATH", "DDATA")
FORBIDDEN_IN_TOPIC = frozenset("+#\0")
GROUP_AT, KIND_AT, NODE_AT, DEVICE_AT = 1, 2, 3, 4


def _of_nodes(recording: Recording) -> list[tuple[Node, Message]]:
    """Every message and every will, with the node that it is of."""
    found = [(session.node, message) for session in recording.sessions for message in session.messages]
    found += [(session.node, session.will) for session in recording.sessions if session.will is not None]
    assert found, "nothing was said"
    return found


def _tokens(recording: Recording, place: int) -> set[str]:
    """Every word that stands at one level of the topics."""
    found = {message.tokens[place] for _, message in _of_nodes(recording) if len(message.tokens) > place}
    assert found, f"no topic has a level {place}"
    return found


def _nature(message: Message) -> str:
    """The message type that the content has, whatever the topic says; data of nodes and of devices look alike."""
    names = [item.name for item in message.payload.metrics]
    if names == ["bdSeq"]:
        return "NDEATH"
    if "Node Control/Rebirth" in names:
        return "NBIRTH"
    if not names:
        return "DDEATH"
    return "DBIRTH" if message.payload.metrics[0].HasField("datatype") else "DATA"


# --- the three ids


def _utf8(text: str) -> bool:
    """Whether these characters came from UTF-8; the readers keep what did not as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _check_id(name: str, place: int, kind: str) -> None:
    @holds(
        f"intro-{name}-id-string",
        spoil=with_token(one(kind), place, "cam\udcff"),
        words=f"The {name} id is UTF-8 and, as it is configured, part of the topics",
    )
    def string(recording: Recording) -> None:
        for node, message in _of_nodes(recording):
            expected = {GROUP_AT: (node.group,), NODE_AT: (node.node,), DEVICE_AT: node.devices}[place]
            if len(message.tokens) > place:
                assert _utf8(message.tokens[place]), message.topic
                assert message.tokens[place] in expected, message.topic

    @holds(
        f"intro-{name}-id-chars",
        spoil=with_token(one(kind), place, "cam#1"),
        words=f"The {name} id has only characters that MQTT allows in a topic to publish to",
    )
    def chars(recording: Recording) -> None:
        for token in _tokens(recording, place):
            assert token, "an empty id"
            assert not FORBIDDEN_IN_TOPIC & set(token), token

    @holds(
        f"topic-structure-namespace-valid-{name}-id",
        spoil=with_token(one(kind), place, "cam+1"),
        words=f"The {name} id is UTF-8 without + / #",
    )
    def valid(recording: Recording) -> None:
        for token in _tokens(recording, place):
            assert _utf8(token), token
            assert not set("+/#") & set(token), token


_check_id("group", GROUP_AT, "NDATA")
_check_id("edge-node", NODE_AT, "NDATA")
_check_id("device", DEVICE_AT, "DDATA")


@holds(
    "intro-edge-node-id-uniqueness",
    "topic-structure-namespace-unique-edge-node-descriptor",
    "payloads-nbirth-edge-node-descriptor",
    spoil=with_token(of("press7", "NBIRTH"), NODE_AT, "press8"),
)
def one_client_for_each_descriptor(recording: Recording) -> None:
    """Group and edge node id together belong to one node: only one client is born under them (over a plant the site files see to it)."""
    owners: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for session in recording.sessions:
        for message in session.said("NBIRTH"):
            owners[message.tokens[GROUP_AT], message.tokens[NODE_AT]].add(session.node.client_id)
    assert len(owners) >= 2, "one node alone is always unique"
    assert all(len(clients) == 1 for clients in owners.values()), owners


@holds(
    "topic-structure-namespace-unique-device-id",
    spoil=with_token(of("press7", "DBIRTH", 1), DEVICE_AT, "cam1"),
)
def one_device_for_each_id(recording: Recording) -> None:
    """A device id belongs to one device of its node: it is not born twice without an end in between."""
    for session in recording.born:
        living: set[str | None] = set()
        for message in session.messages:
            if message.kind == "NBIRTH":
                living.clear()
            elif message.kind == "DDEATH":
                living.discard(message.device)
            elif message.kind == "DBIRTH":
                assert message.device not in living, f"{message.device} is born twice"
                living.add(message.device)


@holds(
    "topic-structure-namespace-duplicate-device-id-across-edge-node",
    spoil=with_token(of("press8", "DBIRTH"), DEVICE_AT, "cam7"),
)
def a_device_id_may_be_used_by_another_node(recording: Recording) -> None:
    """Two nodes may each have a device of one id: here they have, and both are born."""
    born = {(message.tokens[NODE_AT], message.device) for message in recording.said("DBIRTH")}
    sharing = [node for node in recording.nodes if "cam1" in node.devices]
    assert len(sharing) >= 2
    assert {(node.node, "cam1") for node in sharing} <= born


# --- topics


@holds("topic-structure", spoil=with_token(one("NDATA"), KIND_AT, "NEWS"))
def topics_have_the_structure(recording: Recording) -> None:
    """Topics are namespace/group/message type/edge node[/device]."""
    for node, message in _of_nodes(recording):
        allowed = {node.topic(kind) for kind in NODE_KINDS}
        allowed |= {node.topic(kind, device) for kind in DEVICE_KINDS for device in node.devices}
        assert message.topic in allowed, message.topic


@holds("topic-structure-namespace-a", spoil=with_token(one("DDATA"), 0, "spAv1.0"))
def the_namespace_is_b(recording: Recording) -> None:
    """The namespace is spBv1.0."""
    assert _tokens(recording, 0) == {"spBv1.0"}


@holds(
    "topic-structure-namespace-device-id-associated-message-types",
    spoil=lambda recording: recording.resent(
        one("DDATA")(recording), topic=one("DDATA")(recording).topic.rpartition("/")[0]
    ),
)
def device_messages_name_their_device(recording: Recording) -> None:
    """DBIRTH, DDEATH and DDATA have a device id in their topic, and DCMD is subscribed to with one."""
    for message in recording.said(*DEVICE_KINDS):
        assert message.device, message.topic
    for session in recording.born:
        assert all(topic.count("/") == DEVICE_AT for topic in session.filters if "/DCMD/" in topic)


@holds(
    "topic-structure-namespace-device-id-non-associated-message-types",
    spoil=lambda recording: recording.resent(one("NDATA")(recording), topic=one("NDATA")(recording).topic + "/cam1"),
)
def node_messages_name_no_device(recording: Recording) -> None:
    """NBIRTH, NDEATH and NDATA have no device id in their topic, and NCMD and STATE are subscribed to without one."""
    for message in recording.said(*NODE_KINDS) + recording.wills:
        assert message.device is None, message.topic
    for session in recording.born:
        assert all(topic.count("/") < DEVICE_AT for topic in session.filters if "/DCMD/" not in topic)


def _check_topic(kind: str, *ids: str) -> None:
    @holds(
        *ids,
        spoil=with_token(one(kind), KIND_AT, "NNEWS"),
        words=f"What by its content is {kind} is on that topic of its node",
    )
    def check(recording: Recording) -> None:
        device_kind = kind.startswith("D")
        wanted = "DATA" if kind in DATA else kind
        found = [(node, message) for node, message in _of_nodes(recording) if _nature(message) == wanted]
        assert any(message.kind == kind for _, message in found), f"no {kind}"
        for node, message in found:
            allowed = {node.topic(kind, device) for device in node.devices} if device_kind else {node.topic(kind)}
            if wanted == "DATA":
                allowed = {node.topic("NDATA"), *(node.topic("DDATA", device) for device in node.devices)}
            assert message.topic in allowed, message.topic


_check_topic("NBIRTH", "topics-nbirth-topic", "message-flow-edge-node-birth-publish-nbirth-topic")
_check_topic("NDATA", "topics-ndata-topic")
_check_topic("NDEATH", "topics-ndeath-topic")
_check_topic("DBIRTH", "topics-dbirth-topic", "message-flow-device-birth-publish-dbirth-topic")
_check_topic("DDATA", "topics-ddata-topic")
_check_topic("DDEATH", "topics-ddeath-topic")


@holds(
    "message-flow-device-birth-publish-dbirth-match-edge-node-topic", spoil=with_token(one("DBIRTH"), NODE_AT, "press0")
)
def device_births_match_the_node(recording: Recording) -> None:
    """A DBIRTH's group and edge node are those of the NBIRTH before it."""
    for session in recording.born:
        births = session.said("NBIRTH", "DBIRTH")
        assert births[0].kind == "NBIRTH"
        for before, birth in pairwise(births):
            assert before.tokens[GROUP_AT] == birth.tokens[GROUP_AT], birth.topic
            assert before.tokens[NODE_AT] == birth.tokens[NODE_AT], birth.topic


# --- upper and lower case


def _collide(names: set[str]) -> bool:
    return len({name.lower() for name in names}) < len(names)


@holds("case-sensitivity-sparkplug-ids", spoil=with_token(one("DDATA"), DEVICE_AT, "CAM1"))
def ids_differ_by_more_than_case(recording: Recording) -> None:
    """No two group ids, edge node ids or device ids are the same in lower case."""
    for place in (GROUP_AT, NODE_AT):
        assert not _collide(_tokens(recording, place))
    for node in recording.nodes:
        devices = {
            message.device for owner, message in _of_nodes(recording) if owner == node and message.device is not None
        }
        assert not _collide(devices), devices


@holds(
    "case-sensitivity-metric-names",
    spoil=lambda recording: recording.rewritten(
        one("DBIRTH")(recording), lambda payload: payload.metrics.add(name=payload.metrics[0].name.upper(), datatype=3)
    ),
)
def metric_names_differ_by_more_than_case(recording: Recording) -> None:
    """No two metric names of a node or device are the same in lower case."""
    names: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    for node, message in _of_nodes(recording):
        names[node.node, message.device] |= {item.name for item in message.payload.metrics}
    assert any(names.values())
    assert not any(_collide(found) for found in names.values())
