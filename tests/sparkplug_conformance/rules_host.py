"""Rules about the primary host: births wait for it, its going ends the session, words of the past change nothing, one server at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.sparkplug_conformance.recording import DATA, Node, Packet, Recording, Session
from tests.sparkplug_conformance.rules import Spoil, holds

SOON_MS = 1_000.0
AWAY_LINK = 99_999  # a connection that no recording has


@dataclass(frozen=True)
class Word:
    """What a node received about its host, and whether it is newer than all that this server sent before."""

    session: Session
    packet: Packet
    heard: Packet  # its acknowledgement: now the node has it
    host: str
    online: bool
    stamp_ms: int
    valid: bool


def _walker(recording: Recording) -> Node:
    """The node that has several servers."""
    return next(node for node in recording.nodes if len(node.relays) > 1)


def _sessions(recording: Recording, node: Node | None = None) -> list[Session]:
    """The sessions of a node, or of all nodes that wait for a host."""
    found = [
        session
        for session in recording.sessions
        if session.node.primary_host is not None and node in (None, session.node)
    ]
    assert len(found) > 1, "the node did not come back"
    return found


def _words(recording: Recording) -> list[Word]:
    """Every STATE message that reached the node, in order."""
    newest: dict[str, int] = {}
    found = []
    for session in _sessions(recording):
        for packet in session.down("PUBLISH"):
            if not packet.fields["topic"].startswith("spBv1.0/STATE/"):
                continue
            said = json.loads(bytes.fromhex(packet.fields["payload"]))
            host = packet.fields["topic"].split("/")[-1]
            heard = _acknowledgement(session, packet)
            if heard is None:
                continue
            own = host == session.node.primary_host
            valid = own and said["timestamp"] >= newest.get(packet.relay, 0)
            if valid:
                newest[packet.relay] = said["timestamp"]
            found.append(Word(session, packet, heard, host, said["online"], said["timestamp"], valid))
    assert found, "no STATE message reached the node"
    return found


def _acknowledgement(session: Session, packet: Packet) -> Packet | None:
    """The PUBACK of a message; None when the connection ended before."""
    for answer in session.up("PUBACK"):
        same = answer.fields["packet_id"] == packet.fields["packet_id"]
        if same and session.place[answer] > session.place[packet]:
            return answer
    return None


def _birth_place(session: Session) -> int:
    """Where the first birth stands among the session's packets."""
    return session.place[session.said("NBIRTH", "DBIRTH")[0].packet]


def _before_births(recording: Recording, node: Node | None = None) -> list[tuple[Session, list[Word]]]:
    """The sessions with births, and what the node had received before them on that connection."""
    words = _words(recording)
    found = [
        (
            session,
            [word for word in words if word.session is session and session.place[word.heard] < _birth_place(session)],
        )
        for session in _sessions(recording, node)
        if session.said("NBIRTH")
    ]
    assert found, "the node was never born"
    return found


def _unborn(recording: Recording) -> list[Word]:
    """What the node received in sessions that ended, or had gone on for a while, without a birth."""
    return [word for word in _words(recording) if not _born_before(word)]


def _said(word: Word, **change: object) -> Packet:
    """The packet of a word that says something else."""
    document = json.loads(bytes.fromhex(word.packet.fields["payload"])) | change
    return replace(word.packet, fields=word.packet.fields | {"payload": json.dumps(document).encode().hex()})


def _let_in(recording: Recording, place: int = 0) -> Word:
    """The word after which the node with several servers was born, in one of its sessions."""
    return _before_births(recording, _walker(recording))[place][1][-1]


def _other_word(place: int, **change: object) -> Spoil:
    return lambda recording: recording.exchanged(
        _let_in(recording, place).packet, _said(_let_in(recording, place), **change)
    )


# --- before the births


@holds(
    "message-flow-edge-node-birth-publish-phid-wait",
    spoil=lambda recording: recording.exchanged(_let_in(recording).packet),
)
def births_wait_for_the_host(recording: Recording) -> None:
    """With a primary host, births come after a STATE message with online."""
    for _, words in _before_births(recording):
        assert any(word.online for word in words), "born without a word of the host"


def _of_another_host(recording: Recording) -> Recording:
    word = _let_in(recording)
    return recording.changed(word.packet, topic="spBv1.0/STATE/another")


@holds("message-flow-edge-node-birth-publish-phid-wait-id", spoil=_of_another_host)
def births_wait_for_the_right_host(recording: Recording) -> None:
    """The host's id, last in the STATE topic, is the configured one; here: another host was online on that server all the time."""
    others = {
        packet.relay
        for packet in recording.packets
        if packet.way == "up" and packet.fields.get("topic") == "spBv1.0/STATE/another"
    }
    assert others & set(_walker(recording).relays), "no other host was there"
    for session, words in _before_births(recording):
        assert any(word.online and word.host == session.node.primary_host for word in words)


@holds("message-flow-edge-node-birth-publish-phid-wait-online", spoil=_other_word(0, online=False))
def births_wait_for_online(recording: Recording) -> None:
    """The host counts as online only when `online` is true; here: where it was false there was no birth."""
    assert any(not word.online for word in _unborn(recording)), "no host was offline before a birth"
    for _, words in _before_births(recording):
        assert words
        assert words[-1].online


@holds("message-flow-edge-node-birth-publish-phid-wait-timestamp", spoil=_other_word(2, timestamp=4_400))
def births_wait_for_a_new_word(recording: Recording) -> None:
    """The word's timestamp is not older than the last one on that server; here: after an old `online` there was no birth."""
    assert any(word.online and not word.valid for word in _unborn(recording)), "no old word said online"
    for _, words in _before_births(recording):
        assert words
        assert words[-1].online
        assert words[-1].valid, f"born after a word of {words[-1].stamp_ms}"


@holds(
    "operational-behavior-edge-node-birth-sequence-wait",
    spoil=lambda recording: recording.moved(
        _let_in(recording, 1).heard, _before_births(recording, _walker(recording))[1][0].said("DBIRTH")[0].packet
    ),
)
def births_wait_on_every_server(recording: Recording) -> None:
    """On each server, births wait until the host is reported online there."""
    found = _before_births(recording, _walker(recording))
    assert len({session.connect.relay for session, _ in found}) > 1, "births on one server only"
    for _, words in found:
        assert words
        assert words[-1].online
        assert words[-1].valid


# --- the host goes


def _born_before(word: Word) -> bool:
    """Whether the node was born in this session when it heard a word."""
    return bool(word.session.said("NBIRTH")) and _birth_place(word.session) < word.session.place[word.heard]


def _farewells(recording: Recording) -> list[Word]:
    """Words that the host is offline and that are to be obeyed: not those that a node with one server heard while it waited for births."""
    found = [
        word
        for word in _words(recording)
        if word.valid and not word.online and (_born_before(word) or len(word.session.node.relays) > 1)
    ]
    assert any(_born_before(word) for word in found), "the host never left a session with births"
    return found


def _after(word: Word, packets: list[Packet]) -> list[Packet]:
    place = word.session.place
    return [
        packet for packet in packets if place[packet] > place[word.heard] and packet.at_ms - word.packet.at_ms < SOON_MS
    ]


def _spoil_farewell(what: Callable[[Session], Packet]) -> Spoil:
    def spoil(recording: Recording) -> Recording:
        word = next(word for word in _farewells(recording) if _born_before(word))
        return recording.exchanged(what(word.session))

    return spoil


@holds(
    "message-flow-edge-node-birth-publish-phid-offline",
    spoil=_spoil_farewell(lambda session: session.said("NDEATH")[0].packet),
)
def the_end_of_the_host_ends_the_session(recording: Recording) -> None:
    """When the host reports offline, not earlier than its last STATE, the node at once publishes its NDEATH, disconnects and starts a new session."""
    for word in _farewells(recording):
        deaths = _after(word, [message.packet for message in word.session.said("NDEATH")])
        disconnects = _after(word, word.session.up("DISCONNECT"))
        assert deaths
        assert disconnects
        assert word.session.place[deaths[0]] < word.session.place[disconnects[0]]
        assert _next(recording, word)


@holds(
    "operational-behavior-edge-node-termination-host-offline",
    spoil=_spoil_farewell(lambda session: session.up("DISCONNECT")[0]),
)
def the_end_of_the_host_disconnects(recording: Recording) -> None:
    """When `online` is false and the timestamp not older than the last, the node disconnects from the server."""
    for word in _farewells(recording):
        assert _after(word, word.session.up("DISCONNECT"))


def _next(recording: Recording, word: Word) -> Session:
    sessions = _sessions(recording, word.session.node)
    place = sessions.index(word.session) + 1
    assert place < len(sessions), "the node did not come back"
    return sessions[place]


def _no_return(recording: Recording) -> Recording:
    """After its host's last farewell the node connects no more."""
    return recording.exchanged(_next(recording, _farewells_of_the_walker(recording)[-1]).connect)


@holds("operational-behavior-edge-node-termination-host-offline-reconnect", spoil=_no_return)
def the_node_comes_back(recording: Recording) -> None:
    """After it left because of its host, the node tries to connect again, to the next server where there is one."""
    for word in _farewells(recording):
        assert _next(recording, word).connect.at_ms - word.packet.at_ms < 5 * SOON_MS


def _left_too_early(recording: Recording) -> Recording:
    word = next(word for word in _words(recording) if not word.valid and not word.online)
    return recording.moved(word.session.up("DISCONNECT")[0], word.heard)


@holds("operational-behavior-edge-node-termination-host-offline-timestamp", spoil=_left_too_early)
def an_old_farewell_is_ignored(recording: Recording) -> None:
    """When the timestamp of an `offline` is older than the last word, the node stays connected and publishes on."""
    old = [word for word in _words(recording) if not word.valid and not word.online]
    assert old, "no old word said offline"
    for word in old:
        place = word.session.place
        later = [message for message in word.session.said(*DATA) if place[message.packet] > place[word.heard]]
        assert later, "nothing was published after it"
        obeyed = [end for end in _farewells(recording) if end.session is word.session]
        for end in word.session.up("DISCONNECT"):
            assert any(place[word.heard] < place[other.heard] < place[end] for other in obeyed), "it was obeyed"


# --- several servers


def _no_state(recording: Recording) -> Recording:
    subscribe = _sessions(recording, _walker(recording))[1].up("SUBSCRIBE")[0]
    filters = [item for item in subscribe.fields["filters"] if "STATE" not in item["topic"]]
    return recording.changed(subscribe, filters=filters)


@holds("operational-behavior-primary-application-state-with-multiple-servers-state-subs", spoil=_no_state)
def the_hosts_state_is_subscribed(recording: Recording) -> None:
    """A node with a primary host subscribes to its STATE on every server."""
    for session in _sessions(recording):
        assert f"spBv1.0/STATE/{session.node.primary_host}" in session.filters


def _second_connection(recording: Recording) -> Recording:
    session = next(session for session in _sessions(recording, _walker(recording)) if session.said("DDATA"))
    other = next(relay for relay in session.node.relays if relay != session.connect.relay)
    packet = session.said("DDATA")[0].packet
    return recording.exchanged(packet, packet, replace(session.connect, relay=other, link=AWAY_LINK))


@holds("operational-behavior-primary-application-state-with-multiple-servers-single-server", spoil=_second_connection)
def one_server_at_a_time(recording: Recording) -> None:
    """A node is connected to one server at a time."""
    assert len({session.connect.relay for session in _sessions(recording)}) > 1, "one server only"
    owners = {session.connect.link: session.node.node for session in recording.sessions}
    connected: dict[str, int] = {}
    for packet in recording.packets:
        owner = owners.get(packet.link)
        if owner is None:
            continue
        if packet.kind == "CONNECT":
            assert owner not in connected, f"{owner} connects twice"
            connected[owner] = packet.link
        elif packet.kind in {"DISCONNECT", "CLOSE"} and connected.get(owner) == packet.link:
            del connected[owner]


def _farewells_of_the_walker(recording: Recording) -> list[Word]:
    return [word for word in _farewells(recording) if word.session.node == _walker(recording)]


def _not_the_next(recording: Recording) -> Recording:
    word = _farewells_of_the_walker(recording)[0]
    following = _next(recording, word)
    return recording.exchanged(following.connect, replace(following.connect, relay=word.session.connect.relay))


@holds("operational-behavior-primary-application-state-with-multiple-servers-walk", spoil=_not_the_next)
def the_node_walks(recording: Recording) -> None:
    """When the host is offline on a server, the node ends its session there and goes to the next one."""
    relays = _walker(recording).relays
    for word in _farewells_of_the_walker(recording):
        assert _after(word, word.session.up("DISCONNECT"))
        here, there = word.session.connect.relay, _next(recording, word).connect.relay
        assert there == relays[(relays.index(here) + 1) % len(relays)]
