"""Cameras and sensors in ``site.toml``: where their messages come from, what is accepted, and when they count as stale."""

from __future__ import annotations

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
    Topic,
)
from edge.site.regions import MOST_REGIONS, RegionSettings
from edge.site.source import SourceSettings
from edge.site.trigger import TriggerSettings


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
