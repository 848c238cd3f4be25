"""The topic tree as one table: what is published where, how, and for how long; the documents are drawn from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edge.wire import heartbeat, messages, requests
from edge.wire.camera import CameraStatus
from edge.wire.envelope import Outgoing
from edge.wire.message import Message

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic below ``{root}/{node}``; `expiry_s` None: no expiry (an MQTT 3.1.1 broker keeps everything)."""

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
    """One topic below ``{root}/{node}`` that carries a picture as it is, with user properties instead of fields; `form` lists the kinds it may be."""

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
        listed = tuple((key, value) for key, value in properties.items() if key in self.properties)
        return Outgoing(
            self.at(prefix, name), picture, self.qos, self.retain, self.expiry_s, kind, user_properties=listed
        )

    def cleared(self, prefix: str, name: str) -> Outgoing:
        """What takes a retained picture away from the broker."""
        return Outgoing(self.at(prefix, name), b"", self.qos, self.retain)


@dataclass(frozen=True, slots=True)
class InputTopic:
    """One topic that cameras and sensors publish on, below ``{root}/{node}`` unless the site names another."""

    path: str
    form: str
    content_type: str
    payload: Mapping[str, Any]
    qos: int
    meaning: str
    retain: bool = False  # a retained picture or value is refused; a retained status is right

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
    heartbeat.Heartbeat,
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
EVIDENCE = Topic(
    "evidence/{alarm}",
    messages.EvidenceKept,
    qos=1,
    retain=False,
    expiry_s=7 * 24 * 3600,
    meaning="the seconds around one occurrence are kept on the device, whole or not; only of cameras whose site allows it",
)
INSPECTION = Topic(
    "inspection/{camera}",
    requests.Inspection,
    qos=1,
    retain=False,
    expiry_s=60,
    meaning="the answer to one trigger of a camera: part, outcome, and the verdict of each of its faults",
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
    requests.Reply,
    qos=1,
    retain=False,
    expiry_s=60,
    meaning="the answer to a command, unless it named a response topic",
)
COMMAND = Topic(
    "cmd/{verb}",
    requests.Command,
    qos=1,
    retain=False,
    expiry_s=30,
    meaning="a request from SCADA, not to be retained: a retained one is ignored",
)

SNAPSHOT = PictureTopic(
    "snapshot/{camera}",
    "JPEG or PNG",
    ("request_id", "camera", "frame_seq", "received", "age_ms", "captured", "alarm_id", "occurrence_id"),
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
    meaning="the frame that the sentence explains, with what moved the score drawn over it, machine-made; only where the site allows it",
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
CAMERA_IN = InputTopic(
    "in/camera/{camera}",
    "JSON",
    JSON,
    CameraStatus.model_json_schema(by_alias=True, mode="serialization"),
    qos=1,
    retain=True,
    meaning="whether `edge-camera` has pictures of the camera, and if not, why (docs/cameras.md); its last will is on the same topic",
)

TRIGGER_IN = InputTopic(
    "in/trigger/{camera}",
    "text, number or JSON",
    JSON,
    {"type": ["string", "integer", "object"]},
    qos=1,
    meaning="a part is before the camera; another topic with `cameras[].trigger.topic` (docs/inspection.md)",
)

PICTURES = (SNAPSHOT, EXPLAIN_IMAGE)
INPUTS = (FRAME_IN, SENSOR_IN, CAMERA_IN, TRIGGER_IN)
OUT = (STATE, META, HEARTBEAT, FLAG, VALUE, ALARM, EXPLAIN, EVIDENCE, INSPECTION, EVENT, REPLY)
IN = (COMMAND,)


def _filled(path: str, name: str) -> str:
    """A path with its parameter, if it has one, filled in."""
    head, _, rest = path.partition("{")
    return f"{head}{name}{rest.partition('}')[2]}"
