"""What a client may ask, and what it is answered; commands and replies are the only messages that are parsed here."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from edge.frame import Quality, Verdict
from edge.wire.message import Counter, Message, Milliseconds, Timestamp


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
