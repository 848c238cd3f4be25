"""The tables of ``site.toml`` that are about the node: broker, publishing, explanations, evidence; `edge.site.settings` puts all together.

Every key has its type, limits, unit and meaning: docs/settings.md is made of the descriptions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edge.parsing.toml_file import Section
from edge.site.kinds import (
    Identifier,
    NotNegative,
    Positive,
    SparkplugId,
    Topic,
)
from edge.wire.verbs import Verb


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
