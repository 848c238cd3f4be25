"""The Sparkplug B messages as classes of Google's protobuf runtime, declared in one table.

A field that is not in the table is skipped when a command is read: aliases, metadata, data sets, templates. The runtime is loaded on first use, so
that a daemon without Sparkplug never holds it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

_PACKAGE = "plantflag.sparkplug"
# Of each message: field name, number, type; a type with a dot is a message, `[]` means repeated.
_FIELDS: dict[str, tuple[tuple[str, int, str], ...]] = {
    "PropertyValue": (("type", 1, "uint32"), ("is_null", 2, "bool")),
    "PropertySet": (("keys", 1, "string[]"), ("values", 2, ".PropertyValue[]")),
    "Metric": (
        ("name", 1, "string"),
        ("timestamp", 3, "uint64"),
        ("datatype", 4, "uint32"),
        ("is_historical", 5, "bool"),
        ("is_null", 7, "bool"),
        ("properties", 9, ".PropertySet"),
    ),
    "Payload": (("timestamp", 1, "uint64"), ("metrics", 2, ".Metric[]"), ("seq", 3, "uint64")),
}
# The one of which a value is, in the order of their numbers, and the number of the first.
_VALUE = (
    ("int_value", "uint32"),
    ("long_value", "uint64"),
    ("float_value", "float"),
    ("double_value", "double"),
    ("boolean_value", "bool"),
    ("string_value", "string"),
)
_FIRST_VALUE = {"PropertyValue": 3, "Metric": 10}


@cache
def payload_class() -> Any:  # noqa: ANN401 - made at run time; it has the fields of the table
    """The message class `Payload`. The first call loads the runtime: make it before anything waits."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: PLC0415 - see above

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="sparkplug.proto", package=_PACKAGE, syntax="proto2")
    for message_name, fields in _FIELDS.items():
        message = file.message_type.add(name=message_name)
        for name, number, kind in fields:
            label = kinds.LABEL_REPEATED if kind.endswith("[]") else kinds.LABEL_OPTIONAL
            field = message.field.add(name=name, number=number, label=label)
            if kind.startswith("."):
                field.type, field.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}{kind.removesuffix('[]')}"
            else:
                field.type = kinds.Type.Value(f"TYPE_{kind.removesuffix('[]').upper()}")
        if message_name in _FIRST_VALUE:
            message.oneof_decl.add(name="value")
            for number, (name, kind) in enumerate(_VALUE, _FIRST_VALUE[message_name]):
                field = message.field.add(name=name, number=number, label=kinds.LABEL_OPTIONAL, oneof_index=0)
                field.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()  # its own: another package in this process may have the usual names
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


def parse(data: bytes) -> Any:  # noqa: ANN401 - likewise
    """The `Payload` that these bytes are.

    Raises:
        ValueError: they are none.
    """
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - as above

    try:
        return payload_class().FromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from error
