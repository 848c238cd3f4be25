"""5. Scores become verdicts, and the evidence of several sources becomes one, in three-valued logic.

Missing data is a value of its own here: it can hide a fault and it can never prove one away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from edge.errors import ConfigError
from edge.frame import Evidence, Quality, Verdict, worst

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
    """What the camera last said of one fault; remembers across missing frames whether it was a fault."""

    __slots__ = ("_evidence", "_faulty", "_seen_ns", "spec")

    def __init__(self, spec: VisionSpec) -> None:
        self.spec = spec
        self._seen_ns: int | None = None
        self._faulty = False
        self._evidence = Evidence(Verdict.UNKNOWN, None, Quality.BAD)

    def update(self, score: float, received_ns: int, quality: Quality = Quality.GOOD) -> Evidence:
        """Take the score of a frame received at ``received_ns``; a stale or bad picture (frozen, covered) gives no verdict."""
        self._seen_ns = received_ns
        if quality.rank >= Quality.STALE.rank:
            self._evidence = Evidence(Verdict.UNKNOWN, None, quality)
            return self._evidence
        verdict = classify(score, faulty=self._faulty, spec=self.spec)
        if verdict is Verdict.UNKNOWN:
            self._evidence = Evidence(verdict, None, Quality.BAD)
            return self._evidence
        self._faulty = verdict is Verdict.FAULT
        self._evidence = Evidence(verdict, min(max(score, 0.0), 1.0), quality)
        return self._evidence

    def succeed(self, before: VisionState) -> None:
        """Go on from what an earlier state last saw."""
        self._seen_ns, self._faulty, self._evidence = before._seen_ns, before._faulty, before._evidence

    def evidence(self, now_ns: int) -> Evidence:
        """What the camera says at ``now_ns``: unknown before its first frame and when its newest is too old."""
        if self._seen_ns is not None and now_ns - self._seen_ns > self.spec.stale_after_ns:
            return Evidence(Verdict.UNKNOWN, None, worst(Quality.STALE, self._evidence.quality))
        return self._evidence


def fuse(parts: Sequence[Evidence], spec: FusionSpec) -> Evidence:
    """Join the evidence of one fault; its quality is the worst of the parts that settled it, or of those that were missing.

    any: a fault if one part says so, ok only if all do. all: a fault if all parts say so, ok if one does. weighted: the joined score lies
    in an interval, because an unknown part may be anything in 0..1; a fault when even its lower end reaches the threshold, ok when not even
    its upper end does. The score is that end, and None while unknown.

    Raises:
        ValueError: no evidence, or not one weight for each part.
    """
    if not parts:
        raise ValueError("a fault without evidence cannot be judged")
    if spec.combine is Combine.WEIGHTED:
        return _weighted(parts, spec)
    decisive, other = (Verdict.FAULT, Verdict.OK) if spec.combine is Combine.ANY else (Verdict.OK, Verdict.FAULT)
    verdicts = {part.verdict for part in parts}
    verdict = decisive if decisive in verdicts else Verdict.UNKNOWN if Verdict.UNKNOWN in verdicts else other
    mattered = [part for part in parts if part.verdict is verdict]
    scores = [part.score for part in mattered if part.score is not None]
    strongest = max if spec.combine is Combine.ANY else min
    score = strongest(scores) if scores and verdict is not Verdict.UNKNOWN else None
    return Evidence(verdict, score, worst(*(part.quality for part in mattered)))


def _weighted(parts: Sequence[Evidence], spec: FusionSpec) -> Evidence:
    weights = spec.weights or (1.0,) * len(parts)
    if len(weights) != len(parts):
        raise ValueError(f"{len(weights)} weights for {len(parts)} parts")
    total = sum(weights)
    bounds = [_bounds(part) for part in parts]
    lower = min(1.0, sum(weight * low for weight, (low, _) in zip(weights, bounds, strict=True)) / total)
    upper = min(1.0, sum(weight * high for weight, (_, high) in zip(weights, bounds, strict=True)) / total)
    if lower >= spec.threshold:
        verdict, score = Verdict.FAULT, lower
    elif upper < spec.threshold:
        verdict, score = Verdict.OK, upper
    else:
        verdict, score = Verdict.UNKNOWN, None
    missing = verdict is Verdict.UNKNOWN
    mattered = [
        part.quality
        for part, weight in zip(parts, weights, strict=True)
        if weight > 0.0 and (part.verdict is Verdict.UNKNOWN) == missing
    ]
    return Evidence(verdict, score, worst(*mattered))


def _bounds(part: Evidence) -> tuple[float, float]:
    """The interval that a part's score lies in."""
    if part.verdict is Verdict.UNKNOWN:
        return 0.0, 1.0
    score = part.score if part.score is not None else float(part.verdict is Verdict.FAULT)
    return score, score
