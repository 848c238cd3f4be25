"""What a node publishes of itself, its flags and its alarms, as frozen records; and the list of all messages with a JSON Schema each.

Messages are built, never parsed, but for commands and replies. Topic tree, QoS and retain are in docs/topics.md.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from edge.frame import Quality, Verdict
from edge.wire.heartbeat import Heartbeat
from edge.wire.message import Counter, Message, Milliseconds, Timestamp
from edge.wire.requests import Command, Inspection, Reply


class ModelInfo(Message):
    """Which bundle is running."""

    name: str
    version: int
    sha256: str


class AlarmCounts(Message):
    """How many alarms stand."""

    active: Counter
    unacknowledged: Counter
    shelved: Counter


class State(Message):
    """``state``, retained: whether the daemon is there and how it is (NAMUR NE 107)."""

    schema_: Literal["edge.state/1"] = Field(default="edge.state/1", alias="schema")
    online: bool
    ts: Timestamp | None = Field(description="null in the last will, which the broker sends later")
    session: str = Field(description="changes with every start of the daemon")
    ne107: Literal["G", "M", "S", "C", "F"] = Field(
        description="good, maintenance, out of specification, function check, failure"
    )
    reasons: tuple[str, ...] = ()
    version: str
    model: ModelInfo | None = None
    profile: str | None = Field(
        default=None, description="what holds now, for the product that is made; null: the site has no profiles"
    )
    alarms: AlarmCounts | None = None


class ChannelInfo(Message):
    """One flag channel as `meta` announces it."""

    id: str
    title: str
    camera: str | None
    region: str | None = Field(default=None, description="null: the whole picture, or no camera")
    vision: str | None
    rules: tuple[str, ...]
    combine: str
    armed: bool
    held: bool = Field(
        default=True,
        description="false: the profile that holds now leaves it out: it is unknown, and its alarm suppressed",
    )
    threshold: float | None = Field(description="that holds now")
    release: float | None


class ProfileInfo(Message):
    """One profile as `meta` announces it."""

    id: str
    title: str


class AlarmInfo(Message):
    """One alarm as `meta` announces it."""

    id: str
    kind: Literal["process", "system"]
    severity: int = Field(ge=1, le=1000)
    message: str
    operator_action: str
    consequence: str


class Meta(Message):
    """``meta``, retained: what this node publishes and accepts."""

    schema_: Literal["edge.meta/1"] = Field(default="edge.meta/1", alias="schema")
    ts: Timestamp
    session: str
    version: str
    model: ModelInfo | None = Field(description="null: a site without cameras, which needs no bundle")
    messages: tuple[str, ...] = Field(description="schema names in use")
    channels: tuple[ChannelInfo, ...]
    alarms: tuple[AlarmInfo, ...]
    profile: str | None = Field(default=None, description="what holds now; null: the site has no profiles")
    profiles: tuple[ProfileInfo, ...] = Field(default=(), description="what `cmd/profile` takes")
    heartbeat_s: float | None = Field(
        default=None, description="s between heartbeats; without one for much longer, the daemon is not there"
    )


class Flag(Message):
    """``flag/{channel}``: the verdict on the newest frame, the fast path; at most about 300 bytes."""

    schema_: Literal["edge.flag/1"] = Field(default="edge.flag/1", alias="schema")
    ch: str
    on: bool | None = Field(description="true fault, false ok, null unknown")
    verdict: Verdict
    q: Quality
    score: float | None = Field(ge=0.0, le=1.0)
    ts: Timestamp
    seq: Counter = Field(description="rises with every flag of this session; gaps show losses, repeats show duplicates")
    cam: str | None
    frame_seq: Counter | None
    frame_ts: Timestamp | None = Field(description="when the frame was captured, by the clock of its source")
    lat_ms: Milliseconds | None = Field(description="received to flag handed over")
    stage_ms: tuple[float, ...] = Field(default=(), description="queue, decode, infer, decide")
    met: bool | None = Field(description="whether the deadline was met")
    part: str | None = Field(default=None, description="the part that the frame shows, where a trigger waited for it")


class Value(Message):
    """``value/{channel}``: the score for trends."""

    schema_: Literal["edge.value/1"] = Field(default="edge.value/1", alias="schema")
    ch: str
    score: float | None = Field(ge=0.0, le=1.0)
    q: Quality
    ts: Timestamp


class AlarmTimes(Message):
    """When an alarm's occurrence passed its states."""

    active: Timestamp | None
    acked: Timestamp | None
    cleared: Timestamp | None
    shelved_until: Timestamp | None
    published: Timestamp


class AlarmSource(Message):
    """What the alarm was raised from."""

    camera: str | None
    frame_seq: Counter | None
    frame_ts: Timestamp | None
    part: str | None = Field(default=None, description="the part that the frame shows, where a trigger waited for it")
    model: str | None = Field(description="null: a site without cameras, which needs no bundle")
    model_sha256: str | None


class Asset(Message):
    """Which equipment it is about."""

    path: str
    rds_pp: str


class AlarmAck(Message):
    """Who acknowledged, and their comment."""

    user: str | None
    comment: str | None


class Alarm(Message):
    """``alarm/{id}``, retained: the full condition of one alarm."""

    schema_: Literal["edge.alarm/1"] = Field(default="edge.alarm/1", alias="schema")
    id: str
    occurrence_id: str | None
    epoch: Counter = Field(description="number of this start of the daemon; rises with every start")
    seq: Counter = Field(description="the newest message of an alarm is the one with the highest (epoch, seq)")
    state: str
    active: bool
    acked: bool
    latched: bool
    shelving: Literal["Unshelved", "TimedShelved", "OneShotShelved"]
    suppressed: bool
    out_of_service: bool
    severity: int = Field(ge=1, le=1000)
    priority: str
    kind: Literal["process", "system"]
    message: str
    operator_action: str
    consequence: str
    quality: Quality
    value: float | None
    threshold: float | None
    time: AlarmTimes
    source: AlarmSource
    asset: Asset
    ack: AlarmAck
    chattering: bool = False
    first_out: bool = False
    reason: str | None = Field(
        default=None,
        description="why the condition holds, as a code, e.g. of docs/cameras.md; the message says it in words",
    )
    suppressed_because: str | None = Field(
        default=None, description="why the daemon itself suppressed it by design: another alarm shows the cause"
    )


class Spot(Message):
    """A point of the picture, as shares of its width and height from the upper left corner."""

    x: float = Field(ge=0.0, le=1.0)
    y: float = Field(ge=0.0, le=1.0)


class HeatMap(Message):
    """The picture that goes with a sentence, for readers without MQTT 5's user properties: whichever fits this is its own."""

    size_bytes: Counter
    sha256: str
    content_type: Literal["image/jpeg"] = "image/jpeg"
    width: int = Field(gt=0, description="px")
    height: int = Field(gt=0, description="px")


class Explanation(Message):
    """``explain/{alarm}``, retained: one sentence about one occurrence, for a person; never needed to act, and evidence for nothing."""

    schema_: Literal["edge.explain/1"] = Field(default="edge.explain/1", alias="schema")
    id: str = Field(description="alarm id")
    occurrence_id: str = Field(description="the occurrence it belongs to; drop it when the alarm shows another")
    machine_made: Literal[True] = True
    ts: Timestamp
    text: str = Field(max_length=2000, description="what, where, how sure; states itself that it is machine-made")
    how: Literal["template", "generated"] = Field(
        description="template: from scores alone; generated: the model's own words, then the template"
    )
    where: str | None = Field(
        description="where on the picture, in words, e.g. upper left; null: unknown or everywhere"
    )
    spot: Spot | None = Field(description="the same as a point")
    image: HeatMap | None = Field(
        default=None,
        description="the picture that follows, retained, on explain/{alarm}/image; null: none does, and an earlier one was taken away",
    )
    explained_by: tuple[str, ...] | None = Field(
        default=None,
        description="of the unnamed channel: titles of the named faults that were flagged on the same picture, none: it is something else; null: it has a name",
    )
    score: float | None = Field(ge=0.0, le=1.0, description="of the picture, when the alarm was raised")
    threshold: float | None = Field(ge=0.0, le=1.0)
    confidence: float | None = Field(
        ge=0.0, le=1.0, description="how far the score is above its threshold: 0 at the threshold, 1 at score 1"
    )
    word_probability: float | None = Field(
        ge=0.0,
        le=1.0,
        description="geometric mean over generated words: how sure the model was of its words, not of the fault",
    )
    source: AlarmSource
    made_ms: Milliseconds = Field(description="processor time spent on it")
    waited_ms: Milliseconds = Field(description="from the alarm, or the command, to this message")
    preempted: Counter = Field(description="how often a frame preempted it")


class Event(Message):
    """``event``: the journal; (epoch, seq) identifies one event permanently, and ``seq`` rises without gaps within an epoch."""

    schema_: Literal["edge.event/1"] = Field(default="edge.event/1", alias="schema")
    ts: Timestamp
    session: str
    epoch: Counter = Field(description="number of this start of the daemon; rises with every start")
    seq: Counter
    historical: bool = Field(
        default=False, description="resent, or late: the broker may have lost it, or was away; drop it if known"
    )
    kind: Literal["alarm", "command", "system"]
    subject: str = Field(description="alarm id, command verb, or part of the daemon")
    what: str = Field(description="transition, e.g. NORM->UNACK_ALM, or what happened")
    occurrence_id: str | None = None
    user: str | None = None
    detail: str = ""


class EvidenceKept(Message):
    """``evidence/{alarm}``: what was seen around one occurrence is kept on the device; `edge-daemon evidence` fetches it there."""

    schema_: Literal["edge.evidence/1"] = Field(default="edge.evidence/1", alias="schema")
    ts: Timestamp
    alarm_id: str
    occurrence_id: str
    recording: str = Field(description="its name on the device; several occurrences may share one")
    frames: Counter
    left_out: Counter = Field(description="frames that the disk was too slow for")
    size_bytes: Counter
    problem: str = Field(default="", description="why it is not whole; empty: it is")


PUBLISHED: tuple[type[Message], ...] = (
    State,
    Heartbeat,
    Meta,
    Flag,
    Value,
    Alarm,
    Explanation,
    EvidenceKept,
    Inspection,
    Event,
    Reply,
)
ACCEPTED: tuple[type[Message], ...] = (Command,)


def schema_name(kind: type[Message]) -> str:
    """The name that a message carries in its ``schema`` field."""
    name: str = kind.model_fields["schema_"].default
    return name


def json_schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of every message by schema name."""
    return {
        schema_name(kind): kind.model_json_schema(by_alias=True, mode="serialization")
        for kind in (*PUBLISHED, *ACCEPTED)
    }
