"""Grey ground-metal surfaces with named small defects, drawn from random numbers: close-up practice that the line scenes lack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

_CANVAS = 256  # drawn at this size, then reduced: edges come out soft as in a photograph


@dataclass(frozen=True, slots=True)
class Texture:
    """One surface: ``image`` uint8 RGB (size, size, 3), ``masks`` defect -> bool (size, size)."""

    image: NDArray[np.uint8]
    masks: dict[str, Mask]


@dataclass(slots=True)
class _Plate:
    """A plate while it is drawn: grey level 0..1, where it lies, its grain and the direction of that."""

    grey: Field
    inside: Mask
    grain: Field
    vertical: bool


def _noise(rng: np.random.Generator, rows: int, columns: int) -> Field:
    """Smooth noise of about unit deviation with the given number of cells, over the canvas."""
    cells = rng.standard_normal((rows + 1, columns + 1)).astype(np.float32)
    return np.asarray(cv2.resize(cells, (_CANVAS, _CANVAS), interpolation=cv2.INTER_CUBIC), np.float32)


def _grid() -> tuple[Field, Field]:
    y, x = np.mgrid[0:_CANVAS, 0:_CANVAS].astype(np.float32)
    return x, y


def _grain(rng: np.random.Generator) -> Field:
    """Grinding lines along the rows' axis: streaks of several lengths and a little isotropic noise."""
    total = np.zeros((_CANVAS, _CANVAS), np.float32)
    for columns, rows in (
        (int(rng.integers(90, 250)), int(rng.integers(2, 9))),
        (int(rng.integers(30, 90)), int(rng.integers(1, 5))),
    ):
        total += _noise(rng, rows, columns) * float(rng.uniform(0.3, 1.0))
    return total + rng.standard_normal(total.shape).astype(np.float32) * float(rng.uniform(0.1, 0.7))


def _plate(rng: np.random.Generator) -> _Plate:
    grain = _grain(rng)
    vertical = bool(rng.random() < 0.6)
    if not vertical:
        grain = np.ascontiguousarray(grain.T)
    x, y = _grid()
    angle = rng.uniform(0, 2 * np.pi)
    slope = (np.cos(angle) * x + np.sin(angle) * y) / _CANVAS - 0.5
    grey = rng.uniform(0.26, 0.74) + rng.uniform(0, 0.3) * slope + rng.uniform(0, 0.06) * _noise(rng, 2, 3)
    curve = (x if rng.random() < 0.7 else y) / _CANVAS - rng.uniform(0.2, 0.8)
    grey = np.maximum(grey - rng.uniform(0, 0.4) * curve**2, 0.07)
    inside = np.ones((_CANVAS, _CANVAS), bool)
    for edge in rng.permutation(4)[: int(rng.choice((0, 0, 1, 2, 2, 3)))]:
        depth = (
            rng.uniform(3, 26)
            + rng.uniform(-5, 5) * (np.rot90(y, edge) / _CANVAS)
            + rng.uniform(0, 9) * (2 * np.rot90(y, edge) / _CANVAS - 1) ** 2
        )
        inside &= np.rot90(x, edge) > depth
    grey = grey + grain * float(rng.uniform(0.012, 0.06))
    return _Plate(np.asarray(grey, np.float32), inside, grain, vertical)


def _blob(rng: np.random.Generator, at: tuple[float, float], axes: tuple[float, float], rough: float) -> Field:
    """Signed nearness to a rough ellipse: positive within, about 1 at the middle."""
    x, y = _grid()
    x, y = x - at[0], y - at[1]
    turn = rng.uniform(0, np.pi)
    u = (x * np.cos(turn) + y * np.sin(turn)) / axes[0]
    v = (y * np.cos(turn) - x * np.sin(turn)) / axes[1]
    return np.asarray(1 - np.sqrt(u * u + v * v) + rough * _noise(rng, 24, 24), np.float32)


def _somewhere(rng: np.random.Generator, plate: _Plate) -> tuple[float, float]:
    """A point of the plate, away from its rim where there is room."""
    core = cv2.erode(plate.inside.astype(np.uint8), np.ones((25, 25), np.uint8), borderValue=0)
    ys, xs = np.nonzero(core if core.any() else plate.inside)
    index = int(rng.integers(len(xs)))
    return float(xs[index]), float(ys[index])


def _hole(rng: np.random.Generator, plate: _Plate) -> Mask:
    mask = np.zeros_like(plate.inside)
    for _ in range(int(rng.choice((1, 1, 1, 2, 3)))):
        size = rng.uniform(2.5, 11)
        near = _blob(rng, _somewhere(rng, plate), (size, size * rng.uniform(0.4, 1.0)), 0.12)
        plate.grey *= 1 - np.clip(near * 3, 0, 1) * float(rng.uniform(0.45, 0.9))
        plate.grey += np.where((near < 0) & (near > -0.35), float(rng.uniform(-0.02, 0.1)), 0).astype(np.float32)
        mask |= near > 0
    return mask


def _walk(rng: np.random.Generator, plate: _Plate, wander: float, length: float) -> NDArray[np.int32]:
    """A wandering line as points (n, 2) in 1/16 pixel."""
    at = np.array(_somewhere(rng, plate))
    angle = rng.uniform(0, 2 * np.pi)
    points = [at]
    for _ in range(int(length / 5)):
        angle += rng.normal(0, wander)
        at = at + 5 * np.array((np.cos(angle), np.sin(angle)))
        points.append(at)
    return np.asarray(np.round(np.array(points) * 16), np.int32)


def _line(points: NDArray[np.int32], thickness: int, soft: float) -> Field:
    """How much of each pixel a line covers, 0..1."""
    cover = np.zeros((_CANVAS, _CANVAS), np.uint8)
    cv2.polylines(
        cover, [points.reshape(-1, 1, 2)], isClosed=False, color=255, thickness=thickness, lineType=cv2.LINE_AA, shift=4
    )
    return np.asarray(cv2.GaussianBlur(cover.astype(np.float32) / 255, (0, 0), soft), np.float32)


def _crack(rng: np.random.Generator, plate: _Plate) -> Mask:
    cover = _line(
        _walk(rng, plate, rng.uniform(0.1, 0.35), rng.uniform(30, 200)),
        int(rng.choice((1, 1, 2, 3))),
        rng.uniform(0.5, 1.0),
    )
    plate.grey *= 1 - np.clip(cover * 1.6, 0, 1) * float(rng.uniform(0.4, 0.85))
    return cover > 0.12


def _scratch(rng: np.random.Generator, plate: _Plate) -> Mask:
    mask = np.zeros_like(plate.inside)
    for _ in range(int(rng.choice((1, 1, 2, 3)))):
        cover = _line(_walk(rng, plate, 0.02, rng.uniform(40, 220)), int(rng.choice((1, 1, 2))), rng.uniform(0.5, 0.9))
        plate.grey += cover * float(rng.uniform(0.15, 0.5))
        mask |= cover > 0.12
    return mask


def _chip(rng: np.random.Generator, plate: _Plate) -> Mask:
    """A bite out of an edge; a plate that fills the picture first gets an edge."""
    if plate.inside.all():
        plate.inside[:, : int(rng.integers(6, 30))] = False
    rim = plate.inside & ~cv2.erode(plate.inside.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1).astype(
        bool
    )
    ys, xs = np.nonzero(rim)
    index = int(rng.integers(len(xs)))
    near = _blob(rng, (float(xs[index]), float(ys[index])), (rng.uniform(7, 34), rng.uniform(6, 20)), 0.3)
    mask = np.asarray((near > 0) & plate.inside)
    rough = (
        rng.uniform(0.05, 0.5)
        + 0.12 * _noise(rng, 40, 40) * rng.random()
        + rng.uniform(0.0, 0.35) * ((near > 0) & (near < 0.15))
    )
    plate.grey[:] = np.where(mask, rough, plate.grey)
    return mask


def _fray(rng: np.random.Generator, plate: _Plate) -> Mask:
    size = rng.uniform(18, 60)
    near = _blob(rng, _somewhere(rng, plate), (size, size * rng.uniform(0.25, 0.8)), rng.uniform(0.02, 0.12))
    smooth = cv2.GaussianBlur(plate.grey, (0, 0), 6) + rng.choice((-1, -1, 1)) * rng.uniform(0.08, 0.3)
    share = np.clip(near * rng.uniform(4, 20), 0, 1).astype(np.float32)
    plate.grey[:] = plate.grey * (1 - share) + np.asarray(smooth, np.float32) * share
    return np.asarray(share > 0.3)


def _uneven(rng: np.random.Generator, plate: _Plate) -> Mask:
    """Beyond a line, another grinding pass: other grain, other brightness, sometimes other direction."""
    x, y = _grid()
    angle = rng.choice((0, np.pi / 2, np.pi, 1.5 * np.pi)) + rng.normal(0, 0.15)
    side = (
        np.cos(angle) * (x / _CANVAS - rng.uniform(0.35, 0.65))
        + np.sin(angle) * (y / _CANVAS - rng.uniform(0.35, 0.65))
        + 0.02 * _noise(rng, 8, 8)
    )
    other = _grain(rng)
    turned = plate.vertical != bool(rng.random() < 0.35)
    other = other if turned else np.ascontiguousarray(other.T)
    share = np.clip(side * rng.uniform(15, 80), 0, 1).astype(np.float32)
    level = cv2.GaussianBlur(plate.grey, (0, 0), 5) + rng.choice((-1, 1)) * rng.uniform(0.05, 0.2)
    plate.grey[:] = plate.grey * (1 - share) + share * (
        np.asarray(level, np.float32) + other * float(rng.uniform(0.02, 0.08))
    )
    return np.asarray(share > 0.3)


DEFECTS: dict[str, Callable[[np.random.Generator, _Plate], Mask]] = {
    "uneven": _uneven,
    "fray": _fray,
    "scratch": _scratch,
    "chip": _chip,
    "hole": _hole,
    "crack": _crack,
}
"""Defect -> how it is drawn; in this order, so that small ones lie on large ones."""


def _harmless(rng: np.random.Generator, plate: _Plate) -> None:
    """What a good surface may show: clouds, faint specks, faint lines along the grain, bright bands."""
    if rng.random() < 0.5:
        plate.grey += _noise(rng, int(rng.integers(3, 9)), int(rng.integers(3, 9))) * float(rng.uniform(0.0, 0.03))
    if rng.random() < 0.4:
        band = _noise(rng, 1, 12) if plate.vertical else _noise(rng, 12, 1)
        plate.grey += np.clip(band, 0, None) * float(rng.uniform(0.0, 0.1))
    for _ in range(int(rng.integers(0, 4))):
        size = rng.uniform(2, 12)
        near = _blob(rng, _somewhere(rng, plate), (size, size * rng.uniform(0.3, 1)), 0.2)
        plate.grey += np.clip(near, 0, 1) * float(rng.uniform(-0.06, 0.06))


def draw(rng: np.random.Generator, defects: frozenset[str], size: int) -> Texture:
    """A square surface of ``size`` pixels with these defects. Raises KeyError for an unknown defect."""
    unknown = defects - DEFECTS.keys()
    if unknown:
        raise KeyError(f"unknown texture defects {sorted(unknown)}; known are {sorted(DEFECTS)}")
    plate = _plate(rng)
    _harmless(rng, plate)
    masks = {name: DEFECTS[name](rng, plate) & plate.inside for name in DEFECTS if name in defects}
    outside = float(rng.uniform(0.0, 0.12)) if rng.random() < 0.8 else float(rng.uniform(0.5, 0.9))
    cover = cv2.GaussianBlur(plate.inside.astype(np.float32), (0, 0), 0.8)
    grey = plate.grey * cover + outside * (1 - cover)
    grey = cv2.resize(grey, (size, size), interpolation=cv2.INTER_AREA)
    grey = grey + rng.standard_normal(grey.shape).astype(np.float32) * float(rng.uniform(0.003, 0.025))
    image = np.clip(grey * 255, 0, 255).astype(np.uint8)
    return Texture(np.repeat(image[..., None], 3, 2), {name: _reduced(mask, size) for name, mask in masks.items()})


def _reduced(mask: Mask, size: int) -> Mask:
    """A mask at another size: a cell counts when a tenth of it is covered."""
    small = cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(small > 0.1)
