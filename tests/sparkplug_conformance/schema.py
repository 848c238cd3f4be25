"""The Sparkplug B payload as the specification describes it, declared once more in full: a judge that shares nothing with `edge.sparkplug.schema`."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_PACKAGE = "plantflag.judge"
# Message -> its fields as `number kind name`; a kind with a capital is one of these messages, `*` means repeated, `|` means part of the oneof.
# Data sets and templates are opaque bytes here: on the wire a message is no different, and an edge node of ours has neither.
_MESSAGES = {
    "MetaData": [
        "1 bool is_multi_part",
        "2 string content_type",
        "3 uint64 size",
        "4 uint64 seq",
        "5 string file_name",
        "6 string file_type",
        "7 string md5",
        "8 string description",
    ],
    "PropertyValue": [
        "1 uint32 type",
        "2 bool is_null",
        "3 uint32| int_value",
        "4 uint64| long_value",
        "5 float| float_value",
        "6 double| double_value",
        "7 bool| boolean_value",
        "8 string| string_value",
        "9 PropertySet| propertyset_value",
        "10 PropertySetList| propertysets_value",
    ],
    "PropertySet": ["1 string* keys", "2 PropertyValue* values"],
    "PropertySetList": ["1 PropertySet* propertyset"],
    "Metric": [
        "1 string name",
        "2 uint64 alias",
        "3 uint64 timestamp",
        "4 uint32 datatype",
        "5 bool is_historical",
        "6 bool is_transient",
        "7 bool is_null",
        "8 MetaData metadata",
        "9 PropertySet properties",
        "10 uint32| int_value",
        "11 uint64| long_value",
        "12 float| float_value",
        "13 double| double_value",
        "14 bool| boolean_value",
        "15 string| string_value",
        "16 bytes| bytes_value",
        "17 bytes| dataset_value",
        "18 bytes| template_value",
    ],
    "Payload": ["1 uint64 timestamp", "2 Metric* metrics", "3 uint64 seq", "4 string uuid", "5 bytes body"],
}


def _payload_class(*, wide: bool = False) -> Any:
    """The message class that the runtime makes of the declaration; ``wide``: with data types of 64 bits, to write what must not be."""
    file = descriptor_pb2.FileDescriptorProto(name="judge.proto", package=_PACKAGE, syntax="proto2")
    field_of = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        if any("|" in line for line in fields):
            message.oneof_decl.add(name="value")
        for line in fields:
            number, kind, field_name = line.split()
            repeated, choice = kind.endswith("*"), kind.endswith("|")
            field = message.field.add(name=field_name, number=int(number))
            field.label = field_of.LABEL_REPEATED if repeated else field_of.LABEL_OPTIONAL
            kind = kind.rstrip("*|")
            if wide and field_name in {"datatype", "type"}:
                kind = "uint64"
            if kind in _MESSAGES:
                field.type, field.type_name = field_of.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
            else:
                field.type = field_of.Type.Value(f"TYPE_{kind.upper()}")
            if choice:
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


Payload: Any = _payload_class()
WidePayload: Any = _payload_class(wide=True)


def read(raw: bytes) -> Any:
    """The payload that these bytes are; an AssertionError says that they are none."""
    try:
        return Payload.FromString(raw)
    except DecodeError as error:
        raise AssertionError(f"no Sparkplug B payload: {raw.hex()}") from error


def canonical(raw: bytes) -> bool:
    """Whether the runtime writes the same bytes from what it read, with every field it does not know left out."""
    payload = read(raw)
    payload.DiscardUnknownFields()
    return bool(payload.SerializeToString() == raw)


def value_of(item: Any) -> Any:
    """A metric's or property's value as the wire has it, integers unsigned; None when it is null or says nothing."""
    kind = item.WhichOneof("value")
    return None if item.is_null or kind is None else getattr(item, kind)


def metric(payload: Any, name: str) -> Any:
    """The last metric of this name in a payload."""
    found = [item for item in payload.metrics if item.name == name]
    assert found, f"no metric {name} among {[item.name for item in payload.metrics]}"
    return found[-1]
