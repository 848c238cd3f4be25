"""Sparkplug B payloads as frozen records, and their bytes: the part of proto2 that an edge node needs, written by hand.

Encoding writes fields in the order of their numbers, as protobuf does, so the bytes are the same. Decoding reads everything that a host may
send in a command and skips what it does not know. No aliases, data sets or templates.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from edge.errors import RejectedInput

Value = bool | int | float | str | None
MAX_METRICS = 1_000  # in one payload that we read; a command has a handful

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FLOAT, _DOUBLE = struct.Struct("<f"), struct.Struct("<d")


class DataType(IntEnum):
    """The data types in use; numbers as in the specification."""

    INT32 = 3
    INT64 = 4
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13


# Which field of the value's oneof carries a type: in a metric, and in a property.
_METRIC_FIELD = {
    DataType.INT32: 10,
    DataType.INT64: 11,
    DataType.FLOAT: 12,
    DataType.DOUBLE: 13,
    DataType.BOOLEAN: 14,
    DataType.STRING: 15,
    DataType.DATETIME: 11,
}
_PROPERTY_SHIFT = 7  # the same fields in the same order, from 3


@dataclass(frozen=True, slots=True)
class Property:
    """One value of a PropertySet."""

    datatype: DataType
    value: Value


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `value` None is null. ``with_datatype`` false leaves the type off the wire, as data messages should."""

    name: str
    datatype: DataType
    value: Value
    timestamp_ms: int | None
    historical: bool = False
    with_datatype: bool = True
    properties: Mapping[str, Property] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Payload:
    """One message's content; ``seq`` None only in NDEATH."""

    timestamp_ms: int | None
    metrics: tuple[Metric, ...]
    seq: int | None


@dataclass(frozen=True, slots=True)
class Written:
    """One metric of a command: hosts may leave the datatype out, so the value is as the wire says, integers unsigned."""

    name: str
    value: Value
    timestamp_ms: int | None


@dataclass(frozen=True, slots=True)
class Order:
    """A command's payload."""

    timestamp_ms: int | None
    metrics: tuple[Written, ...]


def encode(payload: Payload) -> bytes:
    """The payload's bytes."""
    out = bytearray()
    _put_uint(out, 1, payload.timestamp_ms)
    for metric in payload.metrics:
        _put_bytes(out, 2, _metric(metric))
    _put_uint(out, 3, payload.seq)
    return bytes(out)


def decode(data: bytes) -> Order:
    """Read a command.

    Raises:
        RejectedInput: these bytes are no Sparkplug payload, or too much.
    """
    timestamp_ms: int | None = None
    metrics: list[Written] = []
    try:
        for number, content in _fields(data):
            if number == 1 and isinstance(content, int):
                timestamp_ms = content
            elif number == 2 and isinstance(content, bytes):
                metrics.append(_written(content))
    except (IndexError, struct.error, UnicodeDecodeError, OverflowError) as error:
        raise RejectedInput("bad_sparkplug", f"{len(data)} bytes are no Sparkplug payload: {error}") from error
    if len(metrics) > MAX_METRICS:
        raise RejectedInput("oversize_sparkplug", f"{len(metrics)} metrics in one command")
    return Order(timestamp_ms, tuple(metrics))


def signed(value: int, bits: int) -> int:
    """An unsigned number from the wire as the two's complement that it stands for."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _metric(metric: Metric) -> bytes:
    out = bytearray()
    _put_bytes(out, 1, metric.name.encode())
    _put_uint(out, 3, metric.timestamp_ms)
    if metric.with_datatype:
        _put_uint(out, 4, metric.datatype)
    if metric.historical:
        _put_uint(out, 5, 1)
    if metric.value is None:
        _put_uint(out, 7, 1)
    if metric.properties:
        _put_bytes(out, 9, _property_set(metric.properties))
    if metric.value is not None:
        _put_value(out, _METRIC_FIELD[metric.datatype], metric.datatype, metric.value)
    return bytes(out)


def _property_set(properties: Mapping[str, Property]) -> bytes:
    out = bytearray()
    for key in properties:
        _put_bytes(out, 1, key.encode())
    for item in properties.values():
        _put_bytes(out, 2, _property(item))
    return bytes(out)


def _property(item: Property) -> bytes:
    out = bytearray()
    _put_uint(out, 1, item.datatype)
    if item.value is None:
        _put_uint(out, 2, 1)
    else:
        _put_value(out, _METRIC_FIELD[item.datatype] - _PROPERTY_SHIFT, item.datatype, item.value)
    return bytes(out)


def _put_value(out: bytearray, number: int, datatype: DataType, value: float | str) -> None:
    match datatype:
        case DataType.STRING:
            _put_bytes(out, number, str(value).encode())
        case DataType.FLOAT:
            _put_varint(out, number << 3 | _FIXED32)
            out += _FLOAT.pack(value)
        case DataType.DOUBLE:
            _put_varint(out, number << 3 | _FIXED64)
            out += _DOUBLE.pack(value)
        case DataType.INT32:
            _put_uint(out, number, int(value) & 0xFFFF_FFFF)
        case _:
            _put_uint(out, number, int(value) & 0xFFFF_FFFF_FFFF_FFFF)


def _put_uint(out: bytearray, number: int, value: int | None) -> None:
    if value is not None:
        _put_varint(out, number << 3 | _VARINT)
        _put_varint(out, value)


def _put_bytes(out: bytearray, number: int, content: bytes) -> None:
    _put_varint(out, number << 3 | _BYTES)
    _put_varint(out, len(content))
    out += content


def _put_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _written(data: bytes) -> Written:
    name, timestamp_ms, null = "", None, False
    value: Value = None
    for number, content in _fields(data):
        if number == 1 and isinstance(content, bytes):
            name = content.decode()
        elif number == 3 and isinstance(content, int):
            timestamp_ms = content
        elif number == 7:
            null = bool(content)
        elif 10 <= number <= 15:
            value = _value(number, content)
    return Written(name, None if null else value, timestamp_ms)


def _value(number: int, content: int | bytes) -> Value:
    if isinstance(content, int):
        return bool(content) if number == 14 else content
    if number == 12:
        return float(_FLOAT.unpack(content)[0])
    if number == 13:
        return float(_DOUBLE.unpack(content)[0])
    return content.decode() if number == 15 else None


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Every field with its number; varints as int, everything else as bytes.

    Raises:
        IndexError: the data end in the middle of a field, or a field is of a kind that proto2 gave up.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise IndexError(f"field {number} is of the unknown kind {kind}")
        if at + size > len(data):
            raise IndexError(f"field {number} is cut off")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise IndexError("a number of more than 64 bits")
