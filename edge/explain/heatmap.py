"""Draws what moved the score over the picture itself; pure.

What had nothing to do with it turns grey, so that colours mean something: the hotter, the redder. It stays a thin wash inside, because people want to
see the fault and not the paint; a line goes round what is hotter than half, and a ring marks the spot that the sentence names.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
from numpy.typing import NDArray

from edge.explain.where import Place, Window

LEVELS = 256
HALF = LEVELS // 2
SMOOTH = 0.55  # of a place's width: how far its heat reaches into its neighbours
WARM, HOT = (255, 220, 0), (255, 0, 70)
WASH = 0.36  # share of the colour where it is hottest
DIMMED = 0.8  # brightness of what is cold
RED_SHARE, GREEN_SHARE, BLUE_SHARE = np.uint16(77), np.uint16(150), np.uint16(29)  # of 256, in a grey
BAND_PX = 20_000
BANDS_A_STEP = 4
RING = 0.035  # radius of the mark, of the picture's longer edge
LINE = 2  # px, each of the dark and the light one
DARK, LIGHT = 0, 255


def draw(
    picture: NDArray[np.uint8], warmth: NDArray[np.float64], window: Window, spot: Place | None
) -> Generator[str, None, NDArray[np.uint8]]:
    """The picture uint8 [height, width, 3] RGB with the heat 0..1 [grid, grid] of the part that the graph saw; the picture is left as it was.

    In steps, each named by the yield before it: nothing stops one in the middle, so each is much shorter than a run of a graph.
    """
    yield "draw"
    levels = spread(warmth, window, *picture.shape[:2])
    drawn = np.empty_like(picture)
    for number, band in enumerate(_bands(*picture.shape[:2])):
        if number % BANDS_A_STEP == 0:
            yield "draw"
        _wash(picture[band], levels[band], drawn[band])
    yield "draw"
    _outline(drawn, levels)
    if spot is not None:
        _mark(drawn, spot)
    return drawn


def spread(warmth: NDArray[np.float64], window: Window, height: int, width: int) -> NDArray[np.uint8]:
    """The heat of every point of a picture, 0..255 [height, width]: smooth between the middles of places, 255 at the hottest, 0 beside the window."""
    down = _reach(height, window.top, window.height, len(warmth))
    across = np.ascontiguousarray(_reach(width, window.left, window.width, len(warmth)).T)
    # einsum and not @: a product on several threads would take the core from the network threads
    lines = np.einsum("hg,gk->hk", down, warmth.astype(np.float32))
    hottest = max(float(np.einsum("hk,kw->hw", lines[::4], across[:, ::4]).max()), 1e-6)
    lines *= (LEVELS - 1) / hottest
    levels = np.empty((height, width), np.uint8)
    for band in _bands(height, width):
        levels[band] = np.minimum(np.einsum("hk,kw->hw", lines[band], across), LEVELS - 1)
    return levels


def _bands(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture, so many at a time that what is worked on stays in the processor's cache."""
    rows = max(1, BAND_PX // width)
    return (slice(top, top + rows) for top in range(0, height, rows))


def _reach(length: int, start: float, share: float, grid: int) -> NDArray[np.float32]:
    """How much each of the grid's places counts at each of so many points along one edge, [length, grid]; rows sum to 1, or to 0 beside the window."""
    at = (((np.arange(length) + 0.5) / length - start) / share * grid).astype(np.float32)
    distance = at[:, None] - (np.arange(grid, dtype=np.float32) + 0.5)
    weight = np.exp(-0.5 * np.square(distance / SMOOTH))
    inside = ((at >= 0.0) & (at <= grid))[:, None]
    return np.asarray(np.where(inside, weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12), 0.0), np.float32)


def _tables() -> tuple[NDArray[np.uint16], NDArray[np.uint16], NDArray[np.uint16]]:
    """By level, in 256ths: how much of the picture's own colour stays, how much of its grey, and the paint [3, levels] on top."""
    level = np.arange(LEVELS) / (LEVELS - 1)
    own = _rise(level, 0.4, 0.6)  # a yellow part outside the line must not be taken for heat
    paint = WASH * _rise(level, 0.2, 0.9)
    hue = np.clip((level[:, None] - 0.4) / 0.5, 0.0, 1.0)
    colour = np.array(WARM) + hue * (np.array(HOT) - np.array(WARM))
    stays, grey = own * (1.0 - paint), (1.0 - own) * DIMMED * (1.0 - paint)
    first, second, third = (
        np.floor(256 * share).astype(np.uint16) for share in (stays, grey, (paint[:, None] * colour).T)
    )
    return first, second, third


def _rise(level: NDArray[np.float64], begin: float, end: float) -> NDArray[np.float64]:
    """0 up to one level, 1 from another on, smooth between."""
    x = np.clip((level - begin) / (end - begin), 0.0, 1.0)
    return np.asarray(x * x * (3.0 - 2.0 * x), np.float64)


_OWN, _GREY, _PAINT = _tables()
COLD = int(np.flatnonzero(_GREY[0] > _GREY)[0])


def _wash(picture: NDArray[np.uint8], levels: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> None:
    """Some rows of the picture under their paint: all of it grey, then what is warm painted over it; in whole numbers of 16 bits, which are faster than floats."""
    grey = (picture[..., 0] * RED_SHARE + picture[..., 1] * GREEN_SHARE + picture[..., 2] * BLUE_SHARE) >> 8
    drawn[:] = ((grey * _GREY[0]) >> 8).astype(np.uint8)[..., None]
    warm = np.flatnonzero((levels >= COLD).any(axis=0))
    if not len(warm):
        return
    columns = slice(warm[0], warm[-1] + 1)
    levels = levels[:, columns]
    grey, own = grey[:, columns] * _GREY[levels], _OWN[levels]
    for channel in range(3):
        values = picture[:, columns, channel] * own
        values += grey
        values += _PAINT[channel][levels]
        drawn[:, columns, channel] = values >> 8


def _outline(drawn: NDArray[np.uint8], levels: NDArray[np.uint8]) -> None:
    """A light line inside a dark one, which shows on every ground."""
    warm = levels >= HALF
    rows, columns = np.flatnonzero(warm.any(axis=1)), np.flatnonzero(warm.any(axis=0))
    if not len(rows):
        return
    box = slice(max(0, rows[0] - 1), rows[-1] + 2), slice(max(0, columns[0] - 1), columns[-1] + 2)
    rings = [warm[box]]
    for _ in range(2 * LINE):
        rings.append(_shrunk(rings[-1]))
    drawn[box][rings[0] & ~rings[LINE]] = DARK
    drawn[box][rings[LINE] & ~rings[-1]] = LIGHT


def _shrunk(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without its rim of one pixel; what is at the very edge of the picture has none there."""
    shrunk = inside.copy()
    shrunk[1:] &= inside[:-1]
    shrunk[:-1] &= inside[1:]
    shrunk[:, 1:] &= inside[:, :-1]
    shrunk[:, :-1] &= inside[:, 1:]
    return shrunk


def _mark(drawn: NDArray[np.uint8], spot: Place) -> None:
    """A ring round the spot, open in the middle: light between two dark lines."""
    height, width, _ = drawn.shape
    radius = max(4.0, RING * max(height, width))
    x, y, reach = spot.x * width, spot.y * height, int(radius) + 3
    top, left = max(0, int(y) - reach), max(0, int(x) - reach)
    box = drawn[top : int(y) + reach + 1, left : int(x) + reach + 1]
    rows, columns = np.ogrid[0 : box.shape[0], 0 : box.shape[1]]
    off = np.abs(np.hypot(rows + top + 0.5 - y, columns + left + 0.5 - x) - radius)
    box[off < 2.0] = DARK
    box[off < 1.0] = LIGHT
