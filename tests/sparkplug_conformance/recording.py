"""A conformance recording as the checks see it: nodes, their MQTT sessions, their messages, the cameras' pictures; and how to spoil it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar

from tests.sparkplug_conformance.packets import Fields
from tests.sparkplug_conformance.schema import read

T = TypeVar("T")
BIRTHS, DATA = ("NBIRTH", "DBIRTH"), ("NDATA", "DDATA")
NUMBERED = ("NBIRTH", "DBIRTH", "NDATA", "DDATA", "DDEATH")

parsed = lru_cache(maxsize=20_000)(read)


@dataclass(frozen=True, eq=False)
class Packet:
    """One line of the tape. Two packets are the same only if they are one."""

    at_ms: float
    relay: str
    link: int
    way: str
    kind: str
    fields: Fields


@dataclass(frozen=True, eq=False)
class Message:
    """A Sparkplug message that a node published, or the will that it left."""

    packet: Packet
    topic: str
    raw: bytes
    qos: int
    retain: bool

    @cached_property
    def tokens(self) -> list[str]:
        """The levels of its topic."""
        return self.topic.split("/")

    @property
    def kind(self) -> str:
        """The message type, as far as the topic has one."""
        return self.tokens[2] if len(self.tokens) > 2 else ""

    @property
    def device(self) -> str | None:
        """The device, as far as the topic has one."""
        return self.tokens[4] if len(self.tokens) > 4 else None

    @property
    def payload(self) -> Any:
        """As the protobuf runtime reads it; never to be changed."""
        return parsed(self.raw)

    @property
    def at_ms(self) -> float:
        """When it passed the relay."""
        return self.packet.at_ms


@dataclass(frozen=True)
class Node:
    """Who a node of the recording is, by its site file."""

    group: str
    node: str
    client_id: str
    devices: tuple[str, ...]
    relays: tuple[str, ...]
    first_bd_seq: int
    stale_after_ms: int
    primary_host: str | None

    def topic(self, kind: str, device: str | None = None) -> str:
        """One of its topics."""
        return f"spBv1.0/{self.group}/{kind}/{self.node}" + (f"/{device}" if device else "")


class Session:
    """One connection of a node's Sparkplug client, from CONNECT on."""

    def __init__(self, node: Node, packets: Sequence[Packet]) -> None:
        self.node = node
        self.packets = packets

    @cached_property
    def connect(self) -> Packet:
        """Its CONNECT packet."""
        return self.up("CONNECT")[0]

    @property
    def level(self) -> int:
        """4: MQTT 3.1.1; 5: MQTT 5."""
        return int(self.connect.fields["level"])

    @cached_property
    def accepted(self) -> Packet | None:
        """The CONNACK that let it in."""
        found = [packet for packet in self.down("CONNACK") if packet.fields["code"] == 0]
        return found[0] if found else None

    @cached_property
    def will(self) -> Message | None:
        """The will of its CONNECT."""
        will = self.connect.fields["will"]
        if will is None:
            return None
        return Message(self.connect, will["topic"], bytes.fromhex(will["payload"]), will["qos"], will["retain"])

    @cached_property
    def messages(self) -> list[Message]:
        """What the node published, in order."""
        return [
            Message(
                packet,
                packet.fields["topic"],
                bytes.fromhex(packet.fields["payload"]),
                packet.fields["qos"],
                packet.fields["retain"],
            )
            for packet in self.up("PUBLISH")
        ]

    def said(self, *kinds: str) -> list[Message]:
        """Messages of these types."""
        return [message for message in self.messages if message.kind in kinds]

    def up(self, kind: str) -> list[Packet]:
        """What the node sent."""
        return [packet for packet in self.packets if packet.way == "up" and packet.kind == kind]

    def down(self, kind: str) -> list[Packet]:
        """What the server sent."""
        return [packet for packet in self.packets if packet.way == "down" and packet.kind == kind]

    @property
    def filters(self) -> dict[str, int]:
        """What it subscribed to, with the QoS asked for."""
        return {item["topic"]: item["qos"] for packet in self.up("SUBSCRIBE") for item in packet.fields["filters"]}

    @cached_property
    def place(self) -> dict[Packet, int]:
        """The order of its packets."""
        return {packet: place for place, packet in enumerate(self.packets)}


class Recording:
    """The whole tape."""

    def __init__(self, packets: Sequence[Packet]) -> None:
        self.packets = list(packets)

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read a tape."""
        with path.open(encoding="utf-8") as lines:
            return cls([Packet(**json.loads(line)) for line in lines])

    @cached_property
    def nodes(self) -> list[Node]:
        """Every node that plays."""
        found = []
        for packet in self.packets:
            if packet.kind == "SITE":
                lists = {name: tuple(packet.fields[name]) for name in ("devices", "relays")}
                found.append(Node(**(packet.fields | lists)))
        return found

    @cached_property
    def clients(self) -> dict[int, str]:
        """Connection -> client id."""
        return {packet.link: packet.fields["client_id"] for packet in self.packets if packet.kind == "CONNECT"}

    @cached_property
    def sessions(self) -> list[Session]:
        """Every Sparkplug session, in the order of the CONNECT packets."""
        by_link: dict[int, list[Packet]] = {}
        for packet in self.packets:
            by_link.setdefault(packet.link, []).append(packet)
        owners = {node.client_id: node for node in self.nodes}
        return [Session(owners[client], by_link[link]) for link, client in self.clients.items() if client in owners]

    @cached_property
    def born(self) -> list[Session]:
        """The sessions with an NBIRTH."""
        return [session for session in self.sessions if session.said("NBIRTH")]

    @cached_property
    def messages(self) -> list[Message]:
        """Everything that the nodes published."""
        return [message for session in self.sessions for message in session.messages]

    def said(self, *kinds: str) -> list[Message]:
        """Messages of these types; there must be some, or there is nothing to judge."""
        found = [message for message in self.messages if message.kind in kinds]
        assert found, f"no {'/'.join(kinds)} was recorded"
        return found

    @cached_property
    def wills(self) -> list[Message]:
        """The will of every session that left one."""
        return [session.will for session in self.sessions if session.will is not None]

    @cached_property
    def deaths(self) -> list[Message]:
        """Every NDEATH: the wills, and those published."""
        published = [message for message in self.messages if message.kind == "NDEATH"]
        assert self.wills, "no will was recorded"
        assert published, "no NDEATH was published"
        return self.wills + published

    def pictures(self, node: Node, device: str) -> list[float]:
        """When the pictures of one camera were delivered."""
        topic = f"edge/v1/{node.node}/in/frame/{device}"
        return [packet.at_ms for packet in self._pictures if packet.fields["topic"] == topic]

    @cached_property
    def _pictures(self) -> list[Packet]:
        return [
            packet
            for packet in self.packets
            if packet.way == "down" and packet.kind == "PUBLISH" and "/in/frame/" in packet.fields["topic"]
        ]

    def json(self, node: Node, branch: str) -> list[Any]:
        """What the node said on its JSON topics, e.g. below ``alarm``: the other account of the same things."""
        prefix = f"edge/v1/{node.node}/{branch}"
        return [
            json.loads(bytes.fromhex(packet.fields["payload"]))
            for packet in self.packets
            if packet.way == "up"
            and packet.kind == "PUBLISH"
            and packet.fields["topic"].startswith(prefix)
            and packet.fields["payload"]
        ]

    # --- how it is spoilt: every verb gives a new recording in which one thing is different

    def changed(self, old: Packet, **fields: Any) -> Recording:
        """One packet says something else."""
        return self.exchanged(old, replace(old, fields=old.fields | fields))

    def exchanged(self, old: Packet, *new: Packet) -> Recording:
        """Other packets stand where one stood; none: it is missing."""
        place = self.packets.index(old)
        return Recording([*self.packets[:place], *new, *self.packets[place + 1 :]])

    def moved(self, what: Packet, behind: Packet) -> Recording:
        """One packet passed later than it did."""
        rest = [packet for packet in self.packets if packet is not what]
        place = rest.index(behind)
        return Recording([*rest[: place + 1], what, *rest[place + 1 :]])

    def rewritten(self, message: Message, change: Callable[[Any], None]) -> Recording:
        """One message's payload is another."""
        payload = type(message.payload)()
        payload.CopyFrom(message.payload)
        change(payload)
        return self.resent(message, payload=payload.SerializeToString())

    def resent(self, message: Message, *, payload: bytes | None = None, **more: Any) -> Recording:
        """One message, or one will, has other bytes, another topic, QoS or retain flag."""
        fields = more if payload is None else {**more, "payload": payload.hex()}
        if message.packet.kind == "CONNECT":
            return self.changed(message.packet, will=message.packet.fields["will"] | fields)
        return self.changed(message.packet, **fields)


def middle(found: Iterable[T]) -> T:
    """One of many, not at the edge."""
    many = list(found)
    assert many, "there is nothing to spoil"
    return many[len(many) // 2]
