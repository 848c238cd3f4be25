"""Where a fault shows: the graph of the frames itself is asked about the picture with one place covered, again and again; pure.

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
    """The middle of what is hotter than half, as a point of the picture that the graph saw through a window."""
    weight = np.where(warmth > 0.5, warmth, 0.0)
    middles = (np.arange(len(warmth)) + 0.5) / len(warmth)
    share = weight / weight.sum()
    x = window.left + window.width * float((share.sum(axis=0) * middles).sum())
    y = window.top + window.height * float((share.sum(axis=1) * middles).sum())
    return Place(in_words(x, y), round(x, 3), round(y, 3))


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
