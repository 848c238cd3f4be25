"""What a fitted recording shows: alarms and scores of each group, known faults that were found, sensors behind them, and confounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporters.recordings.cells import FAULTY, NORMAL, Windows
from exporters.recordings.fit import (
    CANDIDATES,
    CrossFit,
    Floats,
    Form,
    crossfit,
    features_of,
    form_of,
    shift_found,
    states_of,
)
from exporters.recordings.limits import Limit, find_limit
from exporters.recordings.recipe import RecordingRecipe


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to tell what is normal, and what its left-out groups say: the limit, and how small a move it finds."""

    kind: str
    fits: CrossFit
    limit: Limit
    shift: float
    error: float


@dataclass(frozen=True, slots=True)
class Episode:
    """One known fault: its first window, how many windows, how many were flagged, and the sensor with the largest share."""

    group: str
    start_ns: int
    windows: int
    flagged: int
    sensor: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """The chosen candidate over all windows.

    Attributes:
        form: what is looked at.
        candidates: all, in the order of their complexity.
        chosen: the one that is packed, with its limit.
        windows: all of the recording.
        evidence: over the limit [n]: of normal windows and known faults by the fit without their group; NaN where nothing is known.
        shares: of each sensor [n, S].
        states: operating state of each window [n]; -1 where it changed.
    """

    form: Form
    candidates: tuple[Candidate, ...]
    chosen: Candidate
    windows: Windows
    evidence: Floats
    shares: Floats
    states: NDArray[np.int64]

    @property
    def normal(self) -> NDArray[np.bool_]:
        """Which windows are normal."""
        normal: NDArray[np.bool_] = self.windows.kind == NORMAL
        return normal

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which windows are above the limit."""
        flagged: NDArray[np.bool_] = np.nan_to_num(self.evidence, nan=0.0) > 1.0
        return flagged


def fit(recipe: RecordingRecipe, windows: Windows) -> Fitted:
    """Try all candidates on normal windows, and keep the least complex that is within one standard error of the best."""
    sensors = [sensor.id for sensor in recipe.sensors]
    normal = windows.only(windows.kind == NORMAL)
    form = form_of(
        normal.values, normal.valid, recipe.window.statistics, recipe.state, sensors, parts=recipe.window.parts
    )
    features, states = features_of(windows.values, windows.valid, form), states_of(windows.values, windows.valid, form)
    own = windows.kind == NORMAL
    step_ns = round(recipe.window.period_ms * 1e6) * recipe.window.step
    method = recipe.window.method
    kinds = CANDIDATES[:1] if len(sensors) == 1 else CANDIDATES if method == "auto" else (method,)
    tried = []
    for kind in kinds:
        fits = crossfit(kind, features[own], states[own], normal.groups, form)
        limit = find_limit(fits.left_out, normal.at_ns, normal.files, fault=recipe.fault, step_ns=step_ns)
        shift, error = shift_found(fits, limit.value, features[own], states[own], normal.groups)
        tried.append(Candidate(kind, fits, limit, shift, error))
    best = min(tried, key=lambda one: one.shift)
    chosen = next(one for one in tried if one.shift <= best.shift + best.error)
    parts = _left_out_parts(chosen.fits, features, states, windows)
    of_sensors = parts.reshape(len(parts), len(form.statistics), len(sensors)).max(axis=1)
    total = np.maximum(of_sensors.sum(axis=1, keepdims=True), 1e-9)
    return Fitted(
        form, tuple(tried), chosen, windows, parts.max(axis=1) / chosen.limit.value, of_sensors / total, states
    )


def episodes(recipe: RecordingRecipe, found: Fitted) -> list[Episode]:
    """The known faults, each a run of windows without a gap."""
    rows = np.flatnonzero(found.windows.kind == FAULTY)
    if not len(rows):
        return []
    sensors = [sensor.id for sensor in recipe.sensors]
    cuts = np.flatnonzero((np.diff(rows) > 1) | (np.diff(found.windows.files[rows]) != 0)) + 1
    made = []
    for run in np.split(rows, cuts):
        judged = run[np.isfinite(found.evidence[run])]
        seen = judged[found.flagged[judged]] if found.flagged[run].any() else judged
        sensor = sensors[int(found.shares[seen].mean(axis=0).argmax())] if len(seen) else "-"
        made.append(
            Episode(
                str(found.windows.groups[run[0]]),
                int(found.windows.at_ns[run[0]]),
                len(run),
                int(found.flagged[run].sum()),
                sensor,
            )
        )
    return made


def confounds(recipe: RecordingRecipe, windows: Windows) -> list[str]:
    """The sensors whose level alone tells every known fault from all that is normal, where no group holds both: it may tell the group."""
    faulty, normal = windows.kind == FAULTY, windows.kind == NORMAL
    if not faulty.any() or not normal.any() or set(windows.groups[faulty]) & set(windows.groups[normal]):
        return []
    level = (windows.values.astype(np.float64) * windows.valid).sum(axis=1) / np.maximum(windows.valid.sum(axis=1), 1)
    lines = []
    for place, sensor in enumerate(recipe.sensors):
        shown, usual = level[faulty, place], level[normal, place]
        above = shown.min() > usual.max()
        if not above and shown.max() >= usual.min():
            continue
        edge = (shown.min() + usual.max()) / 2 if above else (shown.max() + usual.min()) / 2
        lines.append(
            f"CONFOUND: `{sensor.id} {'above' if above else 'below'} {edge:.4g}` tells {len(shown)} of {len(shown)} windows with a fault and 0 of "
            f"{len(usual)} normal ones, and no {recipe.recording.group} holds both. It may tell the {recipe.recording.group}, not the fault: leave "
            "the sensor out, or `mean` of window.statistics."
        )
    return lines


def _left_out_parts(fits: CrossFit, features: Floats, states: NDArray[np.int64], windows: Windows) -> Floats:
    """Parts of every window, by the fit without its group."""
    parts = fits.normal.parts(features, states)
    for group, normal in fits.folds.items():
        own = windows.groups == group
        parts[own] = normal.parts(features[own], states[own])
    return parts
