"""The tables of ``site.toml``: every key with its type, limits, unit and meaning; `edge.site.settings` puts them together.

One table of data, which is why it is longer than other modules: docs/settings.md is made of the descriptions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edge.frame import MAX_BYTES, MAX_PIXELS
from edge.parsing.toml_file import Section
from edge.site.kinds import (
    Identifier,
    Long,
    NotNegative,
    Pointer,
    Positive,
    Rate,
    SparkplugId,
    Topic,
)
from edge.site.regions import MOST_REGIONS, RegionSettings
from edge.site.source import SourceSettings
from edge.site.trigger import TriggerSettings
from edge.units import mean_time_ns
from edge.wire.verbs import Verb

SECONDS_A_DAY = 86_400


class NodeSettings(Section):
    """This device."""

    id: Identifier = Field(
        description="device id: beginning of its MQTT client ids and part of every topic; with mTLS also the certificate's common name"
    )
    asset_path: str = Field(
        default="", description="ISA-95 path of the watched equipment, e.g. acme/north/line3; carried in alarms"
    )
    rds_pp: str = Field(default="", description="RDS-PP designation; carried in alarms, never in a topic")
    state_dir: Path | None = Field(
        default=None,
        description="folder for what must survive a restart (alarm states, shelving, events not yet delivered, boot counter); none: the folder that systemd makes "
        "for the service (StateDirectory=, $STATE_DIRECTORY), else memory only, and nothing survives",
    )
    require_synchronised_clock: bool = Field(
        default=False,
        description="raise node-clock while the kernel does not report the system clock as synchronised (NTP, PTP, GPS): stamps cannot be trusted then",
    )


class TlsSettings(Section):
    """TLS to the broker; with certificate and key it is mutual."""

    ca_file: Path = Field(description="PEM file of the authority that signed the broker's certificate")
    cert_file: Path | None = Field(default=None, description="PEM file of this device's certificate (mTLS)")
    key_file: Path | None = Field(
        default=None, description="PEM file of this device's key; must not be readable by others"
    )
    minimum_version: Literal["1.2", "1.3"] = Field(default="1.2", description="lowest TLS version accepted")

    @model_validator(mode="after")
    def _pair(self) -> TlsSettings:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: give both or neither")
        return self


class BrokerSettings(Section):
    """The MQTT broker."""

    host: str = Field(default="127.0.0.1", description="name or address")
    port: int = Field(default=1883, ge=1, le=65535, description="TCP port; 8883 is usual with TLS")
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        default="auto", description="MQTT version; auto tries 5 and falls back to 3.1.1"
    )
    root: Topic = Field(default="edge/v1", description="first part of every topic, e.g. acme/north/edge/v1")
    username: str | None = Field(default=None, description="user name, if the broker requires one")
    password_file: Path | None = Field(
        default=None, description="file holding the password; must not be readable by others"
    )
    tls: TlsSettings | None = Field(
        default=None,
        description="TLS; none: plain TCP, for a broker on this machine only (but see runtime.insecure_dev)",
    )
    secret_client_id: bool = Field(
        default=True,
        description="with mTLS, end the MQTT client ids with a code made of the key, so that no other certificate can take our connections; "
        "false for a broker that wants client ids of its own choice, such as the certificate's common name",
    )
    keepalive_s: int = Field(
        default=5, ge=2, le=600, description="s between signs of life; a dead link is noticed after about twice this"
    )
    reconnect_max_s: Positive = Field(
        default=30.0, description="longest pause between attempts to connect, s; to a broker on this machine at most 2"
    )
    max_packet_bytes: int = Field(
        default=8_100_000,
        ge=10_000,
        le=268_435_455,
        description="largest MQTT packet accepted, bytes: what is larger, an MQTT 5 broker drops without a word, and over 3.1.1 it ends the connection",
    )


class SparkplugSettings(Section):
    """Sparkplug B 3.0 edge node, beside the JSON topics and on a connection of its own. See docs/sparkplug.md."""

    enabled: bool = Field(default=False, description="also publish Sparkplug B")
    group_id: SparkplugId | None = Field(
        default=None, description="Sparkplug group, e.g. the site; needed when enabled"
    )
    edge_node_id: SparkplugId | None = Field(default=None, description="Sparkplug edge node; default: node.id")
    primary_host: SparkplugId | None = Field(
        default=None, description="host application to wait for (its STATE); none: births are published at once"
    )
    data_types: bool = Field(
        default=False,
        description="put the type of every metric into data messages too, not only in births: against the specification's advice, "
        "for hosts that read nothing without it",
    )
    servers: tuple[BrokerSettings, ...] = Field(
        default=(),
        description="MQTT servers, one at a time and in turn; none: that of [broker]. Their root is not used",
    )

    @model_validator(mode="after")
    def _named(self) -> SparkplugSettings:
        if self.enabled and self.group_id is None:
            raise ValueError("group_id is needed: give the Sparkplug group, e.g. the name of the site")
        if self.group_id == "STATE":
            raise ValueError("group_id STATE would collide with the hosts' own topics: choose another")
        return self


class PictureSettings(Section):
    """When a camera's pictures may not be trusted: its faults become unknown and it raises an alarm. See docs/picture-quality.md."""

    frozen_after_ms: NotNegative = Field(
        default=2000.0, description="exactly equal pictures for so long are a frozen camera, ms; 0: off"
    )
    darkest: float = Field(
        default=20.0, ge=0.0, le=255.0, description="dark: 99 % of the picture is below this grey level; 0: off"
    )
    brightest: float = Field(
        default=245.0, ge=0.0, le=255.0, description="dazzled: 90 % of the picture is above this grey level; 255: off"
    )
    sharpness_share: float = Field(
        default=0.4,
        ge=0.0,
        lt=1.0,
        description="blurred: less than this share of the sharpness of the camera's own good frames; 0: off",
    )
    covered_share: float = Field(
        default=0.15,
        ge=0.0,
        le=1.0,
        description="covered: a connected patch of so large a share of the picture lost the detail it always had, or is lighter or darker than it ever was; 0: off",
    )
    n_of_m: tuple[int, int] = Field(
        default=(3, 5), description="[n, m]: n of the last m frames must show a trouble (a freeze counts by time)"
    )
    damage: bool = Field(
        default=True,
        description="refuse pictures that show hidden damage: one row again and again, or a level that jumps below a row",
    )
    accept_after_s: Long = Field(
        default=3600.0,
        description="pictures of another size, form or colour are uncertain until they came without a break for so long, s; 0: until an operator accepts them",
    )

    @model_validator(mode="after")
    def _consistent(self) -> PictureSettings:
        n, m = self.n_of_m
        if not 1 <= n <= m <= 1000:
            raise ValueError(f"n_of_m {list(self.n_of_m)} must be 1 <= n <= m <= 1000")
        return self


class CameraSettings(Section):
    """One source of frames."""

    id: Identifier
    topic: Topic | None = Field(
        default=None, description="MQTT topic of its frames; default {root}/{node}/in/frame/{id}"
    )
    budget_ms: Positive | None = Field(
        default=None, description="receipt of a frame's last byte to its flag handed over, ms; default: the bundle's"
    )
    stale_after_ms: Positive = Field(
        default=2000.0, description="without a frame for so long its faults become unknown, ms"
    )
    max_age_ms: NotNegative | None = Field(
        default=None,
        description="a frame whose own time is longer ago is refused (`too_old`), ms; default: twice stale_after_ms; "
        "0: frames' own times are ignored, for a camera whose clock is wrong",
    )
    max_bytes: int = Field(default=8_000_000, gt=0, le=MAX_BYTES, description="largest encoded frame accepted, bytes")
    max_pixels: int | None = Field(
        default=None,
        gt=0,
        le=MAX_PIXELS,
        description="largest picture accepted, px, however long it takes to decode; default: what the budget leaves on this machine, which `edge-daemon check` prints",
    )
    min_side_px: int = Field(
        default=16, gt=0, description="shortest side accepted, px; less is a placeholder and no view"
    )
    checksum: Literal["optional", "required"] = Field(
        default="optional",
        description="whether frames must carry `crc32` or `sha256` of their payload as an MQTT 5 user property; one that is there is always checked",
    )
    image_pointer: str | None = Field(
        default=None,
        description="JSON pointer to a base64 picture when frames come inside JSON; default: found by name",
    )
    availability_topic: Topic | None = Field(
        default=None,
        description="where its gateway publishes `online` and `offline` (its last will); offline makes the camera's faults unknown at once",
    )
    gateway: Identifier | None = Field(
        default=None,
        description="what its frames come over: cameras and sensors of one gateway that fall silent together are one alarm, gateway-{gateway}-silent; "
        "default: those of one topic, or of topics that differ in one level",
    )
    snapshot: bool = Field(
        default=False,
        description="pictures of this camera may be published, by `cmd/snapshot` and, with explain.image, beside explanations: they can show "
        "people, so a site has to enable it",
    )
    evidence: bool = Field(
        default=False,
        description="keep the seconds around each of its alarms in node.state_dir, as pictures: they can show people, so a site has to enable it",
    )
    collect: bool = Field(
        default=False,
        description="collect some of its pictures by score in node.state_dir, for the next build: they can show people, so a site has to enable it",
    )
    picture: PictureSettings = PictureSettings()
    source: SourceSettings | None = Field(
        default=None, description="where `edge-camera` gets its pictures from; none: something else publishes them"
    )
    trigger: TriggerSettings | None = Field(
        default=None,
        description="parts that are to be judged one by one, when a trigger says that one is there; none: only `cmd/inspect` asks",
    )
    regions: tuple[RegionSettings, ...] = Field(
        default=(), max_length=MOST_REGIONS, description="parts of the picture that faults may look at by themselves"
    )

    @model_validator(mode="after")
    def _regions_differ(self) -> CameraSettings:
        ids = [region.id for region in self.regions]
        twice = sorted({name for name in ids if ids.count(name) > 1})
        if twice:
            raise ValueError(f"region ids of camera {self.id} repeat: {twice}")
        return self

    def oldest_ms(self) -> float:
        """How long ago a frame's own time may be, ms; 0: it does not matter."""
        return 2.0 * self.stale_after_ms if self.max_age_ms is None else self.max_age_ms


class SensorSettings(Section):
    """One sensor value."""

    id: Identifier
    topic: Topic | None = Field(default=None, description="MQTT topic; default {root}/{node}/in/sensor/{id}")
    format: Literal["auto", "number", "json", "senml", "switch"] = Field(
        default="auto",
        description="payload: a bare number, JSON, or SenML (RFC 8428); auto looks; switch is auto for a sensor whose ON and OFF are 1 and 0",
    )
    pointer: Pointer | None = Field(
        default=None,
        description="JSON pointer (RFC 6901) to the value, e.g. /params/pm1:0/apower; from the record that `where` chooses; default: by name",
    )
    where: dict[Pointer, str | bool | int | float] = Field(
        default_factory=dict,
        description='which record of a message, or message of a topic, is this sensor\'s: JSON pointers from the record and the values there, e.g. {"/id" = 1234}',
    )
    senml_name: str | None = Field(
        default=None,
        description="what the source calls it: a key, a tag, a resolved SenML name; default: the sensor's id",
    )
    quality_pointer: Pointer | None = Field(
        default=None,
        description="JSON pointer to the quality that the source gives for the value, from the record or the document; the usual fields are looked at by "
        "themselves. Nothing there, or a word that is not known, is bad",
    )
    quality_good: tuple[str | bool | int | float, ...] = Field(
        default=(), description='what quality_pointer must find for a good value, e.g. ["OK"]; none: the usual codes'
    )
    availability_topic: Topic | None = Field(
        default=None,
        description="where its gateway publishes `online` and `offline` (its last will); offline makes the sensor bad at once",
    )
    unit: str = Field(
        default="",
        description='engineering unit, for people; a value that is text with a unit ("3.2 kW") counts only if it is this one',
    )
    minimum: float | None = Field(default=None, description="values below are impossible: rejected as out_of_range")
    maximum: float | None = Field(default=None, description="values above are impossible: rejected as out_of_range")
    stale_after_ms: Positive = Field(
        default=5000.0, description="without a value for so long its rules become unknown, ms"
    )
    gateway: Identifier | None = Field(
        default=None,
        description="what its values come over: cameras and sensors of one gateway that fall silent together are one alarm, gateway-{gateway}-silent, and "
        "sensors that freeze together gateway-{gateway}-frozen; default: those of one topic, or of topics that differ in one level",
    )
    max_age_ms: NotNegative | None = Field(
        default=None,
        description="a value that its source measured longer ago is refused (`too_old`), ms; default: twice stale_after_ms; 0: the source's times are "
        "ignored, for a source whose clock is wrong or that repeats the time of the last change",
    )
    period_ms: Positive | None = Field(
        default=None,
        description="how often it is sent, at the slowest, ms: `check` then says which delays and spans are too short for it",
    )
    frozen_after_ms: NotNegative = Field(
        default=0.0,
        description="exactly the same value for so long is a stuck sensor: its rules become unknown and `{id}-frozen` is raised, ms; 0: off",
    )

    def oldest_ms(self) -> float:
        """How long ago a value's own time may be, ms; 0: it does not matter."""
        return 2.0 * self.stale_after_ms if self.max_age_ms is None else self.max_age_ms


class AlarmSettings(Section):
    """How a fault becomes an alarm; without an operator action it is an event, not an alarm (ISA-18.2). See docs/alarm.md."""

    severity: int = Field(ge=1, le=1000, description="1 to 1000; 401 is medium, 601 high, 801 critical")
    message: str = Field(min_length=1, description="what the operator reads")
    operator_action: str = Field(min_length=1, description="what the operator is to do about it")
    consequence: str = Field(min_length=1, description="what happens if it is not done")
    on_delay_ms: NotNegative = Field(
        default=0.0, description="the fault must last so long, of known time, before the alarm is raised, ms"
    )
    off_delay_ms: NotNegative = Field(
        default=1000.0, description="the fault must be gone so long, of known time, before the alarm returns, ms"
    )
    n_of_m: tuple[int, int] = Field(
        default=(1, 1), description="[n, m]: the fault counts when n of its last m known verdicts are faults"
    )
    latching: bool = Field(default=False, description="a returned alarm stays until it is acknowledged and reset")
    auto_ack: bool = Field(default=False, description="an alarm that returns needs no acknowledgement")
    re_alarm_s: Long = Field(
        default=0.0,
        description="an acknowledged alarm that is still active is annunciated again after so long, s; 0: never",
    )
    max_shelve_s: Long = Field(
        default=28800.0, description="longest time that an operator may shelve it, s; 0: may not be shelved"
    )
    chatter_shelve_s: Long = Field(
        default=0.0, description="shelve it for so long when it chatters (3 times in a minute), s; 0: only mark it"
    )
    bound: Rate | None = Field(
        default=None,
        description="how often it may be raised falsely on average, of known time, e.g. `1 per week`: the daemon counts, and raises `{fault}-overbound` when "
        "that is not kept; see docs/promise.md",
    )
    group: Identifier | None = Field(
        default=None, description="alarms of one group mark which of them came first (first-out); none: no group"
    )

    @property
    def bound_ns(self) -> int | None:
        """The mean known time that is promised between two false alarms, ns; None: nothing is."""
        return None if self.bound is None else mean_time_ns(self.bound)

    @model_validator(mode="after")
    def _consistent(self) -> AlarmSettings:
        n, m = self.n_of_m
        if self.bound is not None:
            mean_time_ns(self.bound)
        if not 1 <= n <= m <= 1000:
            raise ValueError(f"n_of_m {list(self.n_of_m)} must be 1 <= n <= m <= 1000")
        if self.latching and self.auto_ack:
            raise ValueError("latching and auto_ack exclude each other: choose one")
        if self.chatter_shelve_s > self.max_shelve_s:
            raise ValueError(
                f"chatter_shelve_s {self.chatter_shelve_s} is longer than max_shelve_s {self.max_shelve_s}"
            )
        return self


class FaultSettings(Section):
    """One fault flag: its evidence from a camera, from sensors, or both, and its alarm."""

    id: Identifier = Field(description="flag channel and alarm id")
    title: str = Field(default="", description="short name for people; default: the bundle's title, or the id")
    camera: Identifier | None = Field(default=None, description="camera whose frames show it; none: sensors only")
    window: Identifier | None = Field(
        default=None, description="window of readings, as the bundle names it, that shows it; none: a camera or rules"
    )
    region: Identifier | None = Field(
        default=None, description="region of the camera's picture that shows it; none: the whole picture"
    )
    vision: Identifier | None = Field(default=None, description="fault id inside the bundle; default: this id")
    rules: tuple[Identifier, ...] = Field(default=(), description="sensor rules that are evidence for it")
    combine: Literal["any", "all", "weighted"] = Field(default="any", description="how the evidence is joined")
    weights: dict[str, NotNegative] = Field(
        default_factory=dict,
        description="weighted: share of 'vision' and of each rule id; missing ones count 1; normalised to sum 1",
    )
    weighted_threshold: float = Field(
        default=0.5, ge=0.0, le=1.0, description="weighted: the joined score at and above which it is a fault"
    )
    alarm: AlarmSettings | None = Field(
        default=None, description="alarm; none: the flag is published, no alarm is raised"
    )

    @model_validator(mode="after")
    def _has_evidence(self) -> FaultSettings:
        if self.camera is None and self.window is None and not self.rules:
            raise ValueError(f"fault {self.id} has no evidence: give it a camera or a window, rules, or both")
        if self.camera is not None and self.window is not None:
            raise ValueError(f"fault {self.id} has a camera and a window: the bundle scores it by one; make two faults")
        if self.camera is None and self.window is None and self.vision is not None:
            raise ValueError(f"fault {self.id} names vision evidence but no camera and no window")
        if self.camera is None and self.region is not None:
            raise ValueError(
                f"fault {self.id} names region {self.region} but no camera: set the camera whose picture it is"
            )
        unknown = set(self.weights) - {"vision", *self.rules}
        if unknown:
            raise ValueError(f"fault {self.id} gives weights to {sorted(unknown)}, which are not its evidence")
        return self


class DriftSettings(Section):
    """Whether the scores of normal frames stay what they were when their limit was set. See docs/promise.md."""

    enabled: bool = Field(
        default=True,
        description="watch it, and raise `{fault}-drift`; needs a bundle that says what normal pictures scored",
    )
    block_s: Positive = Field(
        default=3600.0,
        description="length of a block, s: what the plant remembers (light, load, warmth) must be shorter than half of it",
    )
    mean_days: Positive = Field(
        default=365.0,
        description="while nothing drifts, a false `{fault}-drift` comes after so long on average at least, d",
    )

    @model_validator(mode="after")
    def _has_blocks(self) -> DriftSettings:
        if self.mean_days * SECONDS_A_DAY < self.block_s:
            raise ValueError(
                "mean_days is shorter than one block: no block may be judged then; raise it, or lower block_s"
            )
        return self


class PublishSettings(Section):
    """How often and how much is published."""

    heartbeat_s: Positive = Field(default=10.0, description="s between heartbeats")
    value_min_interval_ms: NotNegative = Field(
        default=500.0, description="scores of one channel are published at most so often, ms"
    )
    value_deadband: NotNegative = Field(
        default=0.02, description="and only when the score moved by so much since the last one"
    )
    flags: Literal["change", "frame"] = Field(
        default="change",
        description="publish a flag when its verdict or quality changes, or with every frame (test benches, replays)",
    )
    flag_repeat_s: NotNegative = Field(
        default=0.0, description="repeat an unchanged flag after so long, s; 0: only on change"
    )


class ExplainSettings(Section):
    """Sentences for the operator after an alarm, made in time that the frames leave over. See docs/explain.md."""

    enabled: bool = Field(default=True, description="explain alarms on the explain topic; nothing else depends on it")
    patience_s: Positive = Field(
        default=20.0, description="without time left over for so long, what is known until then is published, s"
    )
    min_spare_ms: NotNegative = Field(
        default=2.0, description="time that must be left after a step until the next frame is to be expected, ms"
    )
    grid: int = Field(
        default=6,
        ge=0,
        le=16,
        description="where: so many places a side are covered, one run of the graph each (grid x grid + 1 in all); 0: do not look where",
    )
    max_tokens: int = Field(default=40, ge=1, le=400, description="longest sentence of a generative bundle, tokens")
    image: bool = Field(
        default=False,
        description="publish beside the sentence the frame with what moved the score drawn over it, retained for a day; of cameras with "
        "`snapshot = true` only: pictures can show people, so a site has to enable it",
    )
    image_px: int = Field(default=640, ge=64, le=1920, description="longest edge of that picture, px")
    image_max_bytes: int = Field(
        default=60_000,
        ge=2_000,
        le=1_000_000,
        description="a larger one is encoded more coarsely, and left out if that does not help, bytes: flags of the same connection wait behind it",
    )

    @model_validator(mode="after")
    def _shows_something(self) -> ExplainSettings:
        if self.image and self.grid == 0:
            raise ValueError("image shows where the fault is, and grid = 0 does not look: choose one")
        return self


class EvidenceSettings(Section):
    """What is kept around an alarm of a camera with `evidence = true`. See docs/evidence.md."""

    before_s: float = Field(
        default=5.0, ge=0.0, le=60.0, description="of the time before the alarm, s; held in memory until then"
    )
    after_s: float = Field(default=5.0, ge=0.0, le=60.0, description="of the time after it, s")
    memory_mb: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="encoded pictures in memory, of all cameras together, MB; beyond it the oldest are discarded",
    )
    max_mb: int = Field(
        default=1000,
        ge=10,
        description="recordings on the disk, MB; beyond it the oldest are deleted before a new one begins",
    )
    keep_days: Positive = Field(default=30.0, description="older recordings are deleted, days")


class CollectSettings(Section):
    """What is kept for the next build of a camera with `collect = true`. See docs/recording.md."""

    near: float = Field(
        default=0.15, gt=0.0, le=1.0, description="a score that lies no farther from its threshold is near it"
    )
    near_per_hour: int = Field(
        default=6, ge=0, le=360, description="of each camera: pictures whose score was nearest to a threshold, per hour"
    )
    highest_per_hour: int = Field(
        default=2,
        ge=0,
        le=360,
        description="of each camera: pictures with the highest score over a threshold, per hour",
    )
    random_per_hour: int = Field(default=2, ge=0, le=360, description="of each camera: pictures at random, per hour")
    alarms_per_hour: int = Field(
        default=12,
        ge=0,
        le=360,
        description="of each camera: pictures on which an alarm was raised, per hour; an operator's answer sorts them",
    )
    max_mb: int = Field(
        default=500,
        ge=10,
        description="pictures on the disk, MB, in equal parts for each kind; beyond it the oldest of the least worth are deleted",
    )
    keep_days: Positive = Field(default=90.0, description="older pictures are deleted, days")


class CommandSettings(Section):
    """What may be asked of this node over MQTT; who may ask is the broker's business (its access rules)."""

    refused: tuple[Verb, ...] = Field(default=(), description="verbs that are refused from every client")
    snapshot_max_bytes: int = Field(
        default=300_000,
        gt=0,
        description="a larger picture is not sent as a snapshot, bytes: flags of the same connection wait behind it",
    )
    snapshot_interval_s: NotNegative = Field(
        default=1.0, description="s between two snapshots of one camera, at least; sooner is answered `busy`"
    )


class RuntimeSettings(Section):
    """How the daemon uses the machine."""

    realtime_priority: int = Field(
        default=10,
        ge=0,
        le=80,
        description="SCHED_FIFO priority of the inference thread where the system permits it; 0: do not ask",
    )
    intra_op_threads: int | None = Field(
        default=None, ge=1, le=64, description="overrides the thread count that the bundle was measured with"
    )
    provider: Literal["CPUExecutionProvider", "OpenVINOExecutionProvider"] | None = Field(
        default=None,
        description="overrides the execution provider of ONNX Runtime that the bundle was measured with; its proof is repeated with it",
    )
    allow_other_board: bool = Field(
        default=False, description="run a bundle made for another board anyway; its latency proof does not hold then"
    )
    allow_unproven: bool = Field(
        default=False,
        description="run a bundle that says itself that its proof does not count: over the budget on its own board, or measured on a busy one",
    )
    allow_older_bundle: bool = Field(
        default=False,
        description="run a bundle of a lower version than one of its name that ran here before; what ran is kept in node.state_dir",
    )
    insecure_dev: bool = Field(
        default=False,
        description="allow a broker on another machine without TLS, also with a password, which is then sent in the clear",
    )
