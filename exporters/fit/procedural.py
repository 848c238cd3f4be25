"""Paints faults by rule on normal pictures, so that a build can estimate detection before a real fault was photographed.

Six kinds, none of them of one product: a thin crack, a scratch, a spot, a chip, a worn patch and a patch in another light. Strength and size are
drawn over a wide range, down to what can hardly be seen, in units of the picture's own contrast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Random = np.random.Generator
Floats = NDArray[np.float32]

LEAST_CONTRAST = 6.0  # grey levels; a picture without any texture still shows a fault
STRONGEST = 3.0  # times the picture's contrast
VISIBLE = 0.15  # share of a fault's full strength from which a pixel counts as faulty


def paint(
    frame: NDArray[np.uint8], random: Random, kind: str | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """One fault on a picture uint8 [H, W, 3] -> the picture, and where the fault is, bool [H, W].

    Args:
        frame: the normal picture; it stays as it is.
        random: draws kind, place, size and strength.
        kind: one of `KINDS`; None: any.
    """
    chosen = KINDS[kind if kind is not None else str(random.choice(list(KINDS)))]
    return chosen(frame.astype(np.float32), random)


def _finish(ground: Floats, changed: Floats, cover: Floats) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """``changed`` laid over the ground by ``cover`` 0..1 [H, W]."""
    mixed = ground + (changed - ground) * cover[:, :, None]
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), cover > VISIBLE


def _contrast(ground: Floats) -> float:
    return max(float(ground.std()), LEAST_CONTRAST)


def _grid(shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    rows, columns = np.meshgrid(
        np.arange(shape[0], dtype=np.float32), np.arange(shape[1], dtype=np.float32), indexing="ij"
    )
    return rows, columns


def _place(shape: tuple[int, ...], random: Random) -> tuple[float, float]:
    return float(random.uniform(0, shape[0])), float(random.uniform(0, shape[1]))


def _line(shape: tuple[int, ...], random: Random, *, bend: float, width: float) -> Floats:
    """Cover of a random walk of straight pieces, ``bend`` radians a piece, soft over a pixel."""
    rows, columns = _grid(shape)
    side = min(shape[:2])
    row, column = _place(shape, random)
    angle, pieces = float(random.uniform(0, 2 * np.pi)), int(random.integers(4, 12))
    step = side * float(random.uniform(0.08, 0.6)) / pieces
    nearest = np.full(shape[:2], np.inf, np.float32)
    for _ in range(pieces):
        down, right = step * np.sin(angle), step * np.cos(angle)
        along = np.clip(((rows - row) * down + (columns - column) * right) / (step * step), 0, 1)
        nearest = np.minimum(nearest, np.hypot(rows - row - along * down, columns - column - along * right))
        row, column, angle = row + down, column + right, angle + float(random.normal(0, bend))
    found: Floats = np.clip(width / 2 + 0.5 - nearest, 0, 1).astype(np.float32)
    return found


def _blob(shape: tuple[int, ...], random: Random, low: float, high: float, soft: float) -> Floats:
    """Cover of a lumpy ellipse whose radius is ``low``..``high`` of the picture's side; ``soft``: rim over the radius."""
    rows, columns = _grid(shape)
    row, column = _place(shape, random)
    radius = min(shape[:2]) * float(np.exp(random.uniform(np.log(low), np.log(high))))
    stretch, turn = float(np.exp(random.normal(0, 0.4))), float(random.uniform(0, np.pi))
    down, right = rows - row, columns - column
    long, short = down * np.cos(turn) + right * np.sin(turn), right * np.cos(turn) - down * np.sin(turn)
    around = np.arctan2(short, long)
    lumps = sum(float(random.normal(0, 0.12)) * np.cos(n * around + float(random.uniform(0, 6.3))) for n in (2, 3, 5))
    distance = np.hypot(long * stretch, short / stretch) / (radius * (1 + lumps))
    rim = max(soft, 1 / radius)
    found: Floats = np.clip((1 - distance) / rim + 0.5, 0, 1).astype(np.float32)
    return found


def _crack(ground: Floats, random: Random) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    cover = _line(ground.shape, random, bend=0.5, width=float(random.uniform(0.6, 2.5)))
    depth = _contrast(ground) * float(random.uniform(0.7, STRONGEST))
    return _finish(ground, ground - depth, cover)


def _scratch(ground: Floats, random: Random) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    cover = _line(ground.shape, random, bend=0.05, width=float(random.uniform(0.8, 4)))
    sign = 1 if random.random() < 0.7 else -1
    return _finish(ground, ground + sign * _contrast(ground) * float(random.uniform(0.7, STRONGEST)), cover)


def _spot(ground: Floats, random: Random) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    cover = _blob(ground.shape, random, 0.008, 0.05, float(random.uniform(0.1, 1)))
    sign = -1 if random.random() < 0.7 else 1
    return _finish(ground, ground + sign * _contrast(ground) * float(random.uniform(0.8, STRONGEST)), cover)


def _chip(ground: Floats, random: Random) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A piece of the same picture from elsewhere, turned, in its own light."""
    cover = _blob(ground.shape, random, 0.03, 0.2, float(random.uniform(0.02, 0.3)))
    moved = np.roll(ground, [int(random.integers(0, size)) for size in ground.shape[:2]], axis=(0, 1))
    turned = moved[::-1, ::-1] if ground.shape[0] != ground.shape[1] or random.random() < 0.5 else moved.swapaxes(0, 1)
    return _finish(ground, turned + _contrast(ground) * float(random.normal(0, 0.8)), cover)


def _worn(ground: Floats, random: Random) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Fine texture is gone, or rougher than it should be."""
    cover = _blob(ground.shape, random, 0.05, 0.3, float(random.uniform(0.1, 0.8)))
    reach = int(random.integers(2, 6))
    around = [np.roll(ground, (a, b), (0, 1)) for a in range(-reach, reach + 1) for b in (-reach, 0, reach)]
    smooth: Floats = np.mean(around, axis=0, dtype=np.float32)
    share = float(random.choice([0.0, 2.0, 3.0]))
    return _finish(ground, smooth + share * (ground - smooth), cover)


def _shade(ground: Floats, random: Random) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A large part in another light: a stain, a step of the surface."""
    if random.random() < 0.5:
        cover = _blob(ground.shape, random, 0.1, 0.5, float(random.uniform(0.1, 1)))
    else:
        rows, columns = _grid(ground.shape)
        row, column = _place(ground.shape, random)
        turn, soft = float(random.uniform(0, 2 * np.pi)), float(random.uniform(2, 40))
        cover = np.clip(((rows - row) * np.sin(turn) + (columns - column) * np.cos(turn)) / soft + 0.5, 0, 1)
    sign = 1 if random.random() < 0.5 else -1
    return _finish(
        ground, ground + sign * _contrast(ground) * float(random.uniform(0.4, 1.5)), cover.astype(np.float32)
    )


KINDS: Mapping[str, Callable[[Floats, Random], tuple[NDArray[np.uint8], NDArray[np.bool_]]]] = {
    "crack": _crack,
    "scratch": _scratch,
    "spot": _spot,
    "chip": _chip,
    "worn": _worn,
    "shade": _shade,
}
