"""The table `[cameras.trigger]` of a site file: where a camera's triggers come from, and which frame answers one."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from edge.parsing.toml_file import Section
from edge.site.kinds import Long, Pointer, Topic

LONGEST_MS = 60_000.0
Wait = Annotated[float, Field(ge=0.0, le=LONGEST_MS, allow_inf_nan=False)]


class TriggerSettings(Section):
    """A part is before the camera: judge it, and answer with its id. See docs/inspection.md."""

    topic: Topic | None = Field(
        default=None, description="MQTT topic of the triggers; default {root}/{node}/in/trigger/{id}"
    )
    pointer: Pointer | None = Field(
        default=None, description="JSON pointer to the part's id; default: the whole payload is the id"
    )
    time_pointer: Pointer | None = Field(
        default=None,
        description="JSON pointer to the time at which the part was before the camera; without one that can be believed there, the answer is `unknown`; "
        "default: when the trigger was received",
    )
    before_ms: Wait = Field(default=0.0, description="a frame from so long before the trigger's time fits too, ms")
    after_ms: Wait = Field(
        default=500.0,
        description="a frame from so long after the trigger's time still fits, ms; shorter than the distance of two parts",
    )
    timeout_ms: Wait = Field(
        default=1000.0,
        description="the answer comes at the latest so long after the trigger was received, ms; a trigger whose own time is longer ago is `late`",
    )
    repeat_s: Long = Field(
        default=60.0,
        description="the same part id again within so long is a repetition, and gets the first answer, s; 0: each trigger is an inspection",
    )

    @model_validator(mode="after")
    def _waits_long_enough(self) -> TriggerSettings:
        if self.timeout_ms <= self.after_ms:
            raise ValueError(
                f"timeout_ms {self.timeout_ms:g} must be more than after_ms {self.after_ms:g}: the last frame that fits has to be judged too"
            )
        return self
