"""The topic tree as documents: a Markdown table, and AsyncAPI 3.0 for tools; not used at run time."""

from __future__ import annotations

from typing import Any

from edge.wire.messages import json_schemas, schema_name
from edge.wire.topics import IN, INPUTS, JSON, OUT, PICTURES, InputTopic, PictureTopic


def table_markdown() -> str:
    """The tree as a Markdown table."""
    lines = [
        "| topic below `{root}/{node}` | direction | QoS | retained | expires | schema | meaning |",
        "|---|---|---|---|---|---|---|",
    ]
    for direction, topics in (("out", OUT), ("in", IN)):
        for topic in topics:
            expiry = "never" if topic.expiry_s is None else f"{topic.expiry_s} s"
            retained = "yes" if topic.retain else "no"
            lines.append(
                f"| `{topic.path}` | {direction} | {topic.qos} | {retained} | {expiry} | `{schema_name(topic.message)}` | {topic.meaning} |"
            )
    for picture in PICTURES:
        retained = "yes" if picture.retain else "no"
        lines.append(
            f"| `{picture.path}` | out | {picture.qos} | {retained} | {picture.expiry_s} s | {picture.form} | {picture.meaning} |"
        )
    lines += [
        f"| `{entry.path}` | in | {entry.qos} | {'yes' if entry.retain else 'no'} | as sent | {entry.form} | {entry.meaning} |"
        for entry in INPUTS
    ]
    return "\n".join(lines)


def asyncapi(version: str) -> dict[str, Any]:
    """The tree as an AsyncAPI 3.0 document, as the daemon sees it: it sends what is out and receives what is in."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for action, topics in (("send", OUT), ("receive", IN)):
        for topic in topics:
            name, parameter = _name(topic.path), _parameter(topic.path)
            message = {"$ref": f"#/components/messages/{_key(schema_name(topic.message))}"}
            parameters = {key: {"$ref": f"#/components/parameters/{key}"} for key in ("root", "node", parameter) if key}
            channels[name] = {
                "address": f"{{root}}/{{node}}/{topic.path}",
                "messages": {topic.message.__name__: message},
                "parameters": parameters,
            }
            expiry = {} if topic.expiry_s is None else {"messageExpiryInterval": topic.expiry_s}
            operations[f"{action}-{name}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{name}"},
                "summary": topic.meaning,
                "bindings": {"mqtt": {"qos": topic.qos, "retain": topic.retain, "bindingVersion": "0.2.0"} | expiry},
            }
    for picture in PICTURES:
        _add_picture(picture, channels, operations)
    for entry in INPUTS:
        _add_input(entry, channels, operations)
    operations["receive-cmd"]["reply"] = {"channel": {"$ref": "#/channels/res"}}
    names = {
        "root": "broker.root of the site file",
        "node": "node.id of the site file",
        "channel": "flag channel, see meta",
        "alarm": "alarm id, see meta",
        "verb": "what is asked for",
        "camera": "camera id of the site file",
        "sensor": "sensor id of the site file",
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edge-daemon",
            "version": version,
            "description": "Fault flags and alarms of one edge device over MQTT.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": JSON,
        "channels": channels,
        "operations": operations,
        "components": {
            "parameters": {name: {"description": text} for name, text in names.items()},
            "messages": {
                _key(name): {"name": name, "contentType": JSON, "payload": schema}
                for name, schema in _inlined(json_schemas()).items()
            }
            | {_name(picture.path): _picture_message(picture) for picture in PICTURES}
            | {_name(entry.path): _input_message(entry) for entry in INPUTS},
        },
    }


def _add_picture(picture: PictureTopic, channels: dict[str, Any], operations: dict[str, Any]) -> None:
    name, parameter = _name(picture.path), _parameter(picture.path)
    channels[name] = {
        "address": f"{{root}}/{{node}}/{picture.path}",
        "messages": {"Picture": {"$ref": f"#/components/messages/{name}"}},
        "parameters": {key: {"$ref": f"#/components/parameters/{key}"} for key in ("root", "node", parameter)},
    }
    handling = {"qos": picture.qos, "retain": picture.retain, "messageExpiryInterval": picture.expiry_s}
    operations[f"send-{name}"] = {
        "action": "send",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": picture.meaning,
        "bindings": {"mqtt": handling | {"bindingVersion": "0.2.0"}},
    }


def _add_input(entry: InputTopic, channels: dict[str, Any], operations: dict[str, Any]) -> None:
    name, parameter = _name(entry.path), _parameter(entry.path)
    channels[name] = {
        "address": f"{{root}}/{{node}}/{entry.path}",
        "messages": {"Input": {"$ref": f"#/components/messages/{name}"}},
        "parameters": {key: {"$ref": f"#/components/parameters/{key}"} for key in ("root", "node", parameter)},
    }
    operations[f"receive-{name}"] = {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": entry.meaning,
        "bindings": {"mqtt": {"qos": entry.qos, "retain": entry.retain, "bindingVersion": "0.2.0"}},
    }


def _input_message(entry: InputTopic) -> dict[str, Any]:
    return {
        "name": _name(entry.path),
        "contentType": entry.content_type,
        "summary": f"{entry.form}; user property (MQTT 5) ts: when it was taken",
        "payload": _resolve(dict(entry.payload), entry.payload.get("$defs", {})),
    }


def _picture_message(picture: PictureTopic) -> dict[str, Any]:
    return {
        "name": _name(picture.path),
        "contentType": "image/jpeg",
        "summary": f"{picture.form}; user properties (MQTT 5): {', '.join(picture.properties)}",
        "payload": {"type": "string", "format": "binary"},
    }


def _parameter(path: str) -> str:
    """The name of a path's parameter; empty when there is none."""
    return path.partition("{")[2].partition("}")[0]


def _name(path: str) -> str:
    """A path without its parameter, as a key of the AsyncAPI document: ``explain-image``."""
    return "-".join(part for part in path.split("/") if not part.startswith("{"))


def _key(schema: str) -> str:
    """A schema's name as a key of the AsyncAPI document, which allows no slash."""
    return schema.replace("/", "-")


def _inlined(schemas: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Schemas whose local definitions are written out, because a reference into another part of an AsyncAPI document would break."""
    return {name: _resolve(schema, schema.get("$defs", {})) for name, schema in schemas.items()}


def _resolve(node: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 - walks JSON
    if isinstance(node, dict):
        if "$ref" in node:
            return _resolve(definitions[node["$ref"].rpartition("/")[2]], definitions)
        return {key: _resolve(value, definitions) for key, value in node.items() if key != "$defs"}
    if isinstance(node, list):
        return [_resolve(item, definitions) for item in node]
    return node
