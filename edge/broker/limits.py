"""The limits of a broker: QoS, retained messages, packet size and messages in flight; and what a message needs of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge.wire.envelope import Outgoing

LONGEST_PACKET_BYTES = 268_435_455  # of MQTT itself
NO_RETAIN, NO_QOS = "Retain not supported", "QoS not supported"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The most that a broker takes of one message.

    Args:
        qos: 1, or 0 where it knows no other.
        retain: whether it keeps messages.
    """

    qos: int = 1
    retain: bool = True

    def after_refusal(self, reason: str) -> Allowed:
        """What is left of it after a broker refused a connection for this reason."""
        return Allowed(0 if NO_QOS in reason else self.qos, self.retain and NO_RETAIN not in reason)

    def shaped(self, message: Outgoing) -> Outgoing:
        """The message as the broker takes it."""
        return replace(message, qos=min(message.qos, self.qos), retain=message.retain and self.retain)

    def lacks(self) -> tuple[str, ...]:
        """What it does not take, for people."""
        lacking = {"retained messages": not self.retain, "QoS 1": self.qos < 1}
        return tuple(what for what, missing in lacking.items() if missing)


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """The limits of one connection, from its CONNACK."""

    packet_bytes: int
    in_flight: int
    qos: int
    retain: bool
    remembered: bool  # the broker still has the session of this client id; false when none was asked for

    @property
    def told_packet_bytes(self) -> int | None:
        """The longest packet, where the broker named one."""
        return self.packet_bytes if self.packet_bytes < LONGEST_PACKET_BYTES else None


def packet_bytes(message: Outgoing) -> int:
    """Upper bound of the PUBLISH packet's size: header 5, topic, message number 2, properties, payload."""
    properties = 4 + 5 + 3 + len((message.content_type or "").encode()) + 3 + len(message.correlation or b"")
    properties += sum(5 + len(name.encode()) + len(value.encode()) for name, value in message.user_properties)
    return 5 + 2 + len(message.topic.encode()) + 2 + properties + len(message.payload)
