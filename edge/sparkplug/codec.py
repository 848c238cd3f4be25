"""Sparkplug B payloads as frozen records, and their bytes by Google's protobuf runtime.

A command is bounded by its size before it is parsed, and by its metrics before they are read. No aliases, data sets or templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from edge.errors import RejectedInput
from edge.sparkplug.schema import parse, payload_class

Value = bool | int | float | str | None
MAX_ORDER_BYTES = 20_000  # of one command; a field takes two bytes at least, so it has 10,000 fields at most
MAX_METRICS = 1_000  # of one command, which has a handful


class DataType(IntEnum):
    """The data types in use; numbers as in the specification."""

    INT32 = 3
    INT64 = 4
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13


_VALUE_FIELD = {
    DataType.INT32: "int_value",
    DataType.INT64: "long_value",
    DataType.FLOAT: "float_value",
    DataType.DOUBLE: "double_value",
    DataType.BOOLEAN: "boolean_value",
    DataType.STRING: "string_value",
    DataType.DATETIME: "long_value",
}
# The wire has no negative integers: they go as their two's complement.
_BITS = {DataType.INT32: 0xFFFF_FFFF, DataType.INT64: 0xFFFF_FFFF_FFFF_FFFF, DataType.DATETIME: 0xFFFF_FFFF_FFFF_FFFF}


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
    """One metric of a command: hosts may leave the datatype out, so the value is as on the wire, integers unsigned."""

    name: str
    value: Value
    timestamp_ms: int | None


@dataclass(frozen=True, slots=True)
class Order:
    """A command's payload."""

    timestamp_ms: int | None
    metrics: tuple[Written, ...]


def encode(payload: Payload) -> bytes:
    """The payload's bytes.

    Raises:
        ValueError: a number is out of its range, or a text is no Unicode.
        TypeError: a value is not of its metric's type.
    """
    message = payload_class()(timestamp=payload.timestamp_ms, seq=payload.seq)
    for metric in payload.metrics:
        message.metrics.add(**_metric_fields(metric))
    return bytes(message.SerializeToString())


def decode(data: bytes) -> Order:
    """Read a command.

    Raises:
        RejectedInput: these bytes are no Sparkplug payload, or too much.
    """
    if len(data) > MAX_ORDER_BYTES:
        raise RejectedInput("oversize_sparkplug", f"{len(data)} bytes in one command; at most {MAX_ORDER_BYTES}")
    try:
        message = parse(data)
        if len(message.metrics) > MAX_METRICS:
            raise RejectedInput("oversize_sparkplug", f"more than {MAX_METRICS} metrics in one command")
        return Order(_known(message, "timestamp"), tuple(map(_written, message.metrics)))
    except ValueError as error:
        raise RejectedInput("bad_sparkplug", f"{len(data)} bytes are no Sparkplug payload: {error}") from error


def signed(value: int, bits: int) -> int:
    """An unsigned number from the wire as the two's complement that it represents."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _metric_fields(metric: Metric) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": metric.name, "timestamp": metric.timestamp_ms}
    fields |= _value_field(metric.datatype, metric.value)
    if metric.with_datatype:
        fields["datatype"] = metric.datatype
    if metric.historical:
        fields["is_historical"] = True
    if metric.properties:
        values = [
            {"type": item.datatype} | _value_field(item.datatype, item.value) for item in metric.properties.values()
        ]
        fields["properties"] = {"keys": list(metric.properties), "values": values}
    return fields


def _value_field(datatype: DataType, value: Value) -> dict[str, Value]:
    if value is None:
        return {"is_null": True}
    bits = _BITS.get(datatype)
    return {_VALUE_FIELD[datatype]: value if bits is None else int(value) & bits}


def _written(metric: Any) -> Written:  # noqa: ANN401 - a class made at run time
    kind = None if metric.is_null else metric.WhichOneof("value")
    value = None if kind is None else _sound(getattr(metric, kind))
    return Written(_sound(metric.name), value, _known(metric, "timestamp"))


def _sound(value: Any) -> Any:  # noqa: ANN401 - whatever a field holds
    """A field's value; the runtime gives a text that is not UTF-8 as its bytes."""
    if isinstance(value, bytes):
        raise ValueError("a text is not UTF-8")  # noqa: TRY004 - as the runtime's own refusals, it is about the bytes
    return value


def _known(message: Any, field_name: str) -> int | None:  # noqa: ANN401 - likewise
    return getattr(message, field_name) if message.HasField(field_name) else None
