"""What goes in and out over MQTT, and how it is counted: plain nouns that know no MQTT library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message as it arrived, stamped when its last byte had been read; the last four fields need MQTT 5."""

    topic: str
    payload: bytes
    retained: bool
    received_ns: int
    received_wall_ns: int
    content_type: str | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send; the last four are left out on MQTT 3.1.1."""

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    expiry_s: int | None = None
    content_type: str | None = None
    correlation: bytes | None = None
    user_properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Subscription:
    """One topic filter; `no_retained` asks an MQTT 5 broker not to replay retained messages (right for commands)."""

    topic: str
    qos: int
    no_retained: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """The counters of one connection since its start.

    ``refused`` says what is wrong and is None when nothing is; ``pending`` counts messages handed over and not yet sent or acknowledged;
    ``dropped`` counts by reason: ``offline``, ``too_large``, ``backlog``, ``refused`` (by the broker's access rules), ``lost`` (unconfirmed
    when the connection went away), ``incoming_too_large``. ``taken_over_ns``: when somebody last took our name away from us (MQTT 5 says so).
    """

    connected: bool
    protocol: str | None
    refused: str | None
    connects: int
    disconnects: int
    published: int
    acknowledged: int
    pending: int
    dropped: Mapping[str, int]
    received: int
    received_bytes: int
    last_message_ns: int | None
    callback_errors: int
    taken_over_ns: int | None = None
