"""Fits what is normal, in three ways: limits of each operating state, what sensors say of each other, and both at once. Pure numpy.

All are one form, which `graph` writes as ONNX: statistics of each sensor over each part of the window, less the centre of the operating state, over the
spread within it; mixed by a matrix; of the parts the least, so that a deviation must last; on the scale of what normal groups reach; and of these the
largest. For `states` the matrix is the identity. For `residual` each row is what a sensor differs from its ridge prediction by all others. `both` asks
for the two of one sensor. A sum (Mahalanobis) was measured too and found less: see docs/windows.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from exporters.recordings.recipe import State, Statistic

Floats = NDArray[np.float64]
CANDIDATES = ("states", "residual", "both")  # the less complex first
LEAST_WINDOWS = 4  # of a group in a state; fewer say nothing of it
SAMPLE = 64  # windows of a group that the matrix is made of
RIDGE = 1.0  # in units of the spread within a state
LARGEST = 1e6  # of a deviation; float32 holds what is made of it
LEAST_GROUPS = 3  # of a state, to say how far its parts go
USUAL_SPREAD = 0.3  # how far the extremes of groups are apart, as a logarithm, before anything is known
KNOWN_BEFORE = 3.0  # groups that this is worth
REACH = 20.0  # of a logarithm of evidence; float32 holds what is made of it
NONE = 1e-9  # stands for no deviation where its logarithm is taken
FLOOR = 0.05  # of a usual standard deviation: less is no change


@dataclass(frozen=True, slots=True)
class Form:
    """What is looked at: statistics of S sensors, F = statistics x S, and the operating states, K."""

    statistics: tuple[Statistic, ...]
    floors: Floats  # [F] what is added to a spread before its logarithm
    state: int | None  # place of the sensor that tells the states
    edges: tuple[float, ...]
    parts: int = 1  # of the window, each judged by itself

    @property
    def states(self) -> int:
        """How many there are."""
        return len(self.edges) + 1


@dataclass(frozen=True, slots=True)
class Normal:
    """What is normal in each state.

    Attributes:
        kind: one of the candidates.
        centre, width: [K, F] centre and spread of the features.
        known: [K] which states are.
        mix: [M, F] how they are mixed: F rows, or for `both` twice as many.
        usual, spread: [K, M] logarithm of what each reaches in a normal group, and how far groups are apart in that.
        sensors: how many.
        limit: of the evidence; above it is a fault.
    """

    kind: str
    centre: Floats
    width: Floats
    known: NDArray[np.bool_]
    mix: Floats
    usual: Floats
    spread: Floats
    sensors: int
    limit: float = 1.0

    def deviations(self, features: Floats, states: NDArray[np.int64]) -> Floats:
        """How far each row of the mix is from normal in all parts of the window [n, M]; NaN in a state that is not known."""
        found = np.full((len(features), len(self.mix)), np.nan)
        judged = (states >= 0) & self.known[np.maximum(states, 0)]
        own = states[judged]
        found[judged] = _lasting(features[judged], self.centre[own], self.width[own], self.mix)
        return found

    def parts(self, features: Floats, states: NDArray[np.int64]) -> Floats:
        """Evidence of each feature [n, F]: 1 is what a usual normal group reaches."""
        own = np.maximum(states, 0)
        beyond = (np.log(np.maximum(self.deviations(features, states), NONE)) - self.usual[own]) / self.spread[own]
        each = np.exp(np.clip(beyond, -REACH, REACH)).reshape(len(features), -1, self.centre.shape[1])
        least: Floats = each.min(axis=1)
        return least

    def evidence(self, features: Floats, states: NDArray[np.int64]) -> Floats:
        """The largest part of each window [n]."""
        largest: Floats = self.parts(features, states).max(axis=1)
        return largest

    def reach(self, limit: float) -> Floats:
        """The deviations at which evidence is at a limit [K, M]."""
        reach: Floats = np.exp(self.usual + self.spread * np.log(limit))
        return reach

    def score(self, evidence: Floats) -> Floats:
        """0..1, 0.5 at the limit."""
        return evidence / (evidence + self.limit)


@dataclass(frozen=True, slots=True)
class _Summary:
    """One group in one state: its features [n, P, F], and median and variance of them over the whole window."""

    group: int
    state: int
    features: Floats
    median: Floats
    variance: Floats


@dataclass(frozen=True, slots=True)
class _Base:
    """A fit before its limits: see `Normal`."""

    centre: Floats
    width: Floats
    known: NDArray[np.bool_]
    mix: Floats


@dataclass(frozen=True, slots=True)
class _Extreme:
    """What one group reached in a stretch of one state, by the fit without it: logarithms [M]."""

    group: int
    state: int
    reached: Floats


@dataclass(frozen=True, slots=True)
class CrossFit:
    """One candidate, judged group by group by what was fitted without the group.

    Attributes:
        normal: fitted on all groups.
        left_out: evidence of each window by the fit without its group [n]; NaN where that fit does not know the state.
        folds: the fits, in the order of the groups' names.
    """

    normal: Normal
    left_out: Floats
    folds: dict[str, Normal]


def form_of(
    values: NDArray[np.float32],
    valid: NDArray[np.float32],
    statistics: tuple[Statistic, ...],
    state: State | None,
    sensors: Sequence[str],
    *,
    parts: int = 1,
) -> Form:
    """The form for these normal windows: of each sensor, what spread is none."""
    place = None if state is None else list(sensors).index(state.sensor)
    zero = Form(
        statistics,
        np.full(len(statistics) * values.shape[2], 1e-12),
        place,
        () if state is None else state.edges,
        parts,
    )
    raw = np.median(features_of(values, valid, zero).mean(axis=1), axis=0).reshape(len(statistics), -1)
    level = np.abs(np.median(_mean(values, valid), axis=0))
    floors = np.array(
        [
            FLOOR * np.exp(np.maximum(row, -27.0)) if name != "mean" else 0.0 * row
            for name, row in zip(statistics, raw, strict=True)
        ]
    )
    return replace(zero, floors=(floors + 1e-5 * level + 1e-9).ravel())


def features_of(values: NDArray[np.float32], valid: NDArray[np.float32], form: Form) -> Floats:
    """The statistics of each part of each window [n, P, F]; those of spread as logarithms."""
    cuts = part_cuts(values.shape[1], form.parts)
    return np.stack([_statistics(values[:, a:b], valid[:, a:b], form) for a, b in pairwise(cuts)], axis=1)


def part_cuts(length: int, parts: int) -> tuple[int, ...]:
    """The cells at which parts of a window begin, and its length."""
    return tuple(round(length * number / parts) for number in range(parts + 1))


def _statistics(values: NDArray[np.float32], valid: NDArray[np.float32], form: Form) -> Floats:
    v, m = values.astype(np.float64), valid.astype(np.float64)
    floors = form.floors.reshape(len(form.statistics), -1)
    found = []
    for name, floor in zip(form.statistics, floors, strict=True):
        mean = _mean(v, m)
        if name == "mean":
            found.append(mean)
        elif name == "std":
            square = (((v - mean[:, None]) * m) ** 2).sum(axis=1) / np.maximum(m.sum(axis=1), 1)
            found.append(np.log(np.sqrt(square) + floor))
        else:
            both = m[:, 1:] * m[:, :-1]
            moved = (np.abs(v[:, 1:] - v[:, :-1]) * both).sum(axis=1) / np.maximum(both.sum(axis=1), 1)
            found.append(np.log(moved + floor))
    return np.concatenate(found, axis=1)


def states_of(values: NDArray[np.float32], valid: NDArray[np.float32], form: Form) -> NDArray[np.int64]:
    """The operating state of each window [n]; -1 where it changed meanwhile."""
    if form.state is None:
        return np.zeros(len(values), np.int64)
    cells, there = values[:, :, form.state], valid[:, :, form.state] > 0
    edges = np.array(form.edges, np.float32)
    low = (np.where(there, cells, np.float32(np.inf)).min(axis=1)[:, None] >= edges).sum(axis=1)
    high = (np.where(there, cells, np.float32(-np.inf)).max(axis=1)[:, None] >= edges).sum(axis=1)
    return np.where(low == high, low, -1).astype(np.int64)


def crossfit(kind: str, features: Floats, states: NDArray[np.int64], groups: NDArray[np.str_], form: Form) -> CrossFit:
    """Fit a candidate on all groups, and once without each.

    Limits come from what each group reached by the fit without it. So what is fitted is not what it is held against.
    """
    names = sorted(set(groups.tolist()))
    summaries = _summaries(features, states, groups, names)
    whole = _base(kind, summaries, form)
    bases = [_base(kind, [one for one in summaries if one.group != number], form) for number in range(len(names))]
    # A long group is several stretches: what it reaches in hours is not what another reaches in minutes.
    usual = int(np.median([len(one.features) for one in summaries])) if summaries else 1
    extremes = [
        found for one in summaries for found in _extremes(one, bases[one.group] if len(names) > 1 else whole, usual)
    ]
    left_out = np.full(len(features), np.nan)
    folds = {}
    for number, name in enumerate(names if len(names) > 1 else ()):
        folds[name] = _limited(kind, bases[number], [one for one in extremes if one.group != number], form)
        own = groups == name
        left_out[own] = folds[name].evidence(features[own], states[own])
    return CrossFit(_limited(kind, whole, extremes, form), left_out, folds)


def shift_found(
    found: CrossFit, limit: float, features: Floats, states: NDArray[np.int64], groups: NDArray[np.str_]
) -> tuple[float, float]:
    """How far one sensor must move to be flagged, in its spread within a state: mean over left-out groups, and its standard error.

    It needs no fault: of two candidates that promise the same, the one that sees smaller moves is the better one.
    """
    means = []
    for name, normal in found.folds.items():
        own = groups == name
        deviations = normal.deviations(features[own], states[own])
        judged = np.isfinite(deviations).all(axis=1)
        if judged.any():
            room = np.maximum(normal.reach(limit)[states[own][judged]] - deviations[judged], 0.0)  # [n, M]
            follows = (
                np.abs(normal.mix[:, : normal.sensors]) + 1e-12
            )  # [M, S]: a row follows a sensor's first statistic
            needed = (room[:, :, None] / follows).reshape(len(room), -1, normal.centre.shape[1], normal.sensors)
            means.append(float(np.median(needed.max(axis=1).min(axis=1), axis=0).mean()))
    if not means:
        return float("inf"), 0.0
    return float(np.mean(means)), float(np.std(means) / np.sqrt(len(means)))


def _mean(values: NDArray[np.floating], valid: NDArray[np.floating]) -> Floats:
    mean: Floats = (values.astype(np.float64) * valid).sum(axis=1) / np.maximum(valid.sum(axis=1), 1)
    return mean


def _summaries(
    features: Floats, states: NDArray[np.int64], groups: NDArray[np.str_], names: Sequence[str]
) -> list[_Summary]:
    found = []
    for number, name in enumerate(names):
        own = groups == name
        for state in sorted(set(states[own].tolist()) - {-1}):
            chosen = features[own & (states == state)]
            if len(chosen) >= LEAST_WINDOWS:
                over = chosen.mean(axis=1)
                found.append(_Summary(number, state, chosen, np.median(over, axis=0), over.var(axis=0)))
    return found


def _base(kind: str, summaries: Sequence[_Summary], form: Form) -> _Base:
    width_of = len(form.floors)
    centre, width = np.zeros((form.states, width_of)), np.ones((form.states, width_of))
    known = np.zeros(form.states, np.bool_)
    for state in {one.state for one in summaries}:
        own = [one for one in summaries if one.state == state]
        known[state] = True
        centre[state] = np.median([one.median for one in own], axis=0)
        # Of a usual group: one that is strange does not blind the others.
        spread = np.sqrt(np.median([one.variance for one in own], axis=0))
        width[state] = np.maximum(
            spread, form.floors if "mean" not in form.statistics else 1e-5 * np.abs(centre[state]) + 1e-9
        )
    mix = np.eye(width_of)
    if kind != "states" and summaries:
        residual = _residual(
            [
                np.clip((one.features.mean(axis=1) - centre[one.state]) / width[one.state], -LARGEST, LARGEST)
                for one in summaries
            ]
        )
        mix = residual if kind == "residual" else np.concatenate([mix, residual])
    return _Base(centre, width, known, mix)


def _extremes(one: _Summary, base: _Base, length: int) -> list[_Extreme]:
    """The furthest that each stretch of a group is from a fit; none where it does not know the group's state."""
    if not base.known[one.state]:
        return []
    deviations = _lasting(one.features, base.centre[one.state], base.width[one.state], base.mix)
    stretches = np.array_split(deviations, max(1, round(len(deviations) / length)))
    return [_Extreme(one.group, one.state, np.log(np.maximum(own.max(axis=0), NONE))) for own in stretches]


def _lasting(features: Floats, centre: Floats, width: Floats, mix: Floats) -> Floats:
    """How far all parts of a window are from normal to one side [n, M], of features [n, P, F]."""
    centre, width = centre.reshape(-1, 1, features.shape[2]), width.reshape(-1, 1, features.shape[2])
    mixed = np.clip((features - centre) / width, -LARGEST, LARGEST) @ mix.T
    lasting: Floats = np.maximum(np.maximum(mixed.min(axis=1), -mixed.max(axis=1)), 0.0)
    return lasting


def _limited(kind: str, base: _Base, extremes: Sequence[_Extreme], form: Form) -> Normal:
    """A fit with what its rows usually reach in each state [K, M]; a state of few groups has what lies between those of the others."""
    rows = len(base.mix)
    own = [np.array([one.reached for one in extremes if one.state == state]) for state in range(form.states)]
    sure = {state: _usual(reached) for state, reached in enumerate(own) if len(reached) >= LEAST_GROUPS}
    every = _usual(np.array([one.reached for one in extremes]).reshape(-1, rows))
    middles = np.array([one[0] for one in sure.values()] or [every[0]])
    variances = np.array([one[1] ** 2 for one in sure.values()] or [every[1] ** 2])
    between = middles.mean(axis=0), np.sqrt(variances.mean(axis=0) + middles.var(axis=0))
    chosen = [sure.get(state, between) for state in range(form.states)]
    usual, spread = np.array([one[0] for one in chosen]), np.array([one[1] for one in chosen])
    sensors = len(form.floors) // len(form.statistics)
    return Normal(kind, base.centre, base.width, base.known, base.mix, usual, spread, sensors)


def _usual(reached: Floats) -> tuple[Floats, Floats]:
    """Mean and spread of logarithms [G, M]; of few stretches the spread is partly what is usual elsewhere."""
    if not len(reached):
        return np.zeros(reached.shape[1]), np.full(reached.shape[1], USUAL_SPREAD)
    middle = reached.mean(axis=0)
    squares = ((reached - middle) ** 2).sum(axis=0) + KNOWN_BEFORE * USUAL_SPREAD**2
    return middle, np.sqrt(squares / (len(reached) - 1 + KNOWN_BEFORE))


def _residual(deviations: Sequence[Floats]) -> Floats:
    """Row by row, what a sensor differs from its ridge prediction by the others: the inverse of their covariance, over its diagonal."""
    sample = np.concatenate([one[:: max(1, len(one) // SAMPLE)] for one in deviations])
    sample = np.clip(sample, -20.0, 20.0)  # a strange group must not be all that is learned
    precision = np.linalg.inv(sample.T @ sample / len(sample) + RIDGE * np.eye(sample.shape[1]))
    mix: Floats = precision / np.diag(precision)[:, None]
    return mix
