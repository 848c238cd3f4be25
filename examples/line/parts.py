"""The parts on the line: how each is drawn, where its bolts sit and where its surface is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from examples.line.canvas import Canvas, Color, Point


@dataclass(frozen=True, slots=True)
class Finish:
    """Look of a material: base colour, texture tile and its strength, and how strongly it shines (0..1)."""

    color: Color
    grain: str
    strength: float
    gloss: float


FINISHES: dict[str, Finish] = {
    "steel": Finish((150, 153, 158), "brushed", 0.06, 0.8),
    "cast_iron": Finish((96, 95, 97), "cast", 0.10, 0.35),
    "aluminium": Finish((184, 186, 187), "turned", 0.05, 0.9),
    "blue": Finish((44, 86, 150), "orange_peel", 0.035, 0.6),
    "green": Finish((62, 122, 84), "orange_peel", 0.035, 0.6),
    "yellow": Finish((214, 168, 46), "orange_peel", 0.035, 0.6),
}
METAL: Color = (178, 180, 184)
HOLE: Color = (20, 19, 18)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the faults need to know of a drawn part, in part units.

    ``half`` is the half width and height of the nominal outline (for the corner marks); ``inner`` and ``outer`` bound the
    surface along any direction, measured with a superellipse that is a circle for round parts and a box for square ones.
    """

    bolts: tuple[Point, ...]
    half: Point
    inner: float
    outer: float
    square: bool = False

    def surface(self, angle_rad: float, depth: float) -> Point:
        """The point of the surface in a direction; ``depth`` 0 is the inner border and 1 the rim."""
        radius = self.inner + (self.outer - self.inner) * depth
        x, y = math.cos(angle_rad), math.sin(angle_rad)
        if self.square:
            reach = 1 / max(abs(x), abs(y)) ** 0.8
            return x * reach * radius * self.half[0], y * reach * radius * self.half[1]
        return x * radius, y * radius


def shade(color: Color, gain: float) -> Color:
    """The colour made darker (< 1) or lighter (> 1)."""
    r, g, b = (max(0, min(255, round(value * gain))) for value in color)
    return r, g, b


def circle_points(count: int, radius: float, start_rad: float = 0.0) -> list[Point]:
    """``count`` points evenly on a circle."""
    turn = 2 * math.pi / count
    return [(radius * math.cos(start_rad + k * turn), radius * math.sin(start_rad + k * turn)) for k in range(count)]


def _bolt(canvas: Canvas, at: Point, radius: float, *, style: str, turn_rad: float, color: Color, base: int) -> None:
    canvas.disc(at, radius * 1.5, shade(color, 0.86), base + 12)
    if style == "hex":
        corners = [(at[0] + x, at[1] + y) for x, y in circle_points(6, radius * 1.2, turn_rad)]
        canvas.poly(corners, color, base + 70)
        canvas.disc(at, radius * 0.72, shade(color, 1.08), base + 76)
    else:
        canvas.disc(at, radius * 1.12, color, base + 70)
        corners = [(at[0] + x, at[1] + y) for x, y in circle_points(6, radius * 0.5, turn_rad)]
        canvas.poly(corners, shade(color, 0.42), base + 45)


def _empty_hole(canvas: Canvas, at: Point, radius: float, color: Color, base: int) -> None:
    canvas.disc(at, radius * 1.5, shade(color, 1.12), base)
    canvas.disc(at, radius * 1.05, HOLE, 0)


def _bolts(
    canvas: Canvas, rng: Random, spots: list[Point], radius: float, *, missing: frozenset[int], color: Color, base: int
) -> None:
    style = rng.choice(("hex", "hex", "socket"))
    head = rng.choice((METAL, (150, 150, 152), (196, 180, 120), (104, 104, 108)))
    for index, at in enumerate(spots):
        turn_rad = rng.uniform(0, math.pi / 3)
        if index in missing:
            _empty_hole(canvas, at, radius, color, base)
        else:
            _bolt(canvas, at, radius, style=style, turn_rad=turn_rad, color=head, base=base)


def _flange(canvas: Canvas, rng: Random, color: Color, missing: frozenset[int]) -> Shape:
    count = rng.choice((4, 6, 6, 8))
    start, bore = rng.uniform(0, math.pi), rng.uniform(0.2, 0.28)
    canvas.disc((0, 0), 1.0, shade(color, 0.9), 100)
    canvas.disc((0, 0), 0.95, color, 112)
    canvas.disc((0, 0), 0.46, shade(color, 1.06), 150)
    canvas.ring((0, 0), 0.40, 0.015, shade(color, 0.8), 146)
    canvas.disc((0, 0), bore, shade(color, 0.6), 90)
    canvas.disc((0, 0), bore * 0.86, HOLE, 8)
    spots = circle_points(count, 0.71, start)
    _bolts(canvas, rng, spots, 0.105, missing=missing, color=color, base=112)
    return Shape(tuple(spots), (1.0, 1.0), 0.5, 0.95)


def rounded(half_x: float, half_y: float, radius: float) -> list[Point]:
    """Outline of a rectangle with round corners."""
    points: list[Point] = []
    for quarter, (cx, cy) in enumerate(
        (
            (half_x - radius, half_y - radius),
            (radius - half_x, half_y - radius),
            (radius - half_x, radius - half_y),
            (half_x - radius, radius - half_y),
        )
    ):
        for step in range(5):
            angle = (quarter + step / 4) * math.pi / 2
            points.append((cx + radius * math.cos(angle), cy + radius * math.sin(angle)))
    return points


def _housing(canvas: Canvas, rng: Random, color: Color, missing: frozenset[int]) -> Shape:
    half_x, half_y = rng.uniform(1.0, 1.2), rng.uniform(0.75, 0.9)
    canvas.poly(rounded(half_x, half_y, 0.16), shade(color, 0.9), 100)
    canvas.poly(rounded(half_x - 0.04, half_y - 0.04, 0.14), color, 115)
    kind = rng.choice(("boss", "pocket", "ribs"))
    if kind == "boss":
        canvas.disc((0, 0), 0.42, shade(color, 1.05), 150)
        canvas.disc((0, 0), 0.2, shade(color, 0.55), 80)
        canvas.disc((0, 0), 0.16, HOLE, 8)
    elif kind == "pocket":
        canvas.poly(rounded(0.55, 0.36, 0.1), shade(color, 0.82), 80)
        canvas.disc((0, 0), 0.16, shade(color, 1.05), 125)
    else:
        for k in range(-2, 3):
            canvas.box((k * 0.2 - 0.045, -0.4), (k * 0.2 + 0.045, 0.4), shade(color, 1.03), 150)
    x, y = half_x - 0.2, half_y - 0.2
    spots = [(x, y), (-x, y), (-x, -y), (x, -y)]
    if rng.random() < 0.4:
        spots += [(0.0, y), (0.0, -y)]
    _bolts(canvas, rng, spots, 0.095, missing=missing, color=color, base=115)
    return Shape(tuple(spots), (half_x, half_y), 0.48, 0.9, square=True)


def _bearing(canvas: Canvas, rng: Random, color: Color, missing: frozenset[int]) -> Shape:
    del missing
    count, start = rng.randint(8, 13), rng.uniform(0, math.pi)
    canvas.disc((0, 0), 1.0, shade(color, 0.92), 120)
    canvas.disc((0, 0), 0.96, color, 135)
    canvas.disc((0, 0), 0.72, shade(color, 0.4), 70)
    cage = rng.choice(((176, 140, 70), shade(color, 0.7), (120, 116, 110)))
    canvas.ring((0, 0), 0.59, 0.08, cage, 95)
    for at in circle_points(count, 0.59, start):
        canvas.disc(at, 0.115, shade(METAL, 0.85), 110)
        canvas.disc(at, 0.085, METAL, 130)
        canvas.disc((at[0] - 0.025, at[1] - 0.03), 0.03, (240, 242, 245), 134)
    canvas.disc((0, 0), 0.46, color, 135)
    canvas.disc((0, 0), 0.26, shade(color, 0.7), 100)
    canvas.disc((0, 0), 0.24, HOLE, 8)
    return Shape((), (1.0, 1.0), 0.70, 0.97)


def _gear(canvas: Canvas, rng: Random, color: Color, missing: frozenset[int]) -> Shape:
    del missing
    teeth, start = rng.randint(16, 28), rng.uniform(0, math.pi)
    outline: list[Point] = []
    for k in range(teeth):
        for offset, radius in ((-0.30, 0.86), (-0.17, 1.0), (0.17, 1.0), (0.30, 0.86)):
            angle = start + (k + offset) * 2 * math.pi / teeth
            outline.append((radius * math.cos(angle), radius * math.sin(angle)))
    canvas.poly(outline, shade(color, 0.95), 115)
    canvas.ring((0, 0), 0.78, 0.02, shade(color, 0.8), 108)
    canvas.disc((0, 0), 0.34, shade(color, 1.05), 150)
    if rng.random() < 0.5:
        for at in circle_points(rng.choice((4, 5, 6)), 0.56, start):
            canvas.disc(at, 0.12, shade(color, 0.5), 40)
    bore = rng.uniform(0.15, 0.2)
    canvas.disc((0, 0), bore, HOLE, 8)
    canvas.box((-0.05, -bore - 0.06), (0.05, 0.0), HOLE, 8)
    return Shape((), (1.0, 1.0), 0.36, 0.9)


def _valve(canvas: Canvas, rng: Random, color: Color, missing: frozenset[int]) -> Shape:
    pipe = rng.uniform(0.26, 0.34)
    for gain, share, level in (
        (0.72, 1.0, 60),
        (0.85, 0.85, 78),
        (0.95, 0.66, 92),
        (1.02, 0.44, 100),
        (1.06, 0.2, 104),
    ):
        canvas.box((-1.3, -pipe * share), (1.3, pipe * share), shade(color, gain), level)
    for side in (-1, 1):
        canvas.box((side * 0.98 - 0.08, -0.52), (side * 0.98 + 0.08, 0.52), shade(color, 0.94), 125)
        canvas.box((side * 1.16 - 0.07, -0.52), (side * 1.16 + 0.07, 0.52), shade(color, 0.86), 118)
    canvas.disc((0, 0), 0.8, shade(color, 0.82), 100)
    canvas.disc((0, 0), 0.76, color, 122)
    canvas.disc((0, 0), 0.32, shade(color, 1.06), 160)
    turn = rng.uniform(0, math.pi)
    knob = rng.choice(("stem", "lever"))
    if knob == "lever":
        c, s = math.cos(turn), math.sin(turn)
        bar = [(-0.07, -0.29), (0.07, -0.29), (0.07, 0.29), (-0.07, 0.29)]
        canvas.poly([(c * x - s * y, s * x + c * y) for x, y in bar], (168, 40, 34), 200)
    else:
        canvas.disc((0, 0), 0.14, METAL, 205)
        canvas.disc((0, 0), 0.05, shade(METAL, 0.6), 190)
    spots = circle_points(rng.choice((4, 6)), 0.56, rng.uniform(0, math.pi))
    _bolts(canvas, rng, spots, 0.1, missing=missing, color=color, base=122)
    return Shape(tuple(spots), (1.3, 0.8), 0.34, 0.76)


def _sheet(canvas: Canvas, rng: Random, color: Color, missing: frozenset[int]) -> Shape:
    del rng, missing
    canvas.box((-4, -4), (4, 4), color, 115)
    return Shape((), (1.5, 1.1), 0.1, 1.2)


Draw = Callable[[Canvas, Random, Color, frozenset[int]], Shape]
DRAW: dict[str, Draw] = {
    "flange": _flange,
    "housing": _housing,
    "bearing": _bearing,
    "gear": _gear,
    "valve": _valve,
    "sheet": _sheet,
}
"""Part id -> function that draws it at the canvas' pose and returns its shape; the last argument names bolts left out."""
