"""Sensor rules: the readings of one sensor, or of two, become evidence for a fault.

A rule compares one quantity with its limit: a value or a statistic over a span (above, below, outside, equals, differs), one bit of a value, or its
rate of change between two readings (rise, fall). Times are those of the measurement, as far as they are known. Missing data is ``unknown``; it never
releases a rule that had seen a fault. A rule with gates counts only while all of them see what they look for.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from edge.errors import ConfigError
from edge.frame import EXACT_BITS, Evidence, Quality, Reading, Verdict, worst
from edge.units import NS_PER_S
from edge.verdict.origin import Join, Origin, OriginSpec, joined
from edge.verdict.window import CELLS, Statistic, Window

MAX_SAMPLES = 64  # of a rate's span: a sensor at 2,000 messages a second must not grow the memory
_SLOTS = MAX_SAMPLES - 2  # beside the sample before the span and the newest


class RuleKind(StrEnum):
    """How a rule compares its quantity with its limit."""

    ABOVE = "above"
    BELOW = "below"
    OUTSIDE = "outside"
    RISE = "rise"
    FALL = "fall"
    EQUALS = "equals"
    DIFFERS = "differs"
    BIT_SET = "bit_set"
    BIT_CLEAR = "bit_clear"


RATES = frozenset((RuleKind.RISE, RuleKind.FALL))
BITS = frozenset((RuleKind.BIT_SET, RuleKind.BIT_CLEAR))
_DISCRETE = BITS | {RuleKind.EQUALS, RuleKind.DIFFERS}


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """One condition on one sensor, or on the difference or ratio of two.

    ``limit`` is in the quantity's unit (rise and fall: unit per second, as a positive number), ``high`` the upper limit of ``outside``; ``deadband`` in
    the same unit is how far the quantity must return before the rule ends (equals and differs: how near counts as equal); for bits ``limit``
    is the number of the bit. The staleness limits of `OriginSpec` are here those of the rule's own sensor; ``other`` is the second one.

    A statistic is known while the sensor gave data for ``min_known`` of its span, and good when it did for all of it. ``when`` names the rules that
    gate this one, which counts from ``settle_ns`` after they all hold.

    Raises:
        ConfigError: a number is not finite, or a span is not positive.
    """

    id: str
    sensor: str
    kind: RuleKind
    limit: float
    deadband: float = 0.0
    window_ns: int = NS_PER_S
    stale_after_ns: int = 5 * NS_PER_S
    max_age_ns: int = 0
    frozen_after_ns: int = 0
    high: float = math.inf
    of: Statistic = Statistic.LAST
    over_ns: int = 0
    min_known: float = 0.5
    join: Join | None = None
    other: OriginSpec | None = None
    when: tuple[str, ...] = ()
    settle_ns: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", RuleKind(self.kind))
        if not (math.isfinite(self.limit) and math.isfinite(self.deadband) and self.deadband >= 0.0):
            raise ConfigError(f"rule {self.id}: limit and deadband must be finite numbers, deadband not negative")
        if self.window_ns <= 0 or self.stale_after_ns <= 0:
            raise ConfigError(f"rule {self.id}: the window and the stale time must be longer than zero")
        if self.kind in BITS and self.limit not in range(EXACT_BITS):
            raise ConfigError(f"rule {self.id}: limit must be the number of a bit, from 0 to {EXACT_BITS - 1}")
        if self.kind is RuleKind.OUTSIDE and not self.limit <= self.high < math.inf:
            raise ConfigError(f"rule {self.id}: the limits of `outside` must be two finite numbers, the lower first")
        if (self.of is Statistic.LAST) == (self.over_ns >= CELLS):
            raise ConfigError(f"rule {self.id}: a statistic needs a span, and the newest value has none")
        if self.of is not Statistic.LAST and self.kind in RATES | BITS:
            raise ConfigError(f"rule {self.id}: {self.kind} is not asked of a statistic")

    @property
    def origins(self) -> tuple[OriginSpec, ...]:
        """The sensors that it reads, its own first."""
        own = OriginSpec(self.sensor, self.stale_after_ns, self.max_age_ns, self.frozen_after_ns)
        return (own,) if self.other is None else (own, self.other)

    @property
    def sensors(self) -> frozenset[str]:
        """Ids of the sensors that it reads."""
        return frozenset(origin.sensor for origin in self.origins)


def linked(rules: dict[str, Rule]) -> dict[str, Rule]:
    """The rules of a site, each with those that gate it."""
    for rule in rules.values():
        rule.link(rules)
    return rules


class Rule:
    """A rule with its memory: the newest readings, the side of the limit it was last on, and what its quantity is made of.

    What happened between two samples is kept: a rule that was faulty at any reading since `begin_interval` stays so until the next one.
    """

    __slots__ = (
        "_excess", "_faulty", "_gates", "_open_since_ns", "_origins", "_quality", "_rates", "_seen", "_tripped", "_window", "spec",
    )  # fmt: skip

    def __init__(self, spec: RuleSpec) -> None:
        self.spec = spec
        self._origins = {origin.sensor: Origin(origin) for origin in spec.origins}
        self._seen: Reading | None = None  # the newest, of two sensors: what was made of both
        self._quality = Quality.GOOD  # of the quantity
        self._faulty = False
        self._tripped: bool | None = None  # faulty since the interval began; None: there are no intervals
        self._excess: float | None = None  # quantity minus limit, positive on the fault's side; None: not known
        self._rates: deque[tuple[int, float]] = deque(maxlen=MAX_SAMPLES)
        self._window = None if spec.of is Statistic.LAST else Window(spec.over_ns)
        self._gates: tuple[Rule, ...] = ()
        self._open_since_ns: int | None = None  # since then all gates hold

    def link(self, rules: Mapping[str, Rule]) -> None:
        """Find the rules that gate this one among all of the site."""
        self._gates = tuple(rules[name] for name in self.spec.when)

    def begin_interval(self) -> None:
        """What was seen until now has been looked at; from here on each fault is remembered until the next call."""
        self._tripped = False

    def update(self, reading: Reading) -> None:
        """Take one reading of a sensor of this rule.

        One that was measured before the newest (an earlier record of a batch) can leave a trace of a fault, or fill its place in a span, and changes
        nothing else. One that comes while a gate is closed does not count.
        """
        origin = self._origins[reading.sensor]
        if origin.is_earlier(reading):
            self._take_earlier(reading)
            return
        origin.take(reading)
        if not self._is_open(reading.received_ns):
            self._forget(reading)
            return
        if self.spec.join is None:
            self._take(reading)
            return
        one, other = self._origins.values()
        made = joined(one, other, self.spec.join)
        if made is None:
            self._forget(reading)
        else:
            self._take(made)

    def miss(self, received_ns: int) -> None:
        """A reading came that could not be taken: nothing is known until the next one."""
        self._forget(Reading(self.spec.sensor, math.nan, received_ns))

    def applies(self, now_ns: int) -> bool:
        """Whether the rule counts at ``now_ns``: not while a gate is closed, nor until it has settled; an unknown gate leaves it unknown."""
        is_open = self._is_open(now_ns)  # asked in any case: a gate that closed begins to settle from nothing
        closed = any(gate.evidence(now_ns).verdict is Verdict.OK for gate in self._gates)
        return not closed and (is_open or self._open_since_ns is None)

    def evidence(self, now_ns: int) -> Evidence:
        """The rule's evidence at ``now_ns``.

        The score is 1 at and beyond the limit and 0 once the rule has ended; inside the deadband it is the share of the way, so that
        weighted fusion and trends see an approach without a scale to configure.
        """
        seen = self._seen
        if seen is None or any(origin.newest is None for origin in self._origins.values()):
            return Evidence(Verdict.UNKNOWN, None, Quality.BAD)
        if self._tripped:
            return Evidence(Verdict.FAULT, 1.0, Quality.GOOD if self._quality is Quality.GOOD else Quality.UNCERTAIN)
        if any(origin.is_stale(now_ns) for origin in self._origins.values()):
            return Evidence(Verdict.UNKNOWN, None, Quality.STALE)
        if not self._is_open(now_ns):
            return Evidence(Verdict.UNKNOWN, None, Quality.UNCERTAIN)
        if self.spec.of is Statistic.COUNT and math.isfinite(seen.value):
            self._count_until(now_ns)
        if self._excess is None:
            return Evidence(Verdict.UNKNOWN, None, Quality.UNCERTAIN if math.isfinite(seen.value) else Quality.BAD)
        if any(origin.is_frozen() for origin in self._origins.values()):
            return Evidence(Verdict.UNKNOWN, None, Quality.BAD)
        if self._quality is not Quality.GOOD and not self._faulty:
            # it can show a fault, and cannot show that there is none
            return Evidence(Verdict.UNKNOWN, None, self._quality)
        verdict = Verdict.FAULT if self._faulty else Verdict.OK
        return Evidence(verdict, self._score(self._excess), self._quality)

    @property
    def listens(self) -> frozenset[str]:
        """Ids of the sensors whose readings can change it: its own, and those of its gates."""
        return self.spec.sensors.union(*(gate.listens for gate in self._gates))

    def steady_until_ns(self, now_ns: int) -> int:
        """Until when neither its evidence nor whether it applies changes by time alone, once it was asked at `now_ns`; that time itself: it may at any.

        What ends a steady time: what was faulty between two looks is over with the next interval, a count goes down, a reading is stale, a gate does
        one of these, or has held for long enough.
        """
        if self._tripped or self.spec.of is Statistic.COUNT:
            return now_ns
        ends_ns = [origin.steady_until_ns(now_ns) for origin in self._origins.values()]
        ends_ns += [gate.steady_until_ns(now_ns) for gate in self._gates]
        if self._open_since_ns is not None and now_ns < self._open_since_ns + self.spec.settle_ns:
            ends_ns.append(self._open_since_ns + self.spec.settle_ns)
        return min(ends_ns)

    @property
    def _give(self) -> float:
        """How far the quantity must return before the rule ends."""
        return 0.0 if self.spec.kind in _DISCRETE else self.spec.deadband

    def _is_open(self, now_ns: int) -> bool:
        """Whether every gate holds, and has for as long as it takes to settle."""
        if not all(gate.evidence(now_ns).verdict is Verdict.FAULT for gate in self._gates):
            self._open_since_ns = None
            return False
        if self._open_since_ns is None:
            self._open_since_ns = now_ns
        return now_ns - self._open_since_ns >= self.spec.settle_ns

    def _forget(self, reading: Reading) -> None:
        """Nothing is known of the quantity until it is measured again, from nothing."""
        self._rates.clear()
        if self._window is not None:
            self._window.clear()
        self._seen, self._excess = reading, None

    def _take(self, reading: Reading) -> None:
        """Measure the quantity at a reading, and which side of the limit it is on."""
        before, finite = self._seen, math.isfinite(reading.value)
        longest_ns = min(origin.stale_after_ns for origin in self.spec.origins)
        follows = before is not None and reading.measured_ns - before.measured_ns <= longest_ns
        if not finite or (before is not None and not follows):
            self._rates.clear()  # a rate across missing data is an invention
        self._seen, self._quality = reading, reading.quality
        if self._window is not None:
            known = finite and follows and before is not None and math.isfinite(before.value)
            self._window.advance(reading.measured_ns, known=known)
            if finite:
                self._window.put(reading.value, reading.measured_ns, good=reading.quality is Quality.GOOD)
        self._judge(self._measure(reading) if finite else None)

    def _judge(self, excess: float | None) -> None:
        self._excess = excess
        if excess is not None and excess >= 0.0:
            self._faulty = True
            self._trip()
        elif excess is not None and excess < -self._give:
            self._faulty = False

    def _count_until(self, now_ns: int) -> None:
        """Readings that do not come lower a count: let the span reach to now."""
        assert self._window is not None  # noqa: S101 - narrows the type: a count has a span
        self._window.advance(now_ns, known=True)  # the caller has checked that it is not stale
        self._judge(self._beyond(self._over_span()))

    def _take_earlier(self, reading: Reading) -> None:
        usable = math.isfinite(reading.value) and self._is_open(reading.received_ns)
        if not usable or self.spec.join is not None or self.spec.kind in RATES:
            return
        if self._window is None:
            excess = self._measure(reading)
            if excess is not None and excess >= 0.0:
                self._trip()
        elif self._excess is not None and self._window.put(
            reading.value, reading.measured_ns, good=reading.quality is Quality.GOOD
        ):
            self._judge(self._beyond(self._over_span()))

    def _trip(self) -> None:
        if self._tripped is not None:
            self._tripped = True

    def _score(self, excess: float) -> float:
        if excess >= 0.0:
            return 1.0
        if excess < -self._give:
            return 0.0
        return 1.0 + excess / self.spec.deadband

    def _measure(self, reading: Reading) -> float | None:
        """How far the quantity is beyond the limit; None while the span does not hold enough history."""
        if self._window is not None:
            return self._beyond(self._over_span())
        if self.spec.kind in RATES:
            rate = self._rate(reading)
            return self._beyond(-rate if rate is not None and self.spec.kind is RuleKind.FALL else rate)
        return self._beyond(reading.value)

    def _over_span(self) -> float | None:
        """The statistic over the span, and how far it may be trusted; None while too little of the span is known."""
        window = self._window
        assert window is not None  # noqa: S101 - narrows the types: only rules with a span come here,
        assert self._seen is not None  # noqa: S101 - and only with a reading
        share = window.known_share
        whole = share >= 1.0 and window.good
        self._quality = worst(self._seen.quality, Quality.GOOD if whole else Quality.UNCERTAIN)
        return window.moments.statistic(self.spec.of) if share >= self.spec.min_known else None

    def _beyond(self, value: float | None) -> float | None:
        """How far a quantity is beyond the limit; None: it is not known, or has no bits where bits are asked for."""
        spec = self.spec
        if value is None:
            return None
        if spec.kind in _DISCRETE:
            met = self._is_met(value)
            return None if met is None else 0.0 if met else -math.inf
        if spec.kind is RuleKind.OUTSIDE:
            return max(spec.limit - value, value - spec.high)
        return spec.limit - value if spec.kind is RuleKind.BELOW else value - spec.limit

    def _is_met(self, value: float) -> bool | None:
        """Whether an equality or a bit is as the rule describes a fault; None: the value has no bits."""
        spec = self.spec
        if spec.kind in BITS:
            if value != value // 1 or abs(value) >= 2**EXACT_BITS:
                return None
            return bool(int(value) >> int(spec.limit) & 1) == (spec.kind is RuleKind.BIT_SET)
        return (abs(value - spec.limit) <= spec.deadband) == (spec.kind is RuleKind.EQUALS)

    def _rate(self, reading: Reading) -> float | None:
        """Change per second since the newest sample that is at least a span old; None when there is none yet."""
        rates, now_ns = self._rates, reading.measured_ns
        if not rates or now_ns - rates[-1][0] >= self.spec.window_ns // _SLOTS:
            rates.append((now_ns, reading.value))
        while len(rates) > 1 and now_ns - rates[1][0] >= self.spec.window_ns:
            rates.popleft()
        since_ns, before = rates[0]
        if now_ns - since_ns < self.spec.window_ns:
            return None
        return (reading.value - before) * NS_PER_S / (now_ns - since_ns)
