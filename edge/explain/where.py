"""Finds where a fault shows by occlusion: the frame's graph runs on the picture with one place covered at a time; pure.

What makes the score fall is where the fault is. It needs no second graph, so it works for every bundle, and it shows what moved this score and
not what a proxy thinks; measured against maps of patch evidence in docs/decisions/006-explanations.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHARE = 1.5  # width of a cover over the distance between two, so that neighbours overlap
RIM = 0.2  # share of a cover over which it fades, or its edge would be seen as a fault of its own
LEAST_FALL = 0.25  # of the score's log odds; a score that falls less anywhere is about the whole picture
SECOND_SHARE = 0.5  # of the hottest place's heat: a place with less is its echo
MAX_NAMED = 2  # places
ROWS = ("upper", "", "lower")
COLUMNS = ("left", "", "right")
ALONE = {("upper", ""): "top", ("lower", ""): "bottom", ("", ""): "middle"}


class Window(NamedTuple):
    """The part of a picture that the graph sees, as shares of the picture's width and height: with `centre_crop` its middle."""

    left: float
    top: float
    width: float
    height: float


WHOLE = Window(0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where, in words and as shares of the picture's width and height from its upper left corner."""

    words: str
    x: float
    y: float


def cover(tensor: NDArray[np.uint8], grid: int, row: int, column: int) -> NDArray[np.uint8]:
    """The picture uint8 [1, height, width, 3] with one of grid x grid places hidden under the picture's mean colour."""
    _, height, width, _ = tensor.shape
    down, across = _fade(height, grid, row), _fade(width, grid, column)
    rows, columns = np.flatnonzero(down), np.flatnonzero(across)
    top, left = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    hidden = tensor.copy()
    seen = hidden[0, top, left].astype(np.float32)
    weight = (down[top, None] * across[None, left])[..., None]
    mean = tensor[0, ::4, ::4].mean(axis=(0, 1), dtype=np.float32)
    hidden[0, top, left] = (seen + (mean - seen) * weight).astype(np.uint8)
    return hidden


def find(whole: float, covered: NDArray[np.float64], window: Window = WHOLE) -> Place | None:
    """The place from the scores in 0..1 of the whole picture and [grid, grid] of it with each place covered; None: nowhere in particular."""
    warmth = heat(whole, covered)
    return None if warmth is None else middle(warmth, window)


def heat(whole: float, covered: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """How much each place had to do with the score, 0..1 [grid, grid], 1 at the most; scores as in `find`. None: none had in particular."""
    falls = _log_odds(np.asarray(whole)) - _log_odds(covered)
    if not falls.max() >= LEAST_FALL:
        return None
    above = np.clip(falls - np.median(falls), 0.0, None)
    return np.asarray(above / above.max(), np.float64) if above.max() > 0.0 else None


def middle(warmth: NDArray[np.float64], window: Window) -> Place:
    """The middle of the hottest place, as a point of the picture that the graph saw through a window; the words name a second place that is as hot.

    Places hotter than half count, each by itself: the middle between two of them is where nothing is.
    """
    lobes = sorted(_lobes(np.where(warmth > 0.5, warmth, 0.0)), key=lambda lobe: -float(lobe.sum()))
    points = [_centre(lobe, window) for lobe in lobes if lobe.sum() >= SECOND_SHARE * lobes[0].sum()]
    words = list(dict.fromkeys(in_words(*point) for point in points))
    named = " and ".join(words[:2]) if len(words) <= MAX_NAMED else f"{words[0]} and {len(words) - 1} other places"
    x, y = points[0]
    return Place(named, round(x, 3), round(y, 3))


def _lobes(weight: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """The connected places of a grid [rows, columns] with any weight, each alone on a grid of its own; cells that touch at a corner are connected."""
    waiting = set(zip(*(axis.tolist() for axis in np.nonzero(weight)), strict=True))
    found = []
    while waiting:
        border, lobe = [waiting.pop()], np.zeros_like(weight)
        while border:
            row, column = border.pop()
            lobe[row, column] = weight[row, column]
            near = {(row + down, column + across) for down in (-1, 0, 1) for across in (-1, 0, 1)} & waiting
            waiting -= near
            border.extend(near)
        found.append(lobe)
    return found


def _centre(lobe: NDArray[np.float64], window: Window) -> tuple[float, float]:
    """The centre of mass of a place, as shares of the picture's width and height."""
    middles = (np.arange(len(lobe)) + 0.5) / len(lobe)
    share = lobe / lobe.sum()
    x = window.left + window.width * float((share.sum(axis=0) * middles).sum())
    y = window.top + window.height * float((share.sum(axis=1) * middles).sum())
    return x, y


def in_words(x: float, y: float) -> str:
    """A point, as shares of width and height, in the words of an operator."""
    row, column = (names[min(2, math.floor(3 * value))] for names, value in ((ROWS, y), (COLUMNS, x)))
    return ALONE.get((row, column), f"{row} {column}".strip())


def _fade(length: int, grid: int, index: int) -> NDArray[np.float32]:
    """1 under the cover, 0 beside it, a ramp between."""
    middle, reach = (index + 0.5) * length / grid, SHARE * length / grid / 2
    rim = max(1.0, 2 * reach * RIM)
    distance = np.abs(np.arange(length) + 0.5 - middle)
    return np.asarray(np.clip((reach + rim / 2 - distance) / rim, 0.0, 1.0), np.float32)


def _log_odds(score: NDArray[np.float64]) -> NDArray[np.float64]:
    inside = np.clip(score, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(inside / (1 - inside)), np.float64)
