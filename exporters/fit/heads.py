"""Fits all heads of one build on the dataset's pictures: features in, modules and notes for the report out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.system.board import machine_facts
from exporters.fit import crossfit, deletion, head, normals
from exporters.fit.feature_cache import Features
from exporters.fit.grids import on_finest, resized, side_of
from exporters.fit.procedural import KINDS, paint
from exporters.fit.unnamed import Unnamed, fine_side
from exporters.pictures import variety
from exporters.pictures.grouping import Part
from exporters.pictures.images import Dataset
from exporters.proof.shares import Share
from exporters.recipe import Recipe

PAINTED_LEAST, PAINTED_MOST = 60, 600  # pictures with a painted fault; few normal ones are painted on several times
MANY = 100  # pictures, from which two flips of each do
AT_ONCE = 64  # frames whose features are held before they are put on the grid that is kept
SUSPECTS_NAMED = 20  # by name in the report


@dataclass(frozen=True, slots=True)
class UnnamedChannel:
    """The fitted channel, the rows of the dataset that it was fitted on, their evidence out of fold, and lines for the report."""

    module: Unnamed
    rows: NDArray[np.int64]
    unseen: NDArray[np.float32]
    notes: tuple[str, ...]


def head_depths(recipe: Recipe) -> tuple[float, ...]:
    """What the named faults' head reads; at least one grid, to know where the patches are."""
    return (recipe.head.layers or (0.0,)) if recipe.head.kind == "fitted" else ()


def fit_named(recipe: Recipe, features: Features, dataset: Dataset, *, log: Callable[[str], None]) -> nn.Module:
    """The head of the named faults, in folds where the recipe has folds.

    Args:
        recipe: its section ``head`` is obeyed.
        features: as `Model.features` gives them.
        dataset: pictures of part ``fit`` are fitted on; in folds those of part ``calibrate`` too.
        log: takes a line of progress now and then.
    """
    rule = recipe.head
    fit = dataset.part("fit", "calibrate") if dataset.folds else dataset.part("fit")
    log(f"features of {int(fit.sum())} images")
    flips = head.FLIPS if rule.hidden else _flips(int(fit.sum()))
    views = [
        _head_features(features, head.flipped(dataset.frames[fit], axes), head_depths(recipe), one_grid=rule.hidden > 0)
        for axes in flips
    ]
    frames, labels = dataset.frames[fit], dataset.labels[fit][:, : len(recipe.faults)]
    masks = None if dataset.masks is None else dataset.masks[fit]
    half = "amx_bf16" in machine_facts().cpu_flags
    if dataset.folds:
        pictures = crossfit.Pictures(views, frames, labels, masks, np.array(dataset.folds)[fit])
        return crossfit.fit(pictures, rule, half=half, log=log)
    return head.fit(views, frames, labels, masks, rule, half=half, log=log)


def deletion_notes(
    recipe: Recipe, features: Features, dataset: Dataset, named: nn.Module, *, log: Callable[[str], None]
) -> tuple[str, ...]:
    """What the deletion check finds in a fitted head, for the report: on pictures that its members, or all of it, never saw."""
    parts: tuple[Part, ...] = ("fit", "calibrate", "test") if dataset.folds else ("test",)
    rows = np.flatnonzero(dataset.labels.any(axis=1) & dataset.part(*parts))
    log(f"deletion check on at most {min(len(rows), deletion.PICTURES * len(recipe.faults))} images")
    found = deletion.check(
        named,
        features,
        dataset.frames[rows],
        dataset.labels[rows],
        folds=[dataset.folds[row] for row in rows] if dataset.folds else (),
        faults=[fault.id for fault in recipe.faults],
    )
    return tuple(one.note for one in found)


def fit_unnamed(recipe: Recipe, features: Features, dataset: Dataset, *, log: Callable[[str], None]) -> UnnamedChannel:
    """The unnamed channel, fitted on the normal pictures that are not kept for testing.

    Args:
        recipe: its section ``unnamed`` is obeyed.
        features: as `Model.features` gives them.
        dataset: normal pictures of the parts ``fit`` and ``calibrate`` are fitted on, and judged out of fold.
        log: takes a line of progress now and then.

    Raises:
        ExportError: the pictures show nothing.
    """
    rows = np.flatnonzero(dataset.part("fit", "calibrate") & dataset.normal)
    frames = dataset.frames[rows]
    flips = _flips(len(rows))
    log(f"features of {len(rows)} normal images under {len(flips)} flips, and of painted ones")
    pooled = torch.zeros(len(rows), 1)
    views = [[pooled, *_unnamed_features(recipe, features, head.flipped(frames, axes))] for axes in flips]
    found = normals.fit(
        normals.Normals(views, [dataset.groups[row] for row in rows]),
        _painted(recipe, features, frames),
        depths=recipe.unnamed.layers,
        bound=recipe.tolerance.false_alarm_bound,
        log=log,
    )
    lacks = variety.notes([dataset.encoded[row] for row in rows], frames)
    mm_per_px = None if recipe.images.long_side_mm is None else recipe.images.long_side_mm / max(frames.shape[1:3])
    notes = (*_notes(found, [dataset.names[row] for row in rows]), size_note(found.power, mm_per_px))
    return UnnamedChannel(found.module, rows, found.unseen, notes + lacks)


def _flips(count: int) -> tuple[tuple[int, ...], ...]:
    """Under which flips pictures teach what is solved in closed form: many need fewer, and features are what takes the time."""
    return head.FLIPS if count < MANY else head.FLIPS[:2]


def _head_features(
    features: Features, frames: NDArray[np.uint8], depths: Sequence[float], *, one_grid: bool
) -> list[Tensor]:
    """Pooled [n, D], then patches of every depth on their own grids, or on the finest of them: float16 [n, T, E]."""
    parts = []
    for start in range(0, len(frames), AT_ONCE):
        pooled, *layers = features(frames[start : start + AT_ONCE], depths)
        laid = on_finest([layer.float() for layer in layers]) if one_grid else layers
        parts.append([pooled, *(layer.half() for layer in laid)])
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def _unnamed_features(recipe: Recipe, features: Features, frames: NDArray[np.uint8]) -> list[Tensor]:
    """What the channel reads of frames, no finer than it works: float16 [n, T, E] per depth."""
    parts = []
    for start in range(0, len(frames), AT_ONCE):
        _, *layers = features(frames[start : start + AT_ONCE], recipe.unnamed.layers)
        parts.append([resized(layer.float(), min(side_of(layer), fine_side(layers))).half() for layer in layers])
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def _painted(recipe: Recipe, features: Features, frames: NDArray[np.uint8]) -> normals.Painted:
    """Painted faults of every kind in turn, spread over the pictures."""
    count = min(max(len(frames), PAINTED_LEAST), PAINTED_MOST)
    sources = np.arange(count) * len(frames) // count if count <= len(frames) else np.arange(count) % len(frames)
    kinds = [list(KINDS)[index % len(KINDS)] for index in range(count)]
    random = np.random.default_rng(recipe.unnamed.seed)
    made = [paint(frames[source], random, kind) for source, kind in zip(sources, kinds, strict=True)]
    layers = _unnamed_features(recipe, features, np.stack([picture for picture, _ in made]))
    masks = torch.from_numpy(np.stack([mask for _, mask in made])).float()[:, None]
    covered = nn.functional.adaptive_avg_pool2d(masks, fine_side(layers)).flatten(1)
    return normals.Painted(layers, covered, kinds, sources, np.array([_extent_px(mask) for _, mask in made]))


def _extent_px(mask: NDArray[np.bool_]) -> float:
    """The longer side of the box around a fault; 0: nothing of it can be seen."""
    rows, columns = np.nonzero(mask)
    return float(max(np.ptp(rows), np.ptp(columns)) + 1) if rows.size else 0.0


def size_note(power: Mapping[str, normals.Power], mm_per_px: float | None) -> str:
    """Which sizes of painted faults are found, each share with its number and exact interval.

    Args:
        power: by kind.
        mm_per_px: of the graph's picture; None: the recipe does not say it, and sizes stand in px.
    """
    unit, scale = ("px", 1.0) if mm_per_px is None else ("mm", mm_per_px)
    kinds = [
        f"{kind} "
        + ", ".join(
            f"of {third.least_px * scale:.3g} to {third.most_px * scale:.3g} {unit} {Share(third.found, third.count)}"
            for third in one.sizes
        )
        for kind, one in power.items()
    ]
    more = " Set images.long_side_mm to have the sizes in mm." if mm_per_px is None else ""
    return f"SIZES: of faults painted at random places it finds, by their longer side: {'; '.join(kinds)}.{more}"


def _notes(found: normals.Fitted, names: Sequence[str]) -> tuple[str, ...]:
    """Lines for the report: what it would find, and which normal pictures to check again."""
    power = ", ".join(f"{kind} {one.found:.0%} (AUROC {one.auroc:.2f})" for kind, one in found.power.items())
    lines = [
        (
            f"The unnamed channel was fitted on {len(names)} normal images. Of faults painted on them by rule, out of fold, it finds at its "
            f"limit: {power}. They show what kind of fault it sees, not how often real ones are found."
        )
    ]
    apart = int(normals.standing_apart(found.unseen).sum())
    if apart > normals.SUSPECTS_MAX * len(names):
        lines.append(
            f"TWO KINDS: {apart} of {len(names)} normal images are far from the others, too many to be outliers. If they are another "
            "camera's view, make a bundle for each camera."
        )
    suspects = [name for name, odd in zip(names, found.suspects, strict=True) if odd]
    if suspects:
        more = len(suspects) - SUSPECTS_NAMED
        lines.append(
            f"SUSPECT: {len(suspects)} normal images are far from the others and were not fitted on: {', '.join(suspects[:SUSPECTS_NAMED])}"
            f"{f' and {more} more' if more > 0 else ''}. Look at them; remove those that show a fault or another camera's view."
        )
    return tuple(lines)
