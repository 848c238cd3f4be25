"""The heartbeat: how each camera, each sensor, the alarms and the journal are doing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from edge.wire.message import Counter, Message, Milliseconds, Timestamp


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
