"""The demo as tables: what is inspected, which evidence supports which fault, which texts the operator gets, and when it all counts as working."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from examples.line.line import LineSettings

NODE = "line-demo"
ROOT = "plantflag-demo/v1"
CAMERA = "cam1"
CAMERA_STALE_MS = 2000.0
HEARTBEAT_S = 1.0
FLAG_REPEAT_S = 0.2  # a changed verdict is published at once; unchanged ones only so often, because a broker in Python is no plant broker
SITE = 6  # seed of the line itself: a green belt with yellow corner marks
PART_S = 1.6  # a part is under the camera for so long


@dataclass(frozen=True, slots=True)
class AlarmPlan:
    """What the operator reads; `severity` 1 to 1000."""

    severity: int
    message: str
    operator_action: str
    consequence: str


@dataclass(frozen=True, slots=True)
class ChannelPlan:
    """One flag channel: its evidence, the line faults that make it true, and its alarm.

    `vision` is the fault asked of the picture (None: sensors only), `rules` are ids of `RULES`, `weights` and `threshold` count for
    combine "weighted" only.
    """

    id: str
    title: str
    truth: frozenset[str]
    vision: str | None = None
    rules: tuple[str, ...] = ()
    combine: Literal["any", "all", "weighted"] = "any"
    weights: dict[str, float] = field(default_factory=dict)
    threshold: float = 0.5
    alarm: AlarmPlan | None = None


@dataclass(frozen=True, slots=True)
class SensorPlan:
    """One sensor: its message's topic below ``in/sensor/``, the way to the value in it, and how people call it."""

    id: str
    title: str
    unit: str
    topic: str
    pointer: str | None = None
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, slots=True)
class RulePlan:
    """One sensor rule, as in `edge.site.rules.RuleSettings`."""

    id: str
    sensor: str
    kind: Literal["above", "below", "rise", "fall"]
    limit: float
    deadband: float


@dataclass(frozen=True, slots=True)
class Criteria:
    """What must hold for the demo to have worked; latency is reported and judged apart, because a busy machine is no defect."""

    detection_least: float
    false_most_per_minute: float
    grace_s: float


CRITERIA = Criteria(detection_least=0.95, false_most_per_minute=2.0, grace_s=1.0)
# The generative checkpoint misses that bar: it calls half of the blocked lenses rust as well (8 to 11 wrong names a minute).
GENERATIVE_CRITERIA = Criteria(detection_least=0.75, false_most_per_minute=12.0, grace_s=1.0)

# Sensors publish in common formats: a bare number, SenML, and one JSON object for two of them.
SENSORS = (
    SensorPlan("vibration_mm_s", "vibration", "mm/s", "vibration", low=0.0, high=5.0),
    SensorPlan("pressure_bar", "pressure", "bar", "pressure", low=4.0, high=6.5),
    SensorPlan("temperature_c", "temperature", "°C", "drive", "/temperature_c", low=40.0, high=56.0),
    SensorPlan("motor_current_a", "motor current", "A", "drive", "/motor_current_a", low=3.5, high=6.5),
)
RULES = (
    RulePlan("vibration_high", "vibration_mm_s", "above", limit=2.3, deadband=0.3),
    RulePlan("current_high", "motor_current_a", "above", limit=4.72, deadband=0.1),
    RulePlan("pressure_falling", "pressure_bar", "fall", limit=0.15, deadband=0.05),
)

# A joined score must be clearly above the picture's own threshold (near 0.5): at 25 frames a second even a rare false frame is a false flag soon.
# Vibration is evidence for a loose part and for a crooked one, so it weighs less than the picture.
_WITH_VIBRATION = {"vision": 0.85, "vibration_high": 0.15}
_WITH_PRESSURE = {"vision": 0.85, "pressure_falling": 0.15}
_WITH_CURRENT = {"vision": 0.8, "current_high": 0.2}  # the drive pulls at what lies on the part
_ALONE = {"vision": 1.0}

CHANNELS = (
    ChannelPlan("crack", "crack", frozenset({"crack"}), "crack", (), "weighted", _ALONE, 0.64,
        alarm=AlarmPlan(700, "A part is cracked", "Take the part off the line", "The part breaks in use")),
    ChannelPlan("missing_bolt", "missing bolt", frozenset({"missing_bolt"}), "missing_bolt", ("vibration_high",), "weighted", _WITH_VIBRATION, 0.6,
        alarm=AlarmPlan(600, "A bolt is missing from the part", "Fit the bolt", "The cover comes loose")),
    ChannelPlan("oil_leak", "oil leak", frozenset({"oil_leak"}), "oil_leak", ("pressure_falling",), "weighted", _WITH_PRESSURE, 0.55,
        alarm=AlarmPlan(800, "Oil leaks from the part", "Stop the line and close the lubrication valve", "The lubrication circuit runs empty")),
    ChannelPlan("misaligned_part", "misaligned part", frozenset({"misaligned_part"}), "misaligned_part", ("vibration_high",), "weighted", _WITH_VIBRATION, 0.6,
        alarm=AlarmPlan(500, "A part is not seated in its place", "Seat the part again", "The gripper collides with the part")),
    ChannelPlan("rust", "rust", frozenset({"rust"}), "rust", (), "weighted", _ALONE, 0.57),
    ChannelPlan("foreign_object", "foreign object", frozenset({"foreign_object"}), "foreign_object", ("current_high",), "weighted", _WITH_CURRENT,
        alarm=AlarmPlan(650, "Something lies on the part", "Remove it", "The press closes on it")),
    ChannelPlan("blocked_lens", "blocked lens", frozenset({"blocked_lens"}), "blocked_lens", (), "weighted", _ALONE, 0.65,
        alarm=AlarmPlan(450, "Something covers the camera", "Clean the lens", "Faults of the covered area stay unseen")),
    ChannelPlan("vibration", "vibration high", frozenset({"misaligned_part", "missing_bolt"}), rules=("vibration_high",)),
    ChannelPlan("pressure", "pressure falling", frozenset({"oil_leak"}), rules=("pressure_falling",)),
)  # fmt: skip


def channels_for(available: Iterable[str]) -> tuple[ChannelPlan, ...]:
    """The channels whose vision evidence a bundle with these faults can give; sensor channels always."""
    known = set(available)
    return tuple(channel for channel in CHANNELS if channel.vision is None or channel.vision in known)


def line_settings(channels: Iterable[ChannelPlan], *, seed: int, fps: float) -> LineSettings:
    """The simulated line that shows exactly the faults that the channels look for."""
    faults = tuple(dict.fromkeys(channel.vision for channel in channels if channel.vision is not None))
    return LineSettings(seed=seed, site=SITE, fps=fps, part_s=PART_S, faults=faults)
