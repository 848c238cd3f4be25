"""Surface faults: each draws itself on a settled canvas at a given place and returns the mask of what it touched."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import cv2
import numpy as np

from examples.line.canvas import Canvas, Color, Point
from examples.line.parts import FINISHES, HOLE, METAL, circle_points, rounded, shade
from examples.line.textures import Bytes, as_bytes, crop


def _clip(canvas: Canvas, stencil: Bytes) -> Bytes:
    """Keep only what lies on the part."""
    return as_bytes(cv2.min(stencil, canvas.part))


def _wander(
    rng: Random, start: Point, heading_rad: float, length: float, *, steps: int, jitter_rad: float
) -> list[Point]:
    """A path of random small turns that keeps its general heading."""
    points, (x, y) = [start], start
    for _ in range(steps):
        turn = heading_rad + rng.uniform(-jitter_rad, jitter_rad)
        x, y = x + math.cos(turn) * length / steps, y + math.sin(turn) * length / steps
        points.append((x, y))
    return points


def scratch(canvas: Canvas, rng: Random, at: Point, severity: float, material: str) -> Bytes:
    """One to three long, slightly curved, bright lines with a dark edge."""
    total = canvas.stencil()
    heading, bend = rng.uniform(0, math.pi), rng.uniform(-0.25, 0.25)
    width_px = canvas.unit_px * (0.017 + 0.009 * severity)
    edge = max(0.014, 1.1 / canvas.unit_px)  # the dark edge stays visible in small pictures
    for k in range(1 + (severity > 0.45) + (severity > 0.8)):
        length = (0.6 + 0.75 * severity) * (1.0 if k == 0 else rng.uniform(0.4, 0.8))
        aside, ahead = 0.085 * ((k + 1) // 2) * (-1) ** k, 0.0 if k == 0 else rng.uniform(-0.15, 0.15)
        c, s = math.cos(heading), math.sin(heading)
        start = (at[0] - c * (length / 2 + ahead) - s * aside, at[1] - s * (length / 2 + ahead) + c * aside)
        points = [
            (start[0] + math.cos(heading + bend * t) * length * t, start[1] + math.sin(heading + bend * t) * length * t)
            for t in (i / 8 for i in range(9))
        ]
        shadow, line = canvas.stencil(), canvas.stencil()
        for stretch, share in ((points, 0.45), (points[1:-1], 0.75), (points[2:-2], 1.0)):
            canvas.stencil_path(shadow, [(x + edge, y + edge) for x, y in stretch], width_px * share)
            canvas.stencil_path(line, stretch, width_px * share)
        shadow, line = _clip(canvas, shadow), _clip(canvas, line)
        canvas.paint(shadow, shade(FINISHES[material].color, 0.35), 0.6)
        canvas.paint(line, (250, 250, 246), 0.97, -8.0)
        total = as_bytes(cv2.max(total, cv2.max(shadow, line)))
    return total


def crack(canvas: Canvas, rng: Random, at: Point, severity: float, material: str) -> Bytes:
    """A dark, jagged, branching line that tapers to its end."""
    del material
    total = canvas.stencil()
    outward = math.atan2(at[1], at[0]) + rng.uniform(-0.9, 0.9)
    length = 0.55 + 0.55 * severity
    start = (at[0] - math.cos(outward) * length / 2, at[1] - math.sin(outward) * length / 2)
    trunk = _wander(rng, start, outward, length, steps=13, jitter_rad=0.95)
    branches = [(trunk, 1.0)]
    for _ in range(1 + round(2 * severity)):
        root = rng.randint(3, 9)
        turn = outward + rng.choice((-1, 1)) * rng.uniform(0.5, 1.1)
        branches.append(
            (_wander(rng, trunk[root], turn, length * rng.uniform(0.25, 0.45), steps=7, jitter_rad=0.8), 0.7)
        )
    wide = canvas.unit_px * (0.024 + 0.016 * severity)
    for points, share in branches:
        for part, taper in (
            (points, 0.45),
            (points[: 2 * len(points) // 3], 0.75),
            (points[: len(points) // 3 + 1], 1.0),
        ):
            canvas.stencil_path(total, part, wide * share * taper)
    total = _clip(canvas, total)
    canvas.paint(total, (16, 14, 13), 0.95, -22.0)
    return total


def dent(canvas: Canvas, rng: Random, at: Point, severity: float, material: str) -> Bytes:
    """A smooth hollow with a raised rim: only the relief changes, the light does the rest."""
    del material
    total = canvas.stencil()
    for k in range(1 + (severity > 0.75)):
        spot = at if k == 0 else (at[0] + rng.uniform(-0.3, 0.3), at[1] + rng.uniform(-0.3, 0.3))
        radius = (0.17 + 0.13 * severity) * (1.0 if k == 0 else 0.6)
        window = canvas.window(spot, radius * 2.0)
        if window is None:
            continue
        d = canvas.distance(spot, radius, window)
        squash = 1 + 0.18 * crop("clouds", rng, (d.shape[0], d.shape[1]), 0.2)
        d = d * np.clip(squash, 0.75, 1.3)
        bowl = -np.exp(-((d / 0.62) ** 2) * 1.6) + 0.28 * np.exp(-(((d - 1.0) / 0.2) ** 2))
        inside = canvas.part[window].astype(np.float32) / 255
        canvas.relief[window] += bowl * inside * (88 + 50 * severity)
        scuff = np.clip(1 - d / 0.8, 0, 1) * inside * 0.22
        canvas.albedo[window] = (canvas.albedo[window] * (1 - scuff[..., None])).astype(np.uint8)
        total[window] |= ((d < 1.45) & (inside > 0)).astype(np.uint8) * np.uint8(255)
    return total


def _patch(canvas: Canvas, rng: Random, at: Point, radius: float, *, rough: float, hardness: float) -> Bytes:
    """A cloud-edged blob around ``at`` as a stencil, not clipped to the part."""
    stencil = canvas.stencil()
    window = canvas.window(at, radius * 1.7)
    if window is None:
        return stencil
    d = canvas.distance(at, radius, window)
    noise = crop("clouds", rng, (d.shape[0], d.shape[1]), 0.45)
    alpha = np.clip((1 - d + rough * noise) * hardness, 0, 1) * np.clip((1.7 - d) * 4, 0, 1)
    stencil[window] = (alpha * 255).astype(np.uint8)
    return stencil


def rust(canvas: Canvas, rng: Random, at: Point, severity: float, material: str) -> Bytes:
    """Orange-brown speckled patches with darker cores."""
    del material
    total = canvas.stencil()
    for k in range(2 + round(3 * severity)):
        spread = 0.0 if k == 0 else 0.42
        spot = (at[0] + rng.uniform(-spread, spread), at[1] + rng.uniform(-spread, spread))
        radius = (0.2 + 0.16 * severity) * (1.0 if k == 0 else rng.uniform(0.35, 0.75))
        halo = _clip(canvas, _patch(canvas, rng, spot, radius, rough=0.42, hardness=2.2))
        core = _clip(canvas, _patch(canvas, rng, spot, radius * 0.75, rough=0.6, hardness=3.0))
        canvas.paint(halo, rng.choice(((168, 88, 34), (182, 98, 40), (150, 76, 34))), 0.82, 4.0)
        canvas.paint(core, rng.choice(((104, 48, 22), (120, 56, 24), (92, 46, 28))), 0.8, -5.0)
        total = as_bytes(cv2.max(total, cv2.max(halo, core)))
    return total


def pitting(canvas: Canvas, rng: Random, at: Point, severity: float, material: str) -> Bytes:
    """A cluster of small dark pits with a frayed outline."""
    del material
    total = canvas.stencil()
    heading = math.atan2(at[1], at[0]) + math.pi / 2
    for _ in range(16 + round(26 * severity)):
        along, across = rng.gauss(0, 0.2), rng.gauss(0, 0.1)
        x = at[0] + along * math.cos(heading) - across * math.sin(heading)
        y = at[1] + along * math.sin(heading) + across * math.cos(heading)
        radius = rng.uniform(0.016, 0.03 + 0.022 * severity)
        outline = [
            (x + r * px, y + r * py)
            for (px, py), r in ((p, radius * rng.uniform(0.7, 1.3)) for p in circle_points(6, 1.0))
        ]
        canvas.stencil_poly(total, outline)
    total = _clip(canvas, total)
    canvas.paint(total, (34, 31, 29), 0.88, -26.0)
    return total


def oil_leak(canvas: Canvas, rng: Random, at: Point, severity: float, material: str) -> Bytes:
    """A dark glossy puddle that runs down the picture in streaks, over the part and the floor alike."""
    del material
    blob = _patch(canvas, rng, at, 0.24 + 0.14 * severity, rough=0.16, hardness=6.0)
    for _ in range(2 + round(3 * severity)):
        x, y = at[0] + rng.uniform(-0.24, 0.24), at[1] + rng.uniform(0.0, 0.1)
        length = rng.uniform(0.3, 0.55 + 0.5 * severity)
        path = _wander(rng, (x, y), math.pi / 2 - canvas.pose.angle_rad, length, steps=6, jitter_rad=0.18)
        canvas.stencil_path(blob, path, canvas.unit_px * rng.uniform(0.05, 0.09))
        canvas.stencil_disc(blob, path[-1], rng.uniform(0.04, 0.065))
    blob = as_bytes(cv2.GaussianBlur(blob, (0, 0), max(0.5, 0.012 * canvas.unit_px)))
    canvas.paint(blob, rng.choice(((52, 38, 20), (38, 30, 22), (70, 46, 16))), 0.88, 30.0)
    gleam = cv2.bitwise_and(
        cv2.erode(blob, None, iterations=max(1, round(0.035 * canvas.unit_px))), _gleam(canvas, rng)
    )
    canvas.paint(as_bytes(gleam), (206, 204, 188), 0.6)
    return blob


def _gleam(canvas: Canvas, rng: Random) -> Bytes:
    """Thin reflections of the lamps for a wet surface."""
    noise = crop("clouds", rng, (48, 64), 0.25)
    band = np.clip(1.6 - np.abs(noise) * 9, 0, 1)
    return as_bytes(cv2.resize((band * 255).astype(np.uint8), canvas.shape[::-1], interpolation=cv2.INTER_LINEAR))


def _item_screw(rng: Random) -> tuple[list[Point], Color, list[Point] | None]:
    del rng
    return (
        [
            (-0.3, -0.045),
            (0.1, -0.045),
            (0.1, -0.13),
            (0.2, -0.13),
            (0.2, 0.13),
            (0.1, 0.13),
            (0.1, 0.045),
            (-0.3, 0.045),
        ],
        (208, 178, 88),
        None,
    )


def _item_nut(rng: Random) -> tuple[list[Point], Color, list[Point] | None]:
    return circle_points(6, 0.19, rng.uniform(0, 1)), (222, 196, 110), circle_points(12, 0.1)


def _item_cap(rng: Random) -> tuple[list[Point], Color, list[Point] | None]:
    color = rng.choice(((216, 48, 40), (240, 120, 24), (226, 60, 140), (40, 200, 210)))
    return circle_points(18, 0.2), color, circle_points(14, 0.11)


def _item_rag(rng: Random) -> tuple[list[Point], Color, list[Point] | None]:
    color = rng.choice(((198, 70, 60), (226, 222, 210), (120, 90, 160)))
    return [(x * rng.uniform(0.75, 1.3), y * rng.uniform(0.6, 1.1)) for x, y in circle_points(9, 0.34)], color, None


def _item_key(rng: Random) -> tuple[list[Point], Color, list[Point] | None]:
    del rng
    return [(-0.42, -0.05), (0.42, -0.05), (0.42, 0.14), (0.32, 0.14), (0.32, 0.05), (-0.42, 0.05)], (44, 44, 50), None


def _item_tie(rng: Random) -> tuple[list[Point], Color, list[Point] | None]:
    color = rng.choice(((236, 236, 230), (230, 60, 40), (40, 90, 220), (30, 30, 32)))
    bend = rng.uniform(0.1, 0.25)
    upper = [(x, bend * math.sin(x * 6) - 0.03) for x in (i * 0.1 - 0.5 for i in range(11))]
    return upper + [(x, y + 0.06) for x, y in reversed(upper)], color, None


def _item_chip(rng: Random) -> tuple[list[Point], Color, list[Point] | None]:
    color = rng.choice(((186, 138, 84), (170, 120, 70)))
    return [(x * rng.uniform(0.8, 1.2), y) for x, y in rounded(0.3, 0.1, 0.03)], color, None


_ITEMS = (_item_screw, _item_nut, _item_cap, _item_rag, _item_key, _item_tie, _item_chip)


def foreign_object(canvas: Canvas, rng: Random, at: Point, severity: float, material: str) -> Bytes:
    """A loose screw, nut, cap, rag, key, tie or wood chip, with its shadow on what lies below."""
    del material
    outline, color, hole = rng.choice(_ITEMS)(rng)
    turn, size = rng.uniform(0, 2 * math.pi), 0.9 + 0.5 * severity
    c, s = math.cos(turn) * size, math.sin(turn) * size

    def placed(points: list[Point], dx: float = 0.0) -> list[Point]:
        return [(at[0] + dx + c * x - s * y, at[1] + dx + s * x + c * y) for x, y in points]

    shadow, body = canvas.stencil(), canvas.stencil()
    canvas.stencil_poly(shadow, placed(outline, 0.045))
    shadow = as_bytes(cv2.GaussianBlur(shadow, (0, 0), max(0.6, 0.025 * canvas.unit_px)))
    canvas.stencil_poly(body, placed(outline))
    canvas.paint(shadow, (40, 40, 44), 0.75, tint=True)
    canvas.paint(body, color, 1.0, 45.0)
    if hole is not None:
        inner = canvas.stencil()
        canvas.stencil_poly(inner, placed(hole))
        canvas.paint(inner, shade(color, 0.35) if color != METAL else HOLE, 1.0, -25.0)
    return as_bytes(cv2.max(shadow, body))


Defect = Callable[[Canvas, Random, Point, float, str], Bytes]
SURFACE: dict[str, Defect] = {
    "rust": rust,
    "pitting": pitting,
    "dent": dent,
    "scratch": scratch,
    "crack": crack,
    "oil_leak": oil_leak,
    "foreign_object": foreign_object,
}
"""Fault id -> how it is drawn, in the order of drawing (what lies on top comes last)."""
