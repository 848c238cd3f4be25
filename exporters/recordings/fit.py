"""Fits what is normal, in two ways: limits of each operating state, and what sensors say of each other. Pure numpy.

Both are one form, which `graph` writes as ONNX: statistics of each sensor over the window, less the centre of the operating state, over the spread
within it; mixed by a matrix; each part over its own limit; and of these the largest. For `states` the matrix is the identity. For `residual` each part
is what a sensor differs from its ridge prediction by all others. A sum over the parts (Mahalanobis) was measured too and found less: see docs/windows.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from exporters.recordings.recipe import State, Statistic

Floats = NDArray[np.float64]
CANDIDATES = ("states", "residual")  # the less complex first
LEAST_WINDOWS = 4  # of a group in a state; fewer say nothing of it
SAMPLE = 64  # windows of a group that the matrix is made of
RIDGE = 1.0  # in units of the spread within a state
LARGEST = 1e6  # of a deviation; float32 holds what is made of it
LEAST_GROUPS = 3  # of a state, to say how far its parts go
ROBUST_GROUPS = 8  # of so many normal groups one may be strange
FLOOR = 0.05  # of a usual standard deviation: less is no change


@dataclass(frozen=True, slots=True)
class Form:
    """What is looked at: statistics of S sensors, F = statistics x S, and the operating states, K."""

    statistics: tuple[Statistic, ...]
    floors: Floats  # [F] what is added to a spread before its logarithm
    state: int | None  # place of the sensor that tells the states
    edges: tuple[float, ...]

    @property
    def states(self) -> int:
        """How many there are."""
        return len(self.edges) + 1


@dataclass(frozen=True, slots=True)
class Normal:
    """What is normal in each state: [K, F] centre, spread and usual limit of the parts, [K] which are known; and [F, F] how parts are mixed."""

    kind: str
    centre: Floats
    width: Floats
    known: NDArray[np.bool_]
    mix: Floats
    scale: Floats
    sensors: int
    limit: float = 1.0  # of the largest part; above it is a fault

    def parts(self, features: Floats, states: NDArray[np.int64]) -> Floats:
        """How far each part is from normal [n, F]; NaN in a state that is not known."""
        found = np.full(features.shape, np.nan)
        judged = (states >= 0) & self.known[np.maximum(states, 0)]
        own = states[judged]
        deviation = np.clip((features[judged] - self.centre[own]) / self.width[own], -LARGEST, LARGEST)
        found[judged] = np.abs(deviation @ self.mix.T) / self.scale[own]
        return found

    def evidence(self, features: Floats, states: NDArray[np.int64]) -> Floats:
        """The largest part of each window [n]."""
        largest: Floats = self.parts(features, states).max(axis=1)
        return largest

    def score(self, evidence: Floats) -> Floats:
        """0..1, 0.5 at the limit."""
        return evidence / (evidence + self.limit)


@dataclass(frozen=True, slots=True)
class _Summary:
    """One group in one state: its features [n, F], their median and variance."""

    group: int
    state: int
    features: Floats
    median: Floats
    variance: Floats


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
) -> Form:
    """The form for these normal windows: of each sensor, what spread is none."""
    place = None if state is None else list(sensors).index(state.sensor)
    zero = Form(
        statistics, np.full(len(statistics) * values.shape[2], 1e-12), place, () if state is None else state.edges
    )
    raw = np.median(features_of(values, valid, zero), axis=0).reshape(len(statistics), -1)
    level = np.abs(np.median(_mean(values, valid), axis=0))
    floors = np.array(
        [
            FLOOR * np.exp(np.maximum(row, -27.0)) if name != "mean" else 0.0 * row
            for name, row in zip(statistics, raw, strict=True)
        ]
    )
    return replace(zero, floors=(floors + 1e-5 * level + 1e-9).ravel())


def features_of(values: NDArray[np.float32], valid: NDArray[np.float32], form: Form) -> Floats:
    """The statistics of each window [n, F]; those of spread as logarithms."""
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
    """Fit a candidate on all groups, and once without each."""
    names = sorted(set(groups.tolist()))
    summaries = _summaries(features, states, groups, names)
    left_out = np.full(len(features), np.nan)
    folds = {}
    for number, name in enumerate(names):
        rest = [one for one in summaries if one.group != number]
        if not rest:
            break
        folds[name] = _fit(kind, rest, form)
        own = groups == name
        left_out[own] = folds[name].evidence(features[own], states[own])
    return CrossFit(_fit(kind, summaries, form), left_out, folds)


def shift_found(
    found: CrossFit, limit: float, features: Floats, states: NDArray[np.int64], groups: NDArray[np.str_]
) -> tuple[float, float]:
    """How far one sensor must move to be flagged, in its spread within a state: mean over left-out groups, and its standard error.

    It needs no fault: of two candidates that promise the same, the one that sees smaller moves is the better one.
    """
    means = []
    for name, normal in found.folds.items():
        own = groups == name
        parts = normal.parts(features[own], states[own])
        judged = np.isfinite(parts).all(axis=1)
        if judged.any():
            room = np.maximum(limit - parts[judged], 0.0) * normal.scale[states[own][judged]]  # [n, F]
            reach = np.abs(normal.mix[:, : normal.sensors]) + 1e-12  # [F, S]: a part follows a sensor's first statistic
            means.append(
                float(np.mean([np.median((room / reach[:, one]).min(axis=1)) for one in range(normal.sensors)]))
            )
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
                found.append(_Summary(number, state, chosen, np.median(chosen, axis=0), chosen.var(axis=0)))
    return found


def _fit(kind: str, summaries: Sequence[_Summary], form: Form) -> Normal:
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
    deviations = [
        np.clip((one.features - centre[one.state]) / width[one.state], -LARGEST, LARGEST) for one in summaries
    ]
    mix = np.eye(width_of) if kind == "states" or not deviations else _residual(deviations)
    extremes = [np.abs(deviation @ mix.T).max(axis=0) for deviation in deviations]
    scale = _scales(extremes, [one.state for one in summaries], form.states, width_of)
    return Normal(kind, centre, width, known, mix, np.maximum(scale, 1e-6), width_of // len(form.statistics))


def _scales(extremes: Sequence[Floats], states: Sequence[int], count: int, width: int) -> Floats:
    """The usual extreme of each part in each state [K, F]; a state of few groups has what lies between those of the others."""
    own = [
        np.array([one for one, state in zip(extremes, states, strict=True) if state == number])
        for number in range(count)
    ]
    sure = {number: _usual_extreme(rows) for number, rows in enumerate(own) if len(rows) >= LEAST_GROUPS}
    every = [_usual_extreme(np.array(extremes))] if extremes else [np.ones(width)]
    between = np.exp(np.mean(np.log(np.maximum(list(sure.values()) or every, 1e-6)), axis=0))
    return np.array([sure.get(number, between) for number in range(count)])


def _usual_extreme(extremes: Floats) -> Floats:
    """The largest of each part [F] over the groups [G, F]; of many groups the strangest is left aside, whose start-up may be all that one sees."""
    if len(extremes) >= ROBUST_GROUPS:
        second = np.maximum(np.sort(extremes, axis=0)[-2], 1e-6)
        extremes = np.delete(extremes, (extremes / second).max(axis=1).argmax(), axis=0)
    largest: Floats = extremes.max(axis=0)
    return largest


def _residual(deviations: Sequence[Floats]) -> Floats:
    """Row by row, what a sensor differs from its ridge prediction by the others: the inverse of their covariance, over its diagonal."""
    sample = np.concatenate([one[:: max(1, len(one) // SAMPLE)] for one in deviations])
    sample = np.clip(sample, -20.0, 20.0)  # a strange group must not be all that is learned
    precision = np.linalg.inv(sample.T @ sample / len(sample) + RIDGE * np.eye(sample.shape[1]))
    mix: Floats = precision / np.diag(precision)[:, None]
    return mix
