"""From layers to a photograph: light and shade, then the lens with its own faults, then blur and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import cv2
import numpy as np

from examples.line.canvas import Canvas
from examples.line.textures import Bytes, Gray, as_bytes, as_gray, crop, sensor_noise

_COARSE_ROWS = 96  # soft shade is made at this height and enlarged


@dataclass(frozen=True, slots=True)
class Light:
    """The lamps.

    Direction in degrees (0 = from the right, 90 = from below), brightness gain, warmth -1 (blue) .. 1 (warm), vignetting 0..1,
    and how unevenly the light falls, 0..1.
    """

    angle_deg: float = 225.0
    brightness: float = 1.0
    warmth: float = 0.0
    vignette: float = 0.25
    uneven: float = 0.2


def _coarse(shape: tuple[int, int]) -> tuple[int, int]:
    return _COARSE_ROWS, max(8, round(_COARSE_ROWS * shape[1] / shape[0]))


def _field(shape: tuple[int, int], light: Light, rng: Random, *, shadow_band: bool) -> Gray:
    """Slowly varying light over the picture, at coarse size."""
    rows, columns = shape
    y = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    angle = math.radians(light.angle_deg)
    field = 1 + light.uneven * 0.45 * (x * math.cos(angle) + y * math.sin(angle))
    field = field * (1 - light.vignette * 0.38 * (x * x + y * y))
    if shadow_band:
        turn, offset, width = rng.uniform(0, math.pi), rng.uniform(-0.5, 0.5), rng.uniform(0.12, 0.3)
        across = x * math.cos(turn) + y * math.sin(turn) - offset
        field = field * (1 - 0.42 / (1 + np.exp(np.clip((np.abs(across) - width) * 28, -30, 30))))
    return as_gray(field * light.brightness)


def _occlusion(level: Bytes, light: Light) -> Gray:
    """Darkening beside higher neighbours and the shadow that the part throws, at coarse size."""
    rows, columns = _coarse((level.shape[0], level.shape[1]))
    small = cv2.resize(level, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)
    around = cv2.GaussianBlur(small, (0, 0), 3.2)
    ambient = np.clip((around - small) * (1 / 210), 0, 0.5)
    angle = math.radians(light.angle_deg)
    move = np.array([[1, 0, -4.2 * math.cos(angle)], [0, 1, -4.2 * math.sin(angle)]], np.float32)
    thrown = cv2.warpAffine(small, move, (columns, rows), borderMode=cv2.BORDER_REPLICATE) - small
    shadow = cv2.GaussianBlur(np.clip(thrown * (1 / 130), 0, 0.5), (0, 0), 1.1)
    return as_gray((1 - ambient) * (1 - shadow))


def expose(canvas: Canvas, light: Light, gloss: float, rng: Random, *, shadow_band: bool) -> Bytes:
    """Light the layers; uint8 RGB."""
    rows, columns = canvas.shape
    coarse = _field(_coarse(canvas.shape), light, rng, shadow_band=shadow_band) * _occlusion(canvas.level, light)
    gain = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_LINEAR)
    angle = math.radians(light.angle_deg)
    unit = canvas.unit_px * 0.55 / 255 / 8  # levels per pixel -> slope; 8 is the weight of a Sobel kernel
    sobel_x = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
    kernel = -(math.cos(angle) * sobel_x + math.sin(angle) * sobel_x.T) * unit
    slope = cv2.filter2D(canvas.relief, cv2.CV_32F, kernel)
    np.clip(slope, -1.1, 1.3, out=slope)
    slope *= 0.40 + 0.12 * gloss
    slope += 1.0
    gain *= slope
    gain *= canvas.texture
    warm = light.warmth * 0.16
    # 80 grey levels per unit of gain: one 8-bit multiplication per colour is several times faster than float
    planes = [cv2.convertScaleAbs(gain, alpha=80 * tone) for tone in (1 + warm, 1.0, 1 - warm)]
    return as_bytes(cv2.multiply(canvas.albedo, cv2.merge(planes), scale=1 / 80))


BLOCK_PLACES: dict[str, tuple[float, float]] = {
    "on the left side": (-0.75, 0.0),
    "on the right side": (0.75, 0.0),
    "in the upper half": (0.0, -0.75),
    "in the lower half": (0.0, 0.75),
    "over most of the view": (0.0, 0.0),
}
"""Where something covers the lens, in words -> its middle; the picture spans -1..1."""


_COVERS: dict[str, tuple[float, float, tuple[tuple[int, int, int], ...]]] = {
    "hand": (3.6, 0.97, ((14, 12, 12), (30, 20, 16), (64, 44, 36))),
    "smear": (2.2, 0.92, ((92, 86, 76), (70, 66, 60), (120, 116, 108))),
    "tape": (9.0, 0.99, ((30, 30, 32), (150, 146, 138), (176, 152, 96), (50, 60, 92))),
    "spatter": (2.4, 0.97, ((34, 27, 20), (52, 44, 34), (24, 22, 22))),
}
"""What can cover a lens -> hardness of its edge, opacity, and colours."""


def _cover(shape: tuple[int, int], rng: Random, kind: str, place: str, severity: float) -> Gray:
    """How far each coarse pixel is covered, 0..1."""
    rows, columns = shape
    x0, y0 = BLOCK_PLACES[place]
    y = np.linspace(-1, 1, rows, dtype=np.float32)[:, None] - y0 - rng.uniform(-0.12, 0.12)
    x = np.linspace(-1, 1, columns, dtype=np.float32)[None, :] - x0 - rng.uniform(-0.12, 0.12)
    turn = rng.uniform(-0.35, 0.35)
    x, y = x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)
    reach = 0.62 + 0.3 * severity
    x, y = x / (reach * (1.7 if y0 else 1.0)), y / (reach * (1.7 if x0 else 1.0))
    noise = crop("clouds", rng, (rows, columns), 0.5)
    distance = np.maximum(np.abs(x), np.abs(y)) + 0.1 if kind == "tape" else np.sqrt(x * x + y * y)
    if kind == "spatter":
        noise = 5.5 * (crop("clouds", rng, (rows, columns), 0.3) + 0.1 + 0.3 * severity)
        distance = 1.2 * distance**2
    hardness = _COVERS[kind][0]
    cover = np.clip((1.05 - distance + (0.02 if kind == "tape" else 0.13) * noise) * hardness, 0, 1)
    return as_gray(cv2.GaussianBlur(as_gray(cover), (0, 0), 1.5))


def blocked_lens(image: Bytes, rng: Random, place: str, severity: float) -> tuple[Bytes, Bytes]:
    """Cover part of the view by something unsharp. Returns the picture and the mask, uint8 0 or 255."""
    kind = rng.choice(("hand", "hand", "smear", "tape", "spatter"))
    tone = rng.choice(_COVERS[kind][2])
    cover = _cover(_coarse((image.shape[0], image.shape[1])), rng, kind, place, severity)
    size = (image.shape[1], image.shape[0])
    wide = cv2.resize(cover * _COVERS[kind][1], size, interpolation=cv2.INTER_LINEAR)
    under = image.astype(np.float32)
    covered = (under + (np.array(tone, np.float32) - under) * wide[..., None]).astype(np.uint8)
    return as_bytes(covered), as_bytes(cv2.compare(wide, 0.012, cv2.CMP_GT))


def defocus(image: Bytes, severity: float) -> Bytes:
    """The picture out of focus: a wide Gaussian blur, made at quarter size because it holds no detail anyway."""
    rows, columns = image.shape[:2]
    sigma_px = min(rows, columns) * (0.016 + 0.016 * severity)
    factor = max(1, int(sigma_px // 1.6))
    small = cv2.resize(image, (max(8, columns // factor), max(8, rows // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / factor)
    return as_bytes(cv2.resize(small, (columns, rows), interpolation=cv2.INTER_CUBIC))


def motion(image: Bytes, length_px: float) -> Bytes:
    """Blur along the belt (horizontal) over ``length_px`` pixels."""
    taps = round(length_px)
    return as_bytes(cv2.blur(image, (taps, 1))) if taps >= 2 else image


def add_noise(image: Bytes, rng: Random, std: float) -> Bytes:
    """Sensor noise of ``std`` grey levels; other noise for another state of ``rng``."""
    rows, columns = image.shape[:2]
    tile = sensor_noise()
    if rows > tile.shape[0] or columns > tile.shape[1]:
        tile = np.tile(tile, (math.ceil(rows / tile.shape[0]) + 1, math.ceil(columns / tile.shape[1]) + 1, 1))
    y, x = rng.randint(0, tile.shape[0] - rows), rng.randint(0, tile.shape[1] - columns)
    gain = std / 32
    return as_bytes(cv2.addWeighted(image, 1.0, tile[y : y + rows, x : x + columns], gain, -128 * gain))
