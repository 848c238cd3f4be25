"""MQTT control packets as plain data: readers for 3.1.1 and 5 written for the conformance suite, so that no client library judges itself.

What a reader gives is JSON: bytes are hexadecimal, text that is not UTF-8 keeps its odd bytes as lone surrogates and so betrays itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Fields = dict[str, Any]

KINDS = (
    "",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
)
# MQTT 5 properties: number -> name and how it is written.
_PROPERTIES = {
    0x01: ("payload_format", "byte"),
    0x02: ("message_expiry_s", "u32"),
    0x03: ("content_type", "text"),
    0x08: ("response_topic", "text"),
    0x09: ("correlation", "data"),
    0x0B: ("subscription_id", "length"),
    0x11: ("session_expiry_s", "u32"),
    0x12: ("assigned_client_id", "text"),
    0x13: ("server_keepalive_s", "u16"),
    0x15: ("auth_method", "text"),
    0x16: ("auth_data", "data"),
    0x17: ("request_problem", "byte"),
    0x18: ("will_delay_s", "u32"),
    0x19: ("request_response", "byte"),
    0x1A: ("response_information", "text"),
    0x1C: ("server_reference", "text"),
    0x1F: ("reason", "text"),
    0x21: ("receive_maximum", "u16"),
    0x22: ("topic_alias_maximum", "u16"),
    0x23: ("topic_alias", "u16"),
    0x24: ("maximum_qos", "byte"),
    0x25: ("retain_available", "byte"),
    0x26: ("user", "pair"),
    0x27: ("maximum_packet_bytes", "u32"),
    0x28: ("wildcards_available", "byte"),
    0x29: ("subscription_ids_available", "byte"),
    0x2A: ("shared_available", "byte"),
}


class Splitter:
    """Cuts a stream of bytes into packets: (first byte, rest without the length)."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Every packet that is whole by now."""
        self._data += data
        while len(self._data) >= 2:
            size, shift, at = 0, 0, 1
            while at < len(self._data):
                digit = self._data[at]
                size |= (digit & 0x7F) << shift
                shift, at = shift + 7, at + 1
                if digit < 0x80:
                    break
            else:
                return
            if len(self._data) < at + size:
                return
            first, body = self._data[0], self._data[at : at + size]
            self._data = self._data[at + size :]
            yield first, body


def level_of(body: bytes) -> int:
    """The protocol level that a CONNECT packet asks for: 4 is MQTT 3.1.1, 5 is MQTT 5."""
    cursor = _Cursor(body)
    cursor.text()
    return cursor.byte()


def read_packet(first: int, body: bytes, level: int) -> tuple[str, Fields]:
    """A packet's kind and what it says, on a connection of this protocol level."""
    kind = KINDS[first >> 4]
    cursor = _Cursor(body)
    reader = _READERS.get(kind)
    return kind, reader(cursor, first & 0x0F, level) if reader is not None else {}


class _Cursor:
    """Reads one packet from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def more(self) -> bool:
        return self._at < len(self._data)

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise ValueError(f"packet of {len(self._data)} bytes ends {size - len(taken)} bytes too early")
        self._at += size
        return taken

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def byte(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def length(self) -> int:
        number, shift = 0, 0
        while True:
            digit = self.byte()
            number |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                return number

    def data(self) -> str:
        return self.take(self.u16()).hex()

    def text(self) -> str:
        return self.take(self.u16()).decode("utf-8", "surrogateescape")

    def pair(self) -> list[str]:
        return [self.text(), self.text()]

    def properties(self, level: int) -> Fields:
        """MQTT 5 properties; on an older level there are none."""
        if level < 5 or not self.more:
            return {}
        inner = _Cursor(self.take(self.length()))
        found: Fields = {}
        while inner.more:
            name, kind = _PROPERTIES[inner.length()]
            value = getattr(inner, kind)()
            if kind == "pair":
                found.setdefault(name, []).append(value)
            else:
                found[name] = value
        return found


def _connect(cursor: _Cursor, _flags: int, _level: int) -> Fields:
    protocol, level, flags, keepalive_s = cursor.text(), cursor.byte(), cursor.byte(), cursor.u16()
    properties, client_id = cursor.properties(level), cursor.text()
    will: Fields | None = None
    if flags & 0x04:
        will_properties = cursor.properties(level)
        will = {
            "topic": cursor.text(),
            "payload": cursor.data(),
            "qos": flags >> 3 & 3,
            "retain": bool(flags & 0x20),
            "properties": will_properties,
        }
    return {
        "protocol": protocol,
        "level": level,
        "clean": bool(flags & 0x02),
        "keepalive_s": keepalive_s,
        "client_id": client_id,
        "will": will,
        "properties": properties,
    }


def _connack(cursor: _Cursor, _flags: int, level: int) -> Fields:
    return {"session_present": bool(cursor.byte() & 1), "code": cursor.byte(), "properties": cursor.properties(level)}


def _publish(cursor: _Cursor, flags: int, level: int) -> Fields:
    qos = flags >> 1 & 3
    return {
        "topic": cursor.text(),
        "qos": qos,
        "retain": bool(flags & 1),
        "dup": bool(flags & 8),
        "packet_id": cursor.u16() if qos else None,
        "properties": cursor.properties(level),
        "payload": cursor.rest().hex(),
    }


def _acknowledgement(cursor: _Cursor, _flags: int, _level: int) -> Fields:
    return {"packet_id": cursor.u16(), "code": cursor.byte() if cursor.more else 0}


def _subscribe(cursor: _Cursor, _flags: int, level: int) -> Fields:
    packet_id, properties = cursor.u16(), cursor.properties(level)
    filters = []
    while cursor.more:
        topic, options = cursor.text(), cursor.byte()
        filters.append({"topic": topic, "qos": options & 3, "retain_handling": options >> 4 & 3})
    return {"packet_id": packet_id, "filters": filters, "properties": properties}


def _suback(cursor: _Cursor, _flags: int, level: int) -> Fields:
    return {"packet_id": cursor.u16(), "properties": cursor.properties(level), "codes": list(cursor.rest())}


def _disconnect(cursor: _Cursor, _flags: int, level: int) -> Fields:
    code = cursor.byte() if level >= 5 and cursor.more else 0
    return {"code": code, "properties": cursor.properties(level)}


_READERS = {
    "CONNECT": _connect,
    "CONNACK": _connack,
    "PUBLISH": _publish,
    "PUBACK": _acknowledgement,
    "SUBSCRIBE": _subscribe,
    "SUBACK": _suback,
    "DISCONNECT": _disconnect,
}
