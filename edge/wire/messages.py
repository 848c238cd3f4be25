"""Every published message and every command, as frozen records with a JSON Schema each.

One table of data, which is why it is longer than other modules. Messages are built, never parsed, here, except commands and replies. Topic tree,
QoS and retain are in docs/topics.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edge.frame import Quality, Verdict
from edge.units import NS_PER_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Timestamp = Annotated[
    str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", description="UTC, RFC 3339 with milliseconds")
]
Milliseconds = Annotated[float, Field(ge=0.0)]
Counter = Annotated[int, Field(ge=0)]


def timestamp(wall_ns: int) -> str:
    """RFC 3339 UTC with milliseconds, from nanoseconds since the epoch."""
    moment = _EPOCH + timedelta(milliseconds=wall_ns // NS_PER_MS)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class Message(BaseModel):
    """Base of all messages: frozen, no unknown fields, no NaN, compact on the wire."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True, serialize_by_alias=True
    )

    def encode(self) -> bytes:
        """The JSON bytes that go on the wire."""
        return self.model_dump_json().encode()


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


class LatencySummary(Message):
    """Distribution over the frames since the last heartbeat."""

    count: Counter
    p50_ms: Milliseconds | None
    p95_ms: Milliseconds | None
    p99_ms: Milliseconds | None
    max_ms: Milliseconds | None


class PictureInfo(Message):
    """What kind of picture a camera sends now."""

    width: Counter = Field(description="of the newest frame, px")
    height: Counter = Field(description="px")
    colour: bool = Field(description="false: grey, as in infrared at night")
    accepted: tuple[str, ...] = Field(description="the kinds that were learned or accepted; empty: none yet")
    changed: bool = Field(description="it is none of these: verdicts are uncertain until it is accepted")


class RegionHealth(Message):
    """One region of a camera's picture; a region without a grid is one tile."""

    computed: Counter = Field(description="tiles that got their scores")
    unchanged: Counter = Field(
        default=0, description="tiles that showed what they showed when they were computed: their verdicts hold"
    )
    skipped: Counter = Field(description="tiles of judged frames that had changed and did not fit into the budget")
    tiles: Counter = Field(default=1, description="how many it has")
    coverage: float = Field(
        default=0.0,
        ge=0.0,
        le=1.0,
        description="share of its tiles of which a verdict is young enough; less than 1 is never ok",
    )
    age_ms: Milliseconds | None = Field(
        description="since the newest frame on which its oldest tile was seen was received; null: one was never seen"
    )


class CameraHealth(Message):
    """The deadline ledger of one camera; counters count since the start."""

    budget_ms: Milliseconds
    received: Counter
    verdicts: Counter
    misses: Counter = Field(description="verdicts that came after their deadline")
    dropped: dict[str, Counter] = Field(description="frames without a verdict, by reason")
    rejected: dict[str, Counter] = Field(description="of the dropped: what was wrong with the malformed ones")
    latency: LatencySummary = Field(description="received to flag handed over")
    acknowledged: LatencySummary = Field(description="received to the broker's PUBACK of the flag")
    stages: dict[str, LatencySummary] = Field(description="queue, decode, infer, decide, publish")
    fps_in: float = Field(ge=0.0)
    fps_out: float = Field(ge=0.0)
    frame_age_ms: Milliseconds | None = Field(description="since the newest frame was received")
    blind_ms: Milliseconds = Field(description="total time without a verdict in budget, see docs/deadline.md")
    blind_now: bool
    picture: PictureInfo | None = Field(default=None, description="null: no frame was decoded yet")
    regions: dict[str, RegionHealth] = Field(
        default_factory=dict, description="by name; empty where only the whole picture is looked at"
    )
    inspections: dict[str, Counter] = Field(
        default_factory=dict, description="triggers since the start, by outcome; see edge.inspection"
    )
    parts: dict[str, Counter] = Field(
        default_factory=dict, description="of these: parts that were answered for the first time, by verdict"
    )


class SensorHealth(Message):
    """One sensor."""

    received: Counter
    rejected: dict[str, Counter]
    age_ms: Milliseconds | None


class AlarmFigures(Message):
    """How well the alarm system does (ISA-18.2, EEMUA 191): goals are 1 in 10 minutes, no flood, nothing chattering or standing."""

    annunciated_10_min: Counter
    annunciated_day: Counter
    average_10_min: float = Field(ge=0.0)
    peak_10_min: Counter
    flood: bool = Field(description="more than 10 in 10 minutes, until fewer than 5")
    flood_s: float = Field(ge=0.0, description="total time in flood")
    observed_s: float = Field(ge=0.0)
    by_priority: dict[str, Counter]
    top: tuple[tuple[str, Counter], ...] = Field(description="the most frequent alarms of the last 24 h")
    top_share: float = Field(ge=0.0, le=1.0)
    chattering: tuple[str, ...]
    standing: tuple[str, ...] = Field(description="active for more than 24 h")
    hidden: tuple[str, ...] = Field(description="shelved, suppressed by a user or out of service")


class JournalFigures(Message):
    """The journal: what is kept until it was received, and whether it is on disk."""

    epoch: Counter
    held: Counter = Field(description="events kept, to be resent to a broker that lost them")
    waiting: Counter = Field(description="of these: not yet confirmed by the broker")
    lost: Counter = Field(description="events dropped unconfirmed, because more happened than is kept")
    repeated: Counter = Field(description="events sent more than once or late, marked historical")
    storage: Literal["none", "ok", "low", "memory"] = Field(
        description="none: not configured; low: the reserve is used up; memory: nothing survives a restart now"
    )
    reason: str = Field(description="what is wrong with the storage; empty when nothing is")
    set_aside: Counter = Field(
        description="damaged journals put aside since this start; node-storage is active while it is not 0"
    )


class Heartbeat(Message):
    """``heartbeat``: the deadline ledger and the daemon's own health."""

    schema_: Literal["edge.heartbeat/1"] = Field(default="edge.heartbeat/1", alias="schema")
    ts: Timestamp
    session: str
    seq: Counter
    uptime_s: float = Field(ge=0.0)
    cameras: dict[str, CameraHealth]
    sensors: dict[str, SensorHealth]
    alarms: AlarmFigures
    journal: JournalFigures
    profile: str | None = Field(default=None, description="what holds now; null: the site has no profiles")
    rejected: dict[str, Counter] = Field(description="messages that belong to no camera or sensor, by reason")
    explanations: dict[str, Counter] = Field(
        default_factory=dict,
        description="by outcome: template, generated, no_time, unavailable (a template instead of the model's words), stale (dropped); "
        "and of their pictures: image, image_too_large, image_no_time, image_unavailable",
    )
    collected: dict[str, Counter] = Field(
        default_factory=dict,
        description="pictures for the next build, by outcome: kept, labelled (by an operator's answer), replaced and expired (deleted for newer ones, by "
        "age); not kept: outvalued (less worth than all that are there), copy, disk_behind, disk_full, disk_error",
    )
    internal_errors: dict[str, Counter] = Field(
        default_factory=dict,
        description="by place: exceptions that are faults of this program, which continued; node-internal is active for a minute after each",
    )
    published: Counter
    acknowledged: Counter
    unpublished: dict[str, Counter] = Field(description="messages that could not be handed to the broker, by reason")
    rss_mib: float = Field(ge=0.0)
    realtime: str = Field(description="scheduling of the inference thread, e.g. fifo:10 or other")


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


class Command(Message):
    """``cmd/{verb}``, from SCADA: one request; never retained. Unknown keys are ignored: newer clients may send them."""

    model_config = ConfigDict(extra="ignore", coerce_numbers_to_str=True)

    schema_: Literal["edge.cmd/1"] = Field(default="edge.cmd/1", alias="schema")
    request_id: str = Field(
        min_length=1, max_length=128, description="the same id again is answered, not executed again"
    )
    issued_at: str = Field(max_length=40, description="RFC 3339; older than 30 s is refused")
    user: str = Field(min_length=1, max_length=128)
    comment: str = Field(default="", max_length=1000)
    alarm_id: str | None = Field(default=None, max_length=128)
    occurrence_id: str | None = Field(
        default=None, max_length=64, description="the occurrence that the operator saw; a stale one is refused"
    )
    duration_s: float | None = Field(default=None, gt=0, description="shelve: for how long, s; above 1e9 is refused")
    one_shot: bool = False
    valid: bool | None = Field(
        default=None,
        description="ack: true: the fault was there; false: it was a false alarm. Journalled and kept as a label, also of what is acknowledged already",
    )
    camera: str | None = Field(
        default=None, max_length=128, description="snapshot: whose picture; inspect: what sees the part"
    )
    part: str | None = Field(default=None, max_length=128, description="inspect: the part's id")
    profile: str | None = Field(
        default=None, max_length=128, description="profile: which, by its id or another of its names"
    )
    at: str | None = Field(
        default=None,
        max_length=40,
        description="inspect: when the part was before the camera, RFC 3339 or a number as of issued_at; default: now",
    )
    bundle: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
        description="reload: another bundle, by the name of its folder beside the one that the site file names",
    )
    weaker: tuple[str, ...] = Field(
        default=(),
        max_length=256,
        description="reload: ids of the bundle's faults that may be watched less closely than now: gone, disarmed, or with a higher threshold",
    )


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


Code = Literal[
    "ok",
    "stale_occurrence",
    "not_allowed",
    "expired",
    "bad_request",
    "duplicate",
    "busy",
    "unknown_alarm",
    "not_judged",
]


class Snapshot(Message):
    """Which picture a snapshot is, for readers without MQTT 5's user properties."""

    topic: str
    camera: str
    frame_seq: Counter = Field(description="number of the frame, as in flags")
    received: Timestamp
    age_ms: Milliseconds = Field(
        description="since the picture was received, when it was sent: a camera may have fallen silent"
    )
    captured: Timestamp | None = Field(description="when the frame was captured, by the clock of its source")
    alarm_id: str | None
    occurrence_id: str | None = Field(description="the alarm's newest occurrence when the picture was sent")
    size_bytes: Counter
    sha256: str
    content_type: Literal["image/jpeg", "image/png"]


class FaultFound(Message):
    """What the inspected frame says of one fault."""

    verdict: Verdict
    score: float | None = Field(ge=0.0, le=1.0)
    q: Quality
    reason: str = Field(
        default="",
        description="why it is unknown where the flag's own quality does not say it: not_seen (its region, or a tile of it, was not computed on this frame)",
    )


class Inspection(Message):
    """``inspection/{camera}``: the answer to one trigger. Each trigger gets one; what was not seen is unknown, never ok."""

    schema_: Literal["edge.inspection/1"] = Field(default="edge.inspection/1", alias="schema")
    ts: Timestamp
    session: str
    cam: str
    part: str | None = Field(description="the part's id; null: the trigger named none")
    correlation: str | None = Field(
        description="request id of the command, or the trigger's MQTT 5 correlation data as text"
    )
    outcome: Literal["judged", "timeout", "duplicate", "late", "busy", "unknown"]
    first: Literal["judged", "timeout", "late", "unknown"] | None = Field(
        description="of a duplicate: what became of the first trigger, whose answer this repeats"
    )
    verdict: Verdict = Field(
        description="fault if any fault is; ok only if every fault of the camera was seen to be ok"
    )
    reason: str = Field(description="why the verdict is unknown, as a code of docs/inspection.md; empty: it is known")
    q: Quality
    faults: dict[str, FaultFound] = Field(description="every fault of the camera by id; empty: no frame answers it")
    frame_seq: Counter | None = Field(description="number of the frame, as in flags; null: none answers it")
    frame_ts: Timestamp | None = Field(description="when the frame was captured, by the clock of its source")
    received: Timestamp | None = Field(description="when the frame was received")
    met: bool | None = Field(description="whether the frame's deadline was met")
    trigger_ts: Timestamp | None = Field(description="when the part was before the camera, by the trigger's own clock")
    offset_ms: float | None = Field(description="how much later than the trigger the frame was taken, as far as known")
    lat_ms: Milliseconds = Field(description="receipt of the trigger to this answer")
    times: Counter = Field(description="how often this part was asked for, as far as it is remembered")
    profile: str | None = Field(default=None, description="what held; null: the site has no profiles")
    model: str | None = None
    model_sha256: str | None = None


class Reply(Message):
    """``res/{verb}``, or the response topic of the request."""

    schema_: Literal["edge.res/1"] = Field(default="edge.res/1", alias="schema")
    request_id: str | None
    ok: bool
    code: Code
    detail: str = ""
    state: str | None = None
    snapshot: Snapshot | None = None
    inspection: Inspection | None = None


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
