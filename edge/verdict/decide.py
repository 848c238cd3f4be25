"""Turns scores into verdicts, and the evidence of several sources into one, in three-valued logic.

Missing data is a value of its own here: it can hide a fault and it can never prove one away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edge.errors import ConfigError
from edge.frame import Evidence, Quality, Verdict, worst
from edge.units import FOREVER_NS

NOT_APPLICABLE = Evidence(Verdict.UNKNOWN, None, Quality.UNCERTAIN)  # of a fault of which no evidence applies now
SCORE_SLACK = 1e-3  # rounding that a quantized graph may add to 0..1; beyond it the graph is broken


class Combine(StrEnum):
    """How the evidence of one fault is joined."""

    ANY = "any"
    ALL = "all"
    WEIGHTED = "weighted"


@dataclass(frozen=True, slots=True)
class VisionSpec:
    """When the score of one fault counts: fault at and above ``threshold``, ok below ``release``, unchanged between.

    Raises:
        ConfigError: release is above threshold, or one is outside 0..1.
    """

    threshold: float
    release: float
    stale_after_ns: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.release <= self.threshold <= 1.0:
            raise ConfigError(
                f"release {self.release} and threshold {self.threshold} must be 0 <= release <= threshold <= 1"
            )


@dataclass(frozen=True, slots=True)
class FusionSpec:
    """How to join: ``weights`` in the order of the evidence (empty: all alike) and ``threshold`` of the joined score, both for weighted.

    Raises:
        ConfigError: a weight is negative or not finite, all are zero, or the threshold is not in 0 (excluded) to 1.
    """

    combine: Combine = Combine.ANY
    weights: tuple[float, ...] = ()
    threshold: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "combine", Combine(self.combine))
        if any(not math.isfinite(weight) or weight < 0.0 for weight in self.weights) or (
            self.weights and sum(self.weights) <= 0.0
        ):
            raise ConfigError(f"weights {self.weights} must be finite, not negative, and not all zero")
        if not 0.0 < self.threshold <= 1.0:
            raise ConfigError(f"weighted threshold {self.threshold} must be above 0 and at most 1")


def classify(score: float, *, faulty: bool, spec: VisionSpec) -> Verdict:
    """The verdict on one score in 0..1, given whether the last known verdict was a fault (hysteresis); unknown if it is no such score."""
    if not -SCORE_SLACK <= score <= 1.0 + SCORE_SLACK:  # NaN fails every comparison
        return Verdict.UNKNOWN
    if score >= spec.threshold:
        return Verdict.FAULT
    if score < spec.release:
        return Verdict.OK
    return Verdict.FAULT if faulty else Verdict.OK


class VisionState:
    """The camera's last verdict of one fault; remembers across missing frames whether it was a fault."""

    __slots__ = ("_evidence", "_faulty", "_seen_ns", "spec")

    def __init__(self, spec: VisionSpec) -> None:
        self.spec = spec
        self._seen_ns: int | None = None
        self._faulty = False
        self._evidence = Evidence(Verdict.UNKNOWN, None, Quality.BAD)

    def update(
        self, score: float, received_ns: int, quality: Quality = Quality.GOOD, *, covered: bool = True
    ) -> Evidence:
        """Take the score of a frame received at ``received_ns``; a stale or bad picture (frozen, covered) gives no verdict.

        Where a part of its view was not ``covered``, a score can show a fault there, and not that there is none.
        """
        self._seen_ns = received_ns
        if quality.rank >= Quality.STALE.rank:
            self._evidence = Evidence(Verdict.UNKNOWN, None, quality)
            return self._evidence
        verdict = classify(score, faulty=self._faulty, spec=self.spec)
        if verdict is Verdict.UNKNOWN:
            self._evidence = Evidence(verdict, None, Quality.BAD)
            return self._evidence
        if verdict is Verdict.OK and not covered:
            self._evidence = Evidence(Verdict.UNKNOWN, None, Quality.STALE)
            return self._evidence
        self._faulty = verdict is Verdict.FAULT
        self._evidence = Evidence(verdict, min(max(score, 0.0), 1.0), quality)
        return self._evidence

    @property
    def seen_ns(self) -> int | None:
        """Receipt of the newest frame that its evidence rests on; None: there was none."""
        return self._seen_ns

    def seen_before(self, at_ns: int) -> bool:
        """Whether its newest frame is older than this."""
        return self._seen_ns is not None and self._seen_ns < at_ns

    def succeed(self, before: VisionState) -> None:
        """Go on from what an earlier state last saw."""
        self._seen_ns, self._faulty, self._evidence = before._seen_ns, before._faulty, before._evidence

    def steady_until_ns(self, now_ns: int) -> int:
        """From when its newest frame is too old, if it is not so at `now_ns` already."""
        if self._seen_ns is None or now_ns - self._seen_ns > self.spec.stale_after_ns:
            return FOREVER_NS
        return self._seen_ns + self.spec.stale_after_ns + 1

    def evidence(self, now_ns: int) -> Evidence:
        """The camera's evidence at ``now_ns``: unknown before its first frame and when its newest is too old."""
        if self._seen_ns is not None and now_ns - self._seen_ns > self.spec.stale_after_ns:
            return Evidence(Verdict.UNKNOWN, None, worst(Quality.STALE, self._evidence.quality))
        return self._evidence


def fuse(parts: Sequence[Evidence | None], spec: FusionSpec) -> Evidence:
    """Join the evidence of one fault; its quality is the worst of the parts that decided it, or of those that were missing.

    A part that is None does not apply now and is left out; when none applies, nothing is known.

    any: a fault if one part is a fault, ok only if all are ok. all: a fault if all parts are faults, ok if one is ok. weighted: the joined score is
    in an interval, because an unknown part may be anything in 0..1; a fault when even its lower end reaches the threshold, ok when not even
    its upper end does. The score is that end, and None while unknown.

    Raises:
        ValueError: no evidence, or not one weight for each part.
    """
    if not parts:
        raise ValueError("a fault without evidence cannot be judged")
    weights = spec.weights or (1.0,) * len(parts)
    if len(weights) != len(parts):
        raise ValueError(f"{len(weights)} weights for {len(parts)} parts")
    shares = [(part, weight) for part, weight in zip(parts, weights, strict=True) if part is not None]
    if spec.combine is Combine.WEIGHTED:
        return _weighted(shares, spec.threshold)
    return _logical([part for part, _ in shares], spec.combine)


def _logical(parts: Sequence[Evidence], combine: Combine) -> Evidence:
    if not parts:
        return NOT_APPLICABLE
    decisive, other = (Verdict.FAULT, Verdict.OK) if combine is Combine.ANY else (Verdict.OK, Verdict.FAULT)
    verdicts = {part.verdict for part in parts}
    verdict = decisive if decisive in verdicts else Verdict.UNKNOWN if Verdict.UNKNOWN in verdicts else other
    mattered = [part for part in parts if part.verdict is verdict]
    scores = [part.score for part in mattered if part.score is not None]
    strongest = max if combine is Combine.ANY else min
    score = strongest(scores) if scores and verdict is not Verdict.UNKNOWN else None
    return Evidence(verdict, score, worst(*(part.quality for part in mattered)))


def _weighted(parts: Sequence[tuple[Evidence, float]], threshold: float) -> Evidence:
    total = sum(weight for _, weight in parts)
    if total <= 0.0:
        return NOT_APPLICABLE
    bounds = [(_bounds(part), weight) for part, weight in parts]
    lower = min(1.0, sum(weight * low for (low, _), weight in bounds) / total)
    upper = min(1.0, sum(weight * high for (_, high), weight in bounds) / total)
    if lower >= threshold:
        verdict, score = Verdict.FAULT, lower
    elif upper < threshold:
        verdict, score = Verdict.OK, upper
    else:
        verdict, score = Verdict.UNKNOWN, None
    missing = verdict is Verdict.UNKNOWN
    mattered = [part.quality for part, weight in parts if weight > 0.0 and (part.verdict is Verdict.UNKNOWN) == missing]
    return Evidence(verdict, score, worst(*mattered))


def _bounds(part: Evidence) -> tuple[float, float]:
    """The interval that a part's score lies in."""
    if part.verdict is Verdict.UNKNOWN:
        return 0.0, 1.0
    score = part.score if part.score is not None else float(part.verdict is Verdict.FAULT)
    return score, score
