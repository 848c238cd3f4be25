"""Whether a tile still shows what it showed when it was last computed, beyond the noise of its camera; pure.

Looked at are the means of small blocks, so that noise averages out and a spot of a block's size does not. Noise is learned from pairs of frames that
follow each other. Slow light is taken out: a tile whose quarters became a little brighter or darker has not changed, because soft shadows cross tiles.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.inference.schedule import Key
from edge.region import CHANGE_LEVELS, Region

CEILING = 24.0  # above it a block has changed, however noisy the camera seems
TIMES_NOISE = 7.0  # of its standard deviation: the most extreme of 10,000 blocks stays below it
MOST_LIGHT = 0.06  # change of the light of a tile's quarter that is taken out; more is a change, and is computed
QUANTILE, OF_SIGMA = 0.75, 1.1503  # of the differences of a tile's blocks: less than a quarter of it may move
USUAL = 0.25  # quantile over the remembered frames: a tile that moves now and then shows its noise between
REMEMBERED = 32  # frames that noise is learned from
LEARNED = 8  # frames from which it is known; before, every tile has changed
LEARN_EVERY = 4  # frames between two that a tile's noise is renewed from, once it is known
COARSE = 2  # rows and columns between the blocks that show light


Kind = TypeVar("Kind", np.uint8, np.float32)


class ChangeGate:
    """One camera's tiles as they were when they were last computed, and what noise they show.

    Args:
        tiles: those that are watched.
        levels: of each, in how many grey levels a block may differ whatever the noise; default: `CHANGE_LEVELS`.
    """

    def __init__(self, tiles: dict[Key, Region], levels: Mapping[Key, float] | None = None) -> None:
        self._tiles = tiles
        self._levels_of = dict.fromkeys(tiles, CHANGE_LEVELS) | dict(levels or {})
        self._frame = 0
        self._now: NDArray[np.uint8] | None = None
        self._levels: NDArray[np.float32] = np.zeros((0, 0, 3), np.float32)  # of now
        self._noise = {key: deque[float](maxlen=REMEMBERED) for key in tiles}
        self._kept: dict[Key, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}  # blocks, and their light

    def see(self, blocks: NDArray[np.uint8]) -> None:
        """A frame came, as block means uint8 [rows, columns, 3]."""
        before, self._now, self._frame = self._now, blocks, self._frame + 1
        self._levels = blocks.astype(np.float32)
        if before is None:
            return
        if before.shape != blocks.shape:
            self._kept.clear()
            return
        moved = np.maximum(before, blocks) - np.minimum(before, blocks)
        for number, key in enumerate(self._tiles):
            if len(self._noise[key]) < LEARNED or (self._frame + number) % LEARN_EVERY == 0:
                counts = np.cumsum(np.bincount(self._part(moved, key).ravel(), minlength=256))
                level = int(np.searchsorted(counts, QUANTILE * counts[-1]))
                self._noise[key].append(_between(counts, level) / OF_SIGMA)

    def lose(self) -> None:
        """A frame came that shows nothing that can be relied on: the next one follows none."""
        self._now = None

    def keep(self, tile: Key) -> None:
        """It is computed on this frame: what follows is compared with how it is now."""
        if self._now is not None:
            levels = self._part(self._levels, tile)
            self._kept[tile] = levels.copy(), _light(levels)

    def forget(self, tile: Key) -> None:
        """It has no verdict any more."""
        self._kept.pop(tile, None)

    def limit(self, tile: Key) -> float | None:
        """Grey levels from which a block of it has changed; None: not known yet."""
        noise = sorted(self._noise[tile])
        if len(noise) < LEARNED:
            return None
        return min(max(TIMES_NOISE * noise[int(USUAL * len(noise))], self._levels_of[tile]), CEILING)

    def change(self, tile: Key) -> float:
        """How far it changed since it was kept, over its limit: up to 1 it did not; infinite where that is not known."""
        limit, kept = self.limit(tile), self._kept.get(tile)
        if limit is None or kept is None or self._now is None:
            return math.inf
        levels, (before, light_before) = self._part(self._levels, tile), kept
        light = _light(levels) / light_before
        if float(np.abs(light - 1.0).max()) > MOST_LIGHT:
            return math.inf
        rest = before * _spread(light, *levels.shape[:2])
        rest -= levels
        return float(max(rest.max(), -rest.min())) / limit

    def _part(self, blocks: NDArray[Kind], tile: Key) -> NDArray[Kind]:
        """Every block that a pixel of the tile lies in."""
        box, (rows, columns) = self._tiles[tile], blocks.shape[:2]
        top, bottom = math.floor(box.top * rows), math.ceil((box.top + box.height) * rows)
        left, right = math.floor(box.left * columns), math.ceil((box.left + box.width) * columns)
        return blocks[top:bottom, left:right]


def _light(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean level of the quarters of some blocks, float32 [2, 2, 3]; never 0, so that it can be divided by."""
    coarse = levels[::COARSE, ::COARSE]
    rows, columns, colours = coarse.shape
    halves = _halves(rows) @ coarse.reshape(rows, columns * colours)
    mean: NDArray[np.float32] = _halves(columns) @ halves.reshape(2, columns, colours) + np.float32(1.0)
    return mean


def _spread(quarters: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """What is known of the quarters of some blocks for each block: bilinear between the middles of the quarters, level beyond them."""
    across = _between_halves(rows) @ quarters.reshape(2, -1)
    spread: NDArray[np.float32] = _between_halves(columns) @ across.reshape(rows, 2, -1)
    return spread


@lru_cache(maxsize=64)
def _halves(count: int) -> NDArray[np.float32]:
    """Weights of so many blocks in a row for the means of its halves, float32 [2, count]; of an odd one the middle belongs to both."""
    edges = np.arange(count)[None]
    ends = np.array([[count / 2], [count]])
    inside = np.clip(np.minimum(edges + 1, ends) - np.maximum(edges, ends - count / 2), 0.0, None)
    return np.asarray(inside / (count / 2), np.float32)


@lru_cache(maxsize=64)
def _between_halves(count: int) -> NDArray[np.float32]:
    """Weights of two halves for each of so many blocks in a row, float32 [count, 2]."""
    second = np.clip(2.0 * (np.arange(count) + 0.5) / count - 0.5, 0.0, 1.0)
    return np.asarray(np.stack([1.0 - second, second], axis=1), np.float32)


def _between(counts: NDArray[np.int64], level: int) -> float:
    """The quantile of whole grey levels as if they had been rounded: so much of a level as lies below it."""
    below = float(counts[level - 1]) if level else 0.0
    share = (QUANTILE * float(counts[-1]) - below) / max(1.0, float(counts[level]) - below)
    return max(0.0, level - 0.5 + share)
