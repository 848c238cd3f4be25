"""Harmless details that must not be taken for faults: labels, marks, seams, drops and the floor around the part."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import cv2

from examples.line.canvas import Canvas, Color
from examples.line.parts import Shape, circle_points, shade
from examples.line.textures import as_bytes

FLOORS: dict[str, tuple[tuple[Color, ...], float, float]] = {
    "belt": (((52, 54, 56), (40, 42, 44), (44, 62, 56), (70, 70, 72)), 0.05, 0.7),
    "fixture": (((128, 130, 132), (150, 148, 142), (108, 114, 120)), 0.09, 0.85),
    "mesh": (((98, 100, 102), (126, 120, 112), (84, 90, 96)), 0.30, 0.55),
    "tray": (((60, 92, 128), (92, 96, 100), (150, 110, 60), (48, 110, 96)), 0.06, 0.6),
}
"""Background -> possible colours, texture strength, and the share of the texture tile that the picture spans."""

MARK_COLORS: tuple[Color, ...] = ((236, 232, 220), (240, 200, 40), (235, 120, 40), (90, 200, 120))


def corner_marks(canvas: Canvas, half: tuple[float, float], rng: Random) -> None:
    """Four painted corner brackets around the nominal place of the part."""
    color = rng.choice(MARK_COLORS)
    x, y, arm = half[0] + 0.13, half[1] + 0.13, 0.34
    for sx in (-1, 1):
        for sy in (-1, 1):
            corner = [(sx * (x - arm), sy * y), (sx * x, sy * y), (sx * x, sy * (y - arm))]
            canvas.path(corner, 0.05, color)


def _spot(rng: Random, shape: Shape) -> tuple[float, float]:
    return shape.surface(rng.uniform(0, 2 * math.pi), rng.uniform(0.25, 0.75))


def _sticker(canvas: Canvas, rng: Random, shape: Shape) -> None:
    """White label with bars, never over a bolt hole: a label must not hide a missing bolt."""
    spots = [_spot(rng, shape) for _ in range(12)]
    clear = [at for at in spots if all(math.dist(at, bolt) > 0.3 for bolt in shape.bolts)]
    if not clear:
        return
    x, y = clear[0]
    w, h = rng.uniform(0.15, 0.22), rng.uniform(0.09, 0.13)
    canvas.box((x - w, y - h), (x + w, y + h), rng.choice(((240, 240, 236), (244, 232, 150), (220, 230, 240))), None)
    left = x - w + 0.03
    while left < x + w - 0.05:
        bar = rng.uniform(0.008, 0.025)
        canvas.box((left, y - h * 0.7), (left + bar, y + h * 0.35), (30, 30, 34))
        left += bar + rng.uniform(0.012, 0.03)


def _engraving(canvas: Canvas, rng: Random, shape: Shape) -> None:
    """Stamped part number."""
    text = rng.choice("ABCDKLMX") + str(rng.randint(10, 999))
    at = canvas.pose.to_px([_spot(rng, shape)])[0]
    size = canvas.unit_px * 0.0075
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0]
    where = (round(float(at[0]) - width / 2), round(float(at[1])))
    cv2.putText(
        canvas.albedo,
        text,
        where,
        cv2.FONT_HERSHEY_SIMPLEX,
        size,
        rng.choice(((60, 60, 62), (228, 228, 224))),
        max(1, round(canvas.unit_px * 0.012)),
        cv2.LINE_AA,
    )


def _pen_mark(canvas: Canvas, rng: Random, shape: Shape) -> None:
    """The coloured tick of an inspector's paint pen."""
    x, y = _spot(rng, shape)
    color = rng.choice(((60, 210, 90), (250, 240, 240), (250, 220, 60), (70, 140, 250)))
    canvas.path([(x - 0.12, y), (x - 0.03, y + 0.1), (x + 0.15, y - 0.12)], 0.035, color)


def _weld_seam(canvas: Canvas, rng: Random, shape: Shape) -> None:
    """A regular bead of overlapping scales: across a sheet or a box, around the hub of a round part."""
    turn, step = rng.uniform(0, 2 * math.pi), 0.06
    color = rng.choice(((138, 134, 130), (120, 112, 106), (160, 158, 156)))
    if shape.half[0] > 1.4:
        y, tilt = rng.uniform(-0.8, 0.8), rng.uniform(-0.3, 0.3)
        beads = [(x, y + tilt * x) for x in (step * k - 2.4 for k in range(80))]
    elif shape.square:
        y = rng.choice((-1, 1)) * shape.half[1] * 0.62
        beads = [(step * k - 9.5 * step, y) for k in range(20)]
    else:
        beads = circle_points(56, shape.inner + 0.02, turn)[: rng.choice((56, 40, 28))]
    for k, at in enumerate(beads):
        canvas.disc(at, 0.045, shade(color, 0.94 if k % 2 else 1.06), 135)


def _drops(canvas: Canvas, rng: Random, shape: Shape) -> None:
    """Clear water drops: a bright glint and a faint rim, no colour."""
    for _ in range(rng.randint(5, 12)):
        x, y = _spot(rng, shape)
        radius = rng.uniform(0.018, 0.045)
        stencil = canvas.stencil()
        canvas.stencil_disc(stencil, (x, y), radius)
        canvas.paint(stencil, (212, 218, 224), 0.55, 14.0, tint=True)
        canvas.disc((x - radius * 0.35, y - radius * 0.35), radius * 0.3, (250, 252, 255))


def _machining(canvas: Canvas, rng: Random, shape: Shape) -> None:
    """Regular, faint, parallel milling marks all over the part."""
    step, turn = rng.uniform(0.05, 0.09), rng.uniform(-0.5, 0.5)
    stencil = canvas.stencil()
    c, s = math.cos(turn), math.sin(turn)
    reach = max(shape.half) * 1.2
    row = -reach
    while row < reach:
        arc = [(x, row + 0.12 * math.cos(x * 1.2)) for x in (-reach, -reach / 2, 0.0, reach / 2, reach)]
        canvas.stencil_path(stencil, [(c * x - s * y, s * x + c * y) for x, y in arc], 1)
        row += step
    clipped = as_bytes(cv2.min(stencil, canvas.part))
    canvas.paint(clipped, rng.choice(((120, 120, 122), (225, 225, 225))), 0.12, -0.7)


def _dust(canvas: Canvas, rng: Random, shape: Shape) -> None:
    """Light specks of dust, too fine and too pale for pits."""
    stencil = canvas.stencil()
    for _ in range(rng.randint(15, 40)):
        canvas.stencil_disc(stencil, _spot(rng, shape), rng.uniform(0.004, 0.009))
    canvas.paint(as_bytes(cv2.min(stencil, canvas.part)), (196, 192, 184), 0.8)


Detail = Callable[[Canvas, Random, Shape], None]
DRAWN: dict[str, Detail] = {
    "weld_seam": _weld_seam,
    "sticker": _sticker,
    "engraving": _engraving,
    "pen_mark": _pen_mark,
}
"""Details that belong to the part; drawn before its edges are rounded."""

LAID: dict[str, Detail] = {"machining": _machining, "water_drops": _drops, "dust": _dust}
"""Details that lie on the surface; drawn after its edges are rounded."""

HARMLESS: tuple[str, ...] = (*DRAWN, *LAID, "shadow_band")
