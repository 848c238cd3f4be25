"""Incoming and outgoing MQTT messages and their counters, as plain records without an MQTT library."""

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
    """One message to send; expiry, content type, correlation and user properties are left out on MQTT 3.1.1. An `urgent` one is sent before others: a user waits for it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    expiry_s: int | None = None
    content_type: str | None = None
    correlation: bytes | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class Subscription:
    """One topic filter; `no_retained` asks an MQTT 5 broker not to replay retained messages (right for commands).

    `no_local`: only what other clients publish there, an option of MQTT 5; it is left out on MQTT 3.1.1. `optional`: its rejection is no fault.
    """

    topic: str
    qos: int
    no_retained: bool = False
    no_local: bool = False
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionStats:
    """The counters of one connection since its start.

    ``refused`` is the broker's reason and None when nothing is wrong; ``pending`` counts messages handed over and not yet sent or acknowledged;
    ``dropped`` counts by reason: ``offline``, ``too_large``, ``backlog``, ``refused`` (by the broker's access rules), ``lost`` (unconfirmed
    when the connection went away), ``incoming_too_large``, ``incoming_properties`` (more than we read), ``incoming_bad_topic``.
    ``taken_over_ns``: when another client last took over our client id (MQTT 5 reports it). ``packet_bytes``: the longest packet that the broker takes;
    None: it is not known.
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
    packet_bytes: int | None = None
