"""Faults in ``site.toml``: what they are made of, the alarm that each raises, and the watch over their promise."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edge.parsing.toml_file import Section
from edge.site.kinds import (
    Identifier,
    Long,
    NotNegative,
    Positive,
    Rate,
)
from edge.units import mean_time_ns

SECONDS_A_DAY = 86_400


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
