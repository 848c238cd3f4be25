"""Rules about metrics, data types and properties (chapter 6.4 of the specification)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tests.sparkplug_conformance.recording import BIRTHS, DATA, Message, Recording
from tests.sparkplug_conformance.rules import clear, first_metric, holds, one, put, with_payload, with_raw
from tests.sparkplug_conformance.schema import WidePayload, canonical

INT32 = 3
DATATYPES = frozenset(range(1, 35))  # Int8 to DateTimeArray
PROPERTY_TYPES = frozenset({*range(1, 15), 20, 21})  # the basic ones, PropertySet and PropertySetList
QUALITIES = {0, 192, 500}
# Which field of the value carries a type; those that an edge node of ours has.
FIELDS = {
    3: "int_value",
    4: "long_value",
    9: "float_value",
    10: "double_value",
    11: "boolean_value",
    12: "string_value",
    13: "long_value",
}


def _metrics(recording: Recording, *kinds: str) -> Iterator[tuple[Message, Any]]:
    for message in recording.said(*kinds):
        for item in message.payload.metrics:
            yield message, item


def _wide(change: Callable[[Any], None]) -> Callable[[bytes], bytes]:
    """The same payload written by a schema whose data types have 64 bits."""

    def rewrite(raw: bytes) -> bytes:
        payload = WidePayload.FromString(raw)
        change(payload)
        written: bytes = payload.SerializeToString()
        return written

    return rewrite


# --- metrics


@holds("payloads-name-requirement", spoil=with_payload(one("DDATA"), first_metric(clear("name"))))
def every_metric_has_a_name(recording: Recording) -> None:
    """Every metric has a name (no aliases are used)."""
    for message, item in _metrics(recording, *BIRTHS, *DATA, "NDEATH"):
        assert item.name, message.topic
        assert not item.HasField("alias"), message.topic


@holds("payloads-name-birth-data-requirement", spoil=with_payload(one("DDATA"), first_metric(clear("timestamp"))))
def every_metric_has_a_time(recording: Recording) -> None:
    """Every metric of births and data has a timestamp."""
    for message, item in _metrics(recording, *BIRTHS, *DATA):
        assert item.HasField("timestamp"), f"{message.topic} {item.name}"


@holds(
    "payloads-metric-datatype-value-type",
    spoil=with_raw(one("NBIRTH"), _wide(first_metric(put(datatype=2**40 + 3)))),
)
def data_types_are_uint32(recording: Recording) -> None:
    """A data type is an unsigned number of 32 bits: the runtime, whose field has 32, writes the same bytes again."""
    for message, item in _metrics(recording, *BIRTHS):
        assert item.HasField("datatype"), f"{message.topic} {item.name}"
    assert all(canonical(message.raw) for message in recording.messages)


@holds("payloads-metric-datatype-value", spoil=with_payload(one("DBIRTH"), first_metric(put(datatype=99))))
def data_types_are_known(recording: Recording) -> None:
    """A data type is one of the specification's; here: and the value is in the field that carries it."""
    for message, item in _metrics(recording, *BIRTHS):
        assert item.datatype in DATATYPES, f"{message.topic} {item.name}"
        assert item.is_null or item.WhichOneof("value") == FIELDS[item.datatype], f"{message.topic} {item.name}"


@holds("payloads-metric-datatype-req", spoil=with_payload(one("DBIRTH"), first_metric(clear("datatype"))))
def births_have_data_types(recording: Recording) -> None:
    """Every metric of a birth has its data type."""
    for message, item in _metrics(recording, *BIRTHS):
        assert item.HasField("datatype"), f"{message.topic} {item.name}"


@holds("payloads-metric-datatype-not-req", spoil=with_payload(one("NDATA"), first_metric(put(datatype=3))))
def data_have_no_data_types(recording: Recording) -> None:
    """Metrics of data have no data type."""
    for message, item in _metrics(recording, *DATA):
        assert not item.HasField("datatype"), f"{message.topic} {item.name}"


# --- properties


def _with_property(recording: Recording) -> Message:
    return next(
        message
        for message in recording.said("DBIRTH")
        if any(item.HasField("properties") for item in message.payload.metrics)
    )


def _with_quality(recording: Recording) -> Message:
    return next(message for message, _, _ in _qualities(recording))


def _property(change: Callable[[Any], None], key: str | None = None) -> Callable[[Any], None]:
    """Something happens to the first property, or to the first of this name, in a payload."""

    def inner(payload: Any) -> None:
        for item in payload.metrics:
            for name, value in zip(item.properties.keys, item.properties.values, strict=False):
                if key in (None, name):
                    change(value)
                    return

    return inner


def _on_first_set(change: Callable[[Any], None]) -> Callable[[Any], None]:
    return lambda payload: change(next(item.properties for item in payload.metrics if item.HasField("properties")))


def _sets(recording: Recording, *kinds: str) -> Iterator[tuple[Message, Any]]:
    found = [(message, item.properties) for message, item in _metrics(recording, *kinds) if item.HasField("properties")]
    assert found, "no property was said"
    yield from found


def _qualities(recording: Recording) -> Iterator[tuple[Message, str, Any]]:
    for message, properties in _sets(recording, *BIRTHS, *DATA):
        for key, value in zip(properties.keys, properties.values, strict=False):
            if key == "Quality":
                yield message, key, value


@holds(
    "payloads-propertyset-keys-array-size",
    spoil=with_payload(_with_property, _on_first_set(lambda properties: properties.keys.append("more"))),
)
def no_key_without_a_value(recording: Recording) -> None:
    """A property set has as many keys as values."""
    for message, properties in _sets(recording, *BIRTHS, *DATA):
        assert len(properties.keys) == len(properties.values), message.topic


@holds(
    "payloads-propertyset-values-array-size",
    spoil=with_payload(_with_property, _on_first_set(lambda properties: properties.values.add(type=3, int_value=1))),
)
def no_value_without_a_key(recording: Recording) -> None:
    """A property set has as many values as keys."""
    for message, properties in _sets(recording, *BIRTHS, *DATA):
        assert len(properties.values) == len(properties.keys), message.topic


@holds(
    "payloads-metric-propertyvalue-type-type", spoil=with_raw(_with_property, _wide(_property(put(type=2**40 + 12))))
)
def property_types_are_uint32(recording: Recording) -> None:
    """A property's type is an unsigned number of 32 bits: the runtime, whose field has 32, writes the same bytes again."""
    for message, properties in _sets(recording, *BIRTHS, *DATA):
        assert all(value.HasField("type") for value in properties.values), message.topic
        assert canonical(message.raw), message.topic


@holds("payloads-metric-propertyvalue-type-value", spoil=with_payload(_with_property, _property(put(type=19))))
def property_types_are_known(recording: Recording) -> None:
    """A property's type is one of the basic types, PropertySet or PropertySetList."""
    for message, properties in _sets(recording, *BIRTHS, *DATA):
        assert all(value.type in PROPERTY_TYPES for value in properties.values), message.topic


@holds("payloads-metric-propertyvalue-type-req", spoil=with_payload(_with_property, _property(clear("type"))))
def births_have_property_types(recording: Recording) -> None:
    """Every property in a birth has its type."""
    for message, properties in _sets(recording, *BIRTHS):
        assert all(value.HasField("type") for value in properties.values), message.topic


@holds("payloads-propertyset-quality-value-type", spoil=with_payload(_with_quality, _property(put(type=4), "Quality")))
def quality_is_int32(recording: Recording) -> None:
    """The property Quality has the type 3, Int32."""
    found = list(_qualities(recording))
    assert found, "no quality was said"
    assert {value.type for _, _, value in found} == {INT32}


@holds(
    "payloads-propertyset-quality-value-value",
    spoil=with_payload(_with_quality, _property(put(int_value=64), "Quality")),
)
def quality_is_known(recording: Recording) -> None:
    """The property Quality is an int_value of 0, 192 or 500."""
    found = list(_qualities(recording))
    assert {value.WhichOneof("value") for _, _, value in found} == {"int_value"}
    assert {value.int_value for _, _, value in found} <= QUALITIES
    assert len({value.int_value for _, _, value in found}) >= 2, "one quality alone was recorded"
