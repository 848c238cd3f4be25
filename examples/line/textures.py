"""Cached grey textures and noise tiles; every tile has a fixed seed, so pictures stay reproducible."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from typing import cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Gray = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_TILE_PX = 768


def as_gray(values: ArrayLike) -> Gray:
    """The same values as float32, copied only when they are of another type."""
    return cast("Gray", np.asarray(values, dtype=np.float32))


def as_bytes(values: ArrayLike) -> Bytes:
    """The same values as uint8, copied only when they are of another type."""
    return cast("Bytes", np.asarray(values, dtype=np.uint8))


def _unit(tile: NDArray[np.float32]) -> Gray:
    """Shift and scale to mean 0 and standard deviation 1."""
    return as_gray((tile - tile.mean()) / (tile.std() + 1e-6))


def _white(seed: int, px: int = _TILE_PX) -> Gray:
    return np.random.default_rng(seed).standard_normal((px, px), dtype=np.float32)


@cache
def _clouds() -> Gray:
    """Fractal noise."""
    total = np.zeros((_TILE_PX, _TILE_PX), np.float32)
    for octave, cells in enumerate((6, 12, 24, 48, 96, 192)):
        small = _white(100 + octave, cells)
        total += cv2.resize(small, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_CUBIC) * 0.62**octave
    return _unit(total)


def _speckle(seed: int, sigma: float) -> Gray:
    return _unit(cv2.GaussianBlur(_white(seed), (0, 0), sigma))


def _streaks(seed: int) -> Gray:
    long_lines = cv2.blur(_white(seed), (161, 1))
    short_lines = cv2.blur(_white(seed + 1), (31, 1))
    return _unit(_unit(long_lines) + 0.5 * _unit(short_lines))


def _turned(seed: int) -> Gray:
    """Concentric machining rings around the middle of the tile."""
    axis = (np.arange(_TILE_PX, dtype=np.float32) - _TILE_PX / 2) / (_TILE_PX / 2)
    radius = np.hypot(axis[None, :], axis[:, None])
    profile = cv2.GaussianBlur(_white(seed, 1024)[:1], (0, 0), 1.2)[0]
    rings = profile[np.clip(radius * 700, 0, 1023).astype(np.int32)]
    return _unit(_unit(rings) + 0.25 * _speckle(seed + 1, 1.0))


def _mesh() -> Gray:
    """Wire mesh: bright wires and dark holes."""
    axis = np.arange(_TILE_PX)
    wire = np.maximum(0, np.cos(axis * 2 * np.pi / 48)) ** 4
    woven = np.maximum(wire[None, :], wire[:, None]).astype(np.float32)
    return as_gray(woven * 2.2 - 1.4 + 0.12 * _speckle(31, 1.5))


def _plate() -> Gray:
    """Fixture plate: a grid of small dark tapped holes on a ground surface."""
    tile = 0.35 * _speckle(41, 0.8) + 0.35 * _streaks(42)
    for y in range(48, _TILE_PX, 96):
        for x in range(48, _TILE_PX, 96):
            cv2.circle(tile, (x, y), 10, -4.5, -1)
            cv2.circle(tile, (x, y), 12, 1.5, 1)
    return as_gray(cv2.GaussianBlur(tile, (0, 0), 0.8))


def _ribbed() -> Gray:
    """Plastic tray: wide soft ribs."""
    axis = np.arange(_TILE_PX)
    rib = np.tanh(3 * np.cos(axis * 2 * np.pi / 64)).astype(np.float32)
    return as_gray(rib[None, :] * np.ones((_TILE_PX, 1), np.float32) + 0.2 * _speckle(51, 1.2))


def _woven() -> Gray:
    """Rubber belt: fine diagonal weave over soft wear."""
    y, x = np.mgrid[0:_TILE_PX, 0:_TILE_PX].astype(np.float32)
    weave = np.sin((x + y) * 2 * np.pi / 12) * np.sin((x - y) * 2 * np.pi / 12)
    return as_gray(0.7 * weave + 0.6 * _clouds() + 0.5 * _speckle(61, 0.9))


@cache
def grain(kind: str) -> Gray:
    """The named surface texture, float32 (768, 768), about unit contrast. Raises KeyError for an unknown kind."""
    made: dict[str, Callable[[], Gray]] = {
        "clouds": _clouds,
        "brushed": lambda: _streaks(11),
        "turned": lambda: _turned(12),
        "cast": lambda: _unit(_speckle(13, 1.6) + 0.7 * _speckle(14, 4.0)),
        "smooth": lambda: _unit(0.6 * _clouds() + 0.4 * _speckle(15, 1.0)),
        "orange_peel": lambda: _unit(_speckle(16, 3.0) + 0.4 * _clouds()),
        "belt": _woven,
        "fixture": _plate,
        "mesh": _mesh,
        "tray": _ribbed,
    }
    return as_gray(made[kind]())


@cache
def _halved(kind: str, times: int) -> Gray:
    """A texture at 1/2, 1/4 ... of its size, so that small pictures need not shrink the full tile each time."""
    tile = grain(kind)
    size = tile.shape[0] >> times
    return as_gray(cv2.resize(tile, (size, size), interpolation=cv2.INTER_AREA))


def crop(kind: str, rng: Random, shape: tuple[int, int], span: float, *, centre: bool = False) -> Gray:
    """A piece of a texture whose width is ``span`` (0..1) of the tile, resized to ``shape`` (rows, columns).

    ``centre`` keeps the middle of the tile in the middle (for concentric textures).
    """
    rows, columns = shape
    times = 0
    while (span * _TILE_PX) / 2 ** (times + 1) >= columns:
        times += 1
    tile = _halved(kind, times)
    size = tile.shape[0]
    wide = max(2, min(size, round(span * size)))
    tall = max(2, min(size, round(wide * rows / columns)))
    left, top = (0.5, 0.5) if centre else (rng.random(), rng.random())
    x, y = int(left * (size - wide)), int(top * (size - tall))
    piece = tile[y : y + tall, x : x + wide]
    return as_gray(cv2.resize(piece, (columns, rows), interpolation=cv2.INTER_LINEAR))


@cache
def sensor_noise() -> Bytes:
    """Camera noise, uint8 (900, 1100, 3), mean 128, std 32; partly shared by the colours as in a real sensor."""
    rng = np.random.default_rng(71)
    shared = rng.standard_normal((900, 1100, 1), dtype=np.float32)
    own = rng.standard_normal((900, 1100, 3), dtype=np.float32)
    noise: Bytes = np.clip(128 + 32 * (0.8 * shared + 0.6 * own), 0, 255).astype(np.uint8)
    return noise
