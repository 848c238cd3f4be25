"""The drawing surface: colour, relief and texture of a scene, drawn in part units so that size does not matter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.line.textures import Bytes, Gray

Color = tuple[int, int, int]
Point = tuple[float, float]

_SHIFT = 4  # cv2 draws with 1/16 pixel precision
_ONE = 1 << _SHIFT


@dataclass(frozen=True, slots=True)
class Pose:
    """Where part units lie in the picture: centre in pixels, pixels per unit, rotation in radians."""

    x_px: float
    y_px: float
    scale_px: float
    angle_rad: float = 0.0

    def to_px(self, points: Sequence[Point]) -> NDArray[np.float64]:
        """Points in part units -> pixels, float64 (n, 2)."""
        c, s = math.cos(self.angle_rad) * self.scale_px, math.sin(self.angle_rad) * self.scale_px
        return np.array([(self.x_px + c * x - s * y, self.y_px + s * x + c * y) for x, y in points])

    def moved(self, dx: float, dy: float, angle_rad: float) -> Pose:
        """The same pose shifted by (dx, dy) part units in the picture's axes and turned."""
        return Pose(
            self.x_px + dx * self.scale_px, self.y_px + dy * self.scale_px, self.scale_px, self.angle_rad + angle_rad
        )


class Canvas:
    """Layers of one scene in the making; all uint8 (rows, columns) but ``albedo`` (rows, columns, 3) and ``texture``.

    ``level`` is the height above the floor, 0..255, of what is drawn; ``part`` is the silhouette of the part.
    ``relief`` is the smoothed level, float32, that faults engrave; it exists after ``settle``.
    """

    def __init__(self, width: int, height: int, floor: Color, pose: Pose) -> None:
        self.shape = (height, width)
        self.albedo: Bytes = np.empty((height, width, 3), np.uint8)
        cv2.rectangle(self.albedo, (0, 0), (width, height), floor, -1)
        self.level: Bytes = np.full((height, width), 30, np.uint8)
        self.part: Bytes = np.zeros((height, width), np.uint8)
        self.texture: Gray = np.ones((height, width), np.float32)
        self.relief: Gray = np.zeros((0, 0), np.float32)
        self.pose = pose

    @property
    def unit_px(self) -> float:
        """Pixels per part unit."""
        return self.pose.scale_px

    def _fixed(self, points: Sequence[Point]) -> NDArray[np.int32]:
        return np.round(self.pose.to_px(points) * _ONE).astype(np.int32)

    def _fixed_point(self, at: Point) -> tuple[int, int]:
        pose = self.pose
        c, s = math.cos(pose.angle_rad) * pose.scale_px, math.sin(pose.angle_rad) * pose.scale_px
        x, y = pose.x_px + c * at[0] - s * at[1], pose.y_px + s * at[0] + c * at[1]
        return round(x * _ONE), round(y * _ONE)

    def disc(self, at: Point, radius: float, color: Color | None = None, level: int | None = None) -> None:
        """Filled circle; ``radius`` in part units."""
        centre = self._fixed_point(at)
        r = max(1, round(radius * self.unit_px * _ONE))
        if color is not None:
            cv2.circle(self.albedo, centre, r, color, -1, cv2.LINE_AA, _SHIFT)
        if level is not None:
            cv2.circle(self.level, centre, r, level, -1, cv2.LINE_AA, _SHIFT)

    def ring(
        self, at: Point, radius: float, width: float, color: Color | None = None, level: int | None = None
    ) -> None:
        """Circle outline of ``width`` part units (one pixel at least)."""
        centre = self._fixed_point(at)
        r = max(1, round(radius * self.unit_px * _ONE))
        thick = max(1, round(width * self.unit_px))
        if color is not None:
            cv2.circle(self.albedo, centre, r, color, thick, cv2.LINE_AA, _SHIFT)
        if level is not None:
            cv2.circle(self.level, centre, r, level, thick, cv2.LINE_AA, _SHIFT)

    def poly(self, points: Sequence[Point], color: Color | None = None, level: int | None = None) -> None:
        """Filled polygon."""
        corners = self._fixed(points)
        if color is not None:
            cv2.fillPoly(self.albedo, [corners], color, cv2.LINE_AA, _SHIFT)
        if level is not None:
            cv2.fillPoly(self.level, [corners], [level], cv2.LINE_AA, _SHIFT)

    def path(self, points: Sequence[Point], width: float, color: Color | None = None, level: int | None = None) -> None:
        """Open line of ``width`` part units (one pixel at least)."""
        corners = [self._fixed(points)]
        thick = max(1, round(width * self.unit_px))
        if color is not None:
            cv2.polylines(
                self.albedo, corners, isClosed=False, color=color, thickness=thick, lineType=cv2.LINE_AA, shift=_SHIFT
            )
        if level is not None:
            cv2.polylines(
                self.level, corners, isClosed=False, color=[level], thickness=thick, lineType=cv2.LINE_AA, shift=_SHIFT
            )

    def box(self, low: Point, high: Point, color: Color | None = None, level: int | None = None) -> None:
        """Filled rectangle along the part's axes between two corners."""
        (x0, y0), (x1, y1) = low, high
        self.poly([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], color, level)

    def stencil(self) -> Bytes:
        """An empty mask of the picture's size."""
        return np.zeros(self.shape, np.uint8)

    def stencil_path(self, stencil: Bytes, points: Sequence[Point], width_px: float, value: int = 255) -> None:
        """Draw a line on a stencil; ``width_px`` is rounded to whole pixels, one at least."""
        thick = max(1, round(width_px))
        corners = [self._fixed(points)]
        cv2.polylines(
            stencil, corners, isClosed=False, color=[value], thickness=thick, lineType=cv2.LINE_AA, shift=_SHIFT
        )

    def stencil_disc(self, stencil: Bytes, at: Point, radius: float, value: int = 255) -> None:
        """Draw a filled circle on a stencil."""
        centre = self._fixed_point(at)
        cv2.circle(
            stencil, centre, max(_ONE // 2, round(radius * self.unit_px * _ONE)), [value], -1, cv2.LINE_AA, _SHIFT
        )

    def stencil_poly(self, stencil: Bytes, points: Sequence[Point], value: int = 255) -> None:
        """Draw a filled polygon on a stencil."""
        cv2.fillPoly(stencil, [self._fixed(points)], [value], cv2.LINE_AA, _SHIFT)

    def settle(self) -> None:
        """End the drawing of solid shapes: round their edges into ``relief``, which faults then engrave."""
        sigma_px = max(0.6, 0.0035 * min(self.shape))
        self.relief = cv2.GaussianBlur(self.level.astype(np.float32), (0, 0), sigma_px)

    def paint(
        self, stencil: Bytes, color: Color, opacity: float = 1.0, rise: float = 0.0, *, tint: bool = False
    ) -> None:
        """Blend ``color`` through a stencil and raise the relief by ``rise`` levels; ``tint`` multiplies instead."""
        x, y, w, h = cv2.boundingRect(stencil)
        if w == 0 or h == 0:
            return
        window = (slice(y, y + h), slice(x, x + w))
        alpha = stencil[window].astype(np.float32) * (opacity / 255)
        if rise:
            self.relief[window] += alpha * (rise / max(opacity, 1e-3))
        under = self.albedo[window].astype(np.float32)
        over = np.array(color, np.float32)
        target = under * (over / 255) if tint else over
        self.albedo[window] = (under + (target - under) * alpha[..., None] + 0.5).astype(np.uint8)

    def window(self, at: Point, radius: float) -> tuple[slice, slice] | None:
        """The pixels around ``at`` within ``radius`` part units; None when outside the picture."""
        (x, y) = self.pose.to_px([at])[0]
        r = radius * self.unit_px
        x0, x1 = max(0, math.floor(x - r)), min(self.shape[1], math.ceil(x + r) + 1)
        y0, y1 = max(0, math.floor(y - r)), min(self.shape[0], math.ceil(y + r) + 1)
        if x1 - x0 < 2 or y1 - y0 < 2:
            return None
        return slice(y0, y1), slice(x0, x1)

    def distance(self, at: Point, radius: float, window: tuple[slice, slice]) -> Gray:
        """Distance from ``at`` over ``radius`` for each pixel of a window: 0 in the middle, 1 at the rim."""
        (x, y) = self.pose.to_px([at])[0]
        r = radius * self.unit_px
        dx = (np.arange(window[1].start, window[1].stop, dtype=np.float32) - np.float32(x)) / np.float32(r)
        dy = (np.arange(window[0].start, window[0].stop, dtype=np.float32) - np.float32(y)) / np.float32(r)
        return np.sqrt(dx[None, :] ** 2 + dy[:, None] ** 2)


class Blueprint(Canvas):
    """A canvas that draws nothing: it lets a part tell its shape at no cost."""

    def __init__(self) -> None:
        super().__init__(2, 2, (0, 0, 0), Pose(1, 1, 1))

    def disc(self, at: Point, radius: float, color: Color | None = None, level: int | None = None) -> None:
        """Draw nothing."""

    def ring(
        self, at: Point, radius: float, width: float, color: Color | None = None, level: int | None = None
    ) -> None:
        """Draw nothing."""

    def poly(self, points: Sequence[Point], color: Color | None = None, level: int | None = None) -> None:
        """Draw nothing."""
