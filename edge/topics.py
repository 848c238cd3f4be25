"""The topic tree as a table: what is said where, how, and for how long; docs/topics.md and the AsyncAPI document are drawn from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edge import messages
from edge.envelope import Outgoing
from edge.messages import Message, json_schemas, schema_name

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic below ``{root}/{node}``; `expiry_s` None: for ever (an MQTT 3.1.1 broker keeps everything for ever)."""

    path: str
    message: type[Message]
    qos: int
    retain: bool
    expiry_s: int | None
    meaning: str

    def at(self, prefix: str, name: str = "") -> str:
        """The full topic, its parameter filled in."""
        return f"{prefix}/{_filled(self.path, name)}"

    def outgoing(self, prefix: str, message: Message, name: str = "") -> Outgoing:
        """A message, ready for the connection."""
        return self.wrap(prefix, message.encode(), name)

    def wrap(self, prefix: str, body: bytes, name: str = "") -> Outgoing:
        """A message that is encoded already."""
        return Outgoing(self.at(prefix, name), body, self.qos, self.retain, self.expiry_s, JSON)


@dataclass(frozen=True, slots=True)
class PictureTopic:
    """One topic below ``{root}/{node}`` that carries a picture as it is, with user properties instead of fields; `form` says which kinds it may be."""

    path: str
    form: str
    properties: tuple[str, ...]
    qos: int
    retain: bool
    expiry_s: int
    meaning: str

    def at(self, prefix: str, name: str) -> str:
        """The full topic, its parameter filled in."""
        return f"{prefix}/{_filled(self.path, name)}"

    def outgoing(self, prefix: str, picture: bytes, name: str, properties: Mapping[str, str]) -> Outgoing:
        """A picture, ready for the connection."""
        kind = content_type(picture)
        told = tuple((key, value) for key, value in properties.items() if key in self.properties)
        return Outgoing(
            self.at(prefix, name), picture, self.qos, self.retain, self.expiry_s, kind, user_properties=told
        )

    def cleared(self, prefix: str, name: str) -> Outgoing:
        """What takes a retained picture away from the broker."""
        return Outgoing(self.at(prefix, name), b"", self.qos, self.retain)


@dataclass(frozen=True, slots=True)
class InputTopic:
    """One topic that cameras and sensors publish on, below ``{root}/{node}`` unless the site names another; retained copies are refused."""

    path: str
    form: str
    content_type: str
    payload: Mapping[str, Any]
    qos: int
    meaning: str

    def at(self, prefix: str, name: str) -> str:
        """The full topic, its parameter filled in."""
        return f"{prefix}/{_filled(self.path, name)}"


def content_type(picture: bytes) -> Literal["image/jpeg", "image/png"]:
    """What an encoded picture that was judged is: there are only two kinds."""
    return "image/png" if picture.startswith(b"\x89PNG") else "image/jpeg"


STATE = Topic(
    "state",
    messages.State,
    qos=1,
    retain=True,
    expiry_s=None,
    meaning="whether the daemon is there and how it is (NAMUR NE 107); its last will is on the same topic",
)
META = Topic(
    "meta",
    messages.Meta,
    qos=1,
    retain=True,
    expiry_s=None,
    meaning="what this node watches: channels, thresholds, alarms with the operator's action",
)
HEARTBEAT = Topic(
    "heartbeat",
    messages.Heartbeat,
    qos=0,
    retain=False,
    expiry_s=30,
    meaning="the deadline ledger: latency percentiles, misses, drops by reason, blind time",
)
FLAG = Topic(
    "flag/{channel}",
    messages.Flag,
    qos=1,
    retain=False,
    expiry_s=10,
    meaning="the verdict on the newest frame, when it changes: the fast path",
)
VALUE = Topic(
    "value/{channel}",
    messages.Value,
    qos=0,
    retain=False,
    expiry_s=10,
    meaning="the score for trends, with a deadband",
)
ALARM = Topic(
    "alarm/{alarm}",
    messages.Alarm,
    qos=1,
    retain=True,
    expiry_s=None,
    meaning="the whole condition of one alarm, on every change and after each reconnect",
)
EXPLAIN = Topic(
    "explain/{alarm}",
    messages.Explanation,
    qos=1,
    retain=True,
    expiry_s=24 * 3600,
    meaning="a sentence for the operator about one occurrence, machine-made, some time after the alarm; never needed to act",
)
EVENT = Topic(
    "event",
    messages.Event,
    qos=1,
    retain=False,
    expiry_s=7 * 24 * 3600,
    meaning="the journal: every transition and command, in order",
)
REPLY = Topic(
    "res/{verb}",
    messages.Reply,
    qos=1,
    retain=False,
    expiry_s=60,
    meaning="the answer to a command, unless it named a response topic",
)
COMMAND = Topic(
    "cmd/{verb}",
    messages.Command,
    qos=1,
    retain=False,
    expiry_s=30,
    meaning="a request from SCADA, not to be retained: a copy that the broker kept is ignored",
)

SNAPSHOT = PictureTopic(
    "snapshot/{camera}",
    "JPEG or PNG",
    ("request_id", "camera", "frame_seq", "received", "captured", "alarm_id", "occurrence_id"),
    qos=1,
    retain=False,
    expiry_s=60,
    meaning="the newest picture of a camera, because `cmd/snapshot` asked for it and the site allows it",
)

EXPLAIN_IMAGE = PictureTopic(
    "explain/{alarm}/image",
    "JPEG",
    ("alarm_id", "occurrence_id", "ts", "machine_made", "camera", "frame_seq"),
    qos=1,
    retain=True,
    expiry_s=24 * 3600,
    meaning="the frame that the sentence speaks of, with what moved the score drawn over it, machine-made; only where the site allows it",
)

FRAME_IN = InputTopic(
    "in/frame/{camera}",
    "JPEG or PNG",
    "image/jpeg",
    {"type": "string", "format": "binary"},
    qos=0,
    meaning="a camera's picture as it is, as base64 or inside JSON; another topic with `cameras[].topic`",
)
SENSOR_IN = InputTopic(
    "in/sensor/{sensor}",
    "number, JSON or SenML",
    JSON,
    {"type": ["number", "object", "array"]},
    qos=1,
    meaning="a sensor's value; another topic with `sensors[].topic`",
)

PICTURES = (SNAPSHOT, EXPLAIN_IMAGE)
INPUTS = (FRAME_IN, SENSOR_IN)
OUT = (STATE, META, HEARTBEAT, FLAG, VALUE, ALARM, EXPLAIN, EVENT, REPLY)
IN = (COMMAND,)


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
        f"| `{entry.path}` | in | {entry.qos} | no | as sent | {entry.form} | {entry.meaning} |" for entry in INPUTS
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
        "bindings": {"mqtt": {"qos": entry.qos, "retain": False, "bindingVersion": "0.2.0"}},
    }


def _input_message(entry: InputTopic) -> dict[str, Any]:
    return {
        "name": _name(entry.path),
        "contentType": entry.content_type,
        "summary": f"{entry.form}; user property (MQTT 5) ts: when it was taken",
        "payload": dict(entry.payload),
    }


def _picture_message(picture: PictureTopic) -> dict[str, Any]:
    return {
        "name": _name(picture.path),
        "contentType": "image/jpeg",
        "summary": f"{picture.form}; user properties (MQTT 5): {', '.join(picture.properties)}",
        "payload": {"type": "string", "format": "binary"},
    }


def _filled(path: str, name: str) -> str:
    """A path with its parameter, if it has one, filled in."""
    head, _, rest = path.partition("{")
    return f"{head}{name}{rest.partition('}')[2]}"


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
