"""Sensor rules: the readings of one sensor become evidence for a fault.

A rule compares one quantity with its limit: the value (above, below) or its rate of change over a window (rise, fall). Missing data is
``unknown``; it never releases a rule that had seen a fault.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from edge.errors import ConfigError
from edge.frame import Evidence, Quality, Reading, Verdict

MAX_SAMPLES = 64  # of a window: a sensor at 2,000 messages a second must not grow the memory
_SLOTS = MAX_SAMPLES - 2  # beside the sample before the window and the newest
_NS_PER_S = 1_000_000_000


class RuleKind(StrEnum):
    """What a rule compares with its limit."""

    ABOVE = "above"
    BELOW = "below"
    RISE = "rise"
    FALL = "fall"


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """One condition on one sensor.

    ``limit`` is in the sensor's unit (rise and fall: unit per second, as a positive number); ``deadband`` in the same unit says how far
    the quantity must come back before the rule lets go. A reading older than ``stale_after_ns`` says nothing any more.

    Raises:
        ConfigError: a number is not finite, or a span is not positive.
    """

    id: str
    sensor: str
    kind: RuleKind
    limit: float
    deadband: float = 0.0
    window_ns: int = _NS_PER_S
    stale_after_ns: int = 5 * _NS_PER_S

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", RuleKind(self.kind))
        if not (math.isfinite(self.limit) and math.isfinite(self.deadband) and self.deadband >= 0.0):
            raise ConfigError(f"rule {self.id}: limit and deadband must be finite numbers, deadband not negative")
        if self.window_ns <= 0 or self.stale_after_ns <= 0:
            raise ConfigError(f"rule {self.id}: the window and the stale time must be longer than zero")


class Rule:
    """A rule with its memory: the newest reading, the side of the limit it was last on, and for rise and fall the window."""

    __slots__ = ("_excess", "_faulty", "_seen", "_window", "spec")

    def __init__(self, spec: RuleSpec) -> None:
        self.spec = spec
        self._seen: Reading | None = None
        self._faulty = False
        self._excess: float | None = None  # quantity minus limit, positive on the fault's side; None: cannot be told
        self._window: deque[tuple[int, float]] = deque(maxlen=MAX_SAMPLES)

    def update(self, reading: Reading) -> None:
        """Take one reading of this rule's sensor; readings must come in the order of their receipt."""
        gap_ns = reading.received_ns - self._seen.received_ns if self._seen else 0
        if gap_ns > self.spec.stale_after_ns or not math.isfinite(reading.value):
            self._window.clear()  # a rate across missing data is an invention
        self._seen = reading
        self._excess = self._measure(reading) if math.isfinite(reading.value) else None
        if self._excess is not None and self._excess >= 0.0:
            self._faulty = True
        elif self._excess is not None and self._excess < -self.spec.deadband:
            self._faulty = False

    def evidence(self, now_ns: int) -> Evidence:
        """What the rule says at ``now_ns``.

        The score is 1 at and beyond the limit and 0 once the rule has let go; inside the deadband it is the share of the way, so that
        weighted fusion and trends see an approach without a scale that nobody configured.
        """
        if self._seen is None:
            return Evidence(Verdict.UNKNOWN, None, Quality.BAD)
        if now_ns - self._seen.received_ns > self.spec.stale_after_ns:
            return Evidence(Verdict.UNKNOWN, None, Quality.STALE)
        if self._excess is None:
            finite = math.isfinite(self._seen.value)
            return Evidence(Verdict.UNKNOWN, None, Quality.UNCERTAIN if finite else Quality.BAD)
        return Evidence(Verdict.FAULT if self._faulty else Verdict.OK, self._score(self._excess), Quality.GOOD)

    def _score(self, excess: float) -> float:
        if excess >= 0.0:
            return 1.0
        if excess < -self.spec.deadband:
            return 0.0
        return 1.0 + excess / self.spec.deadband

    def _measure(self, reading: Reading) -> float | None:
        """How far the quantity is beyond the limit; None while the window does not hold enough history."""
        spec = self.spec
        if spec.kind is RuleKind.ABOVE:
            return reading.value - spec.limit
        if spec.kind is RuleKind.BELOW:
            return spec.limit - reading.value
        rate = self._rate(reading)
        if rate is None:
            return None
        return (rate if spec.kind is RuleKind.RISE else -rate) - spec.limit

    def _rate(self, reading: Reading) -> float | None:
        """Change per second since the newest sample that is at least a window old; None when there is none yet."""
        window, now_ns = self._window, reading.received_ns
        if not window or now_ns - window[-1][0] >= self.spec.window_ns // _SLOTS:
            window.append((now_ns, reading.value))
        while len(window) > 1 and now_ns - window[1][0] >= self.spec.window_ns:
            window.popleft()
        since_ns, before = window[0]
        if now_ns - since_ns < self.spec.window_ns:
            return None
        return (reading.value - before) * _NS_PER_S / (now_ns - since_ns)
