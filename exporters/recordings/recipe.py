"""The recipe of `edge-export build` for recorded readings: files of normal operation, the sensors in them, and what is promised."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from edge.errors import ConfigError
from edge.manifest import Identifier
from edge.parsing.toml_file import Section, read_record, read_toml
from edge.units import NS_PER_S, RATE, mean_time_ns

Statistic = Literal["mean", "std", "change"]
Method = Literal["auto", "states", "residual", "both"]
DAY_NS = 86_400 * NS_PER_S


class Sensor(Section):
    """One sensor: which column holds it, in which unit, and what it can be."""

    id: Identifier = Field(description="id of the site's sensor")
    column: str = Field(default="", description="name of its column; default: the id")
    unit: str = Field(default="", description="its unit; a column that names another one is refused")
    minimum: float | None = Field(default=None, description="least value; one below it is none")
    maximum: float | None = Field(default=None, description="largest value; one above it is none")

    @property
    def named(self) -> str:
        """Its column."""
        return self.column or self.id


class Interval(Section):
    """A span of time, of all files or of one."""

    start: AwareDatetime = Field(description="first moment, with its offset from UTC")
    end: AwareDatetime = Field(description="first moment after it")
    file: str = Field(default="", description="end of a file's path; default: every file")
    why: str = Field(default="", description="for people, e.g. maintenance")

    @model_validator(mode="after")
    def _forwards(self) -> Interval:
        if self.end <= self.start:
            raise ValueError(f"the interval ends at {self.end.isoformat()}, before it begins")
        return self


class Recording(Section):
    """Where the readings are, and which of them are normal."""

    files: tuple[str, ...] = Field(
        min_length=1, description="CSV or Parquet files or patterns, relative to the recipe; ${EDGE_DATA} is filled in"
    )
    time: str = Field(default="time", description="column of time: ISO 8601, or seconds since 1970")
    delimiter: Literal["", ",", ";", "\t", "|"] = Field(
        default="", description="between columns; default: as the first line has it"
    )
    decimal: Literal[".", ","] = Field(default=".", description="decimal mark of numbers")
    group: Literal["unit", "file", "day"] = Field(
        default="day", description="what counts once: readings of one group are alike, those of the next may not be"
    )
    unit_pattern: str = Field(
        default="", description="for group = unit: regular expression on the path, whose first group names the unit"
    )
    label: str = Field(
        default="", description="column that is not 0 while there is a fault; for detection figures only"
    )
    settle_s: float = Field(
        default=0.0, ge=0, description="after a known fault nothing is taken as normal for so long, s"
    )
    exclude: tuple[Interval, ...] = Field(default=(), description="not normal operation, e.g. maintenance")
    faults: tuple[Interval, ...] = Field(default=(), description="known faults; for detection figures only")

    @model_validator(mode="after")
    def _units(self) -> Recording:
        if (self.group == "unit") != bool(self.unit_pattern):
            raise ValueError("unit_pattern and group = 'unit' go together")
        try:
            groups = re.compile(self.unit_pattern).groups
        except re.error as error:
            raise ValueError(f"unit_pattern: {self.unit_pattern!r} is no regular expression: {error}") from error
        if self.unit_pattern and groups != 1:
            raise ValueError("unit_pattern needs one group in round brackets, which names the unit")
        return self


class Window(Section):
    """What is judged at once; see docs/windows.md."""

    name: Identifier = Field(default="readings", description="the graph's input; NAME_valid is the other")
    period_ms: float = Field(gt=0, description="length of a cell, ms")
    length: int = Field(ge=2, description="cells of each sensor")
    step: int = Field(default=1, ge=1, description="cells from one judgement to the next")
    aggregate: Literal["mean", "last", "rms"] = Field(default="mean", description="what a cell holds")
    min_valid: float = Field(default=0.7, gt=0, le=1, description="share of each sensor's cells that need a value")
    parts: int = Field(
        default=1, ge=1, le=8, description="of the window, each judged by itself: a deviation must last through all of them"
    )  # fmt: skip
    method: Method = Field(
        default="auto", description="what is fitted; auto: the simplest of those that find the smallest moves of a sensor"
    )  # fmt: skip
    statistics: tuple[Statistic, ...] = Field(
        default=("mean",), min_length=1, description="of each sensor over the window: mean, std, and change from cell to cell"
    )  # fmt: skip


class State(Section):
    """Operating states, told by one sensor: normal is something else in each."""

    sensor: Identifier = Field(description="id of the sensor that tells them")
    edges: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] = Field(
        default=(), max_length=7, description="values between two states, ascending; none: `plan` proposes some"
    )


class Fault(Section):
    """The one fault of the bundle: readings unlike those of normal operation."""

    id: Identifier = Field(description="also its default flag channel")
    title: str = Field(default="", description="short name for people; default: the id")
    bound: Annotated[str, Field(pattern=RATE)] = Field(description="false alarms that are allowed, e.g. 1 per week")
    on_delay_s: float = Field(default=0.0, ge=0, description="flagged for so long before it is an alarm, s")
    off_delay_s: float = Field(default=60.0, ge=0, description="not flagged for so long before it is over, s")

    @property
    def per_day(self) -> float:
        """The bound, alarms a day."""
        return DAY_NS / mean_time_ns(self.bound)

    @model_validator(mode="after")
    def _promises(self) -> Fault:
        mean_time_ns(self.bound)
        return self


class RecordingRecipe(Section):
    """The whole recipe."""

    name: Identifier = Field(description="the bundle's name")
    version: int | None = Field(default=None, ge=1, description="number; none: one more than the newest in the folder")
    licence: str = Field(default="unknown", description="licence of what is learned from the readings")
    recording: Recording
    window: Window
    state: State | None = Field(default=None, description="operating states; none: there is one")
    fault: Fault
    sensors: tuple[Sensor, ...] = Field(min_length=1, max_length=64, description="in the order of the window")

    @model_validator(mode="after")
    def _agrees(self) -> RecordingRecipe:
        ids = [sensor.id for sensor in self.sensors]
        if len(set(ids)) != len(ids):
            raise ValueError(f"sensors repeat: {ids}")
        if self.state is not None and self.state.sensor not in ids:
            raise ValueError(f"state.sensor: {self.state.sensor} is none of the sensors {ids}")
        if self.state is not None and list(self.state.edges) != sorted(set(self.state.edges)):
            raise ValueError("state.edges must ascend")
        return self


def load_recording_recipe(path: Path) -> RecordingRecipe:
    """Read and check a recipe. Raises ConfigError that names the key and what is wrong with it."""
    return read_record(path, RecordingRecipe)


def is_recording(path: Path) -> bool:
    """Whether a recipe is one of recorded readings.

    Raises:
        ConfigError: it cannot be read, or it is one for a graph of somebody's own.
    """
    document, _ = read_toml(path)
    if "recording" in document and "graph" in document:
        raise ConfigError(
            f"{path} names a graph of its own: use edge-export wrap, or leave out `graph` to have one made"
        )
    return "recording" in document
