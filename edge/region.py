"""A region of a camera's picture: a box, a polygon outside of which nothing is seen, or a grid of tiles; pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final

Point = tuple[float, float]
CHANGE_LEVELS: Final = 8.0  # grey levels by which a block may differ; why so many: docs/decisions/013-tiles.md
WHOLE_NAME: Final = "whole"  # for people; its id is empty, because a fault that names no region looks at it


@dataclass(frozen=True, slots=True)
class Grid:
    """How a region is cut into tiles, each of which the graph looks at by itself.

    Args:
        columns, rows: how many there are.
        overlap: share of a tile that its neighbour shows too, 0..1 (excluded).
        refresh_ns: a tile that did not change is computed again within so long; 0: it is computed whether it changed or not.
        change_levels: grey levels by which a block of it may differ, and it did not change.
    """

    columns: int = 1
    rows: int = 1
    overlap: float = 0.0
    refresh_ns: int = 0
    change_levels: float = CHANGE_LEVELS

    @property
    def count(self) -> int:
        """Tiles of it."""
        return self.columns * self.rows


@dataclass(frozen=True)
class Region:
    """One part of a picture that the graph looks at by itself; a polygon's box is the smallest one around it.

    Args:
        id: its name on the site; that of the whole picture is empty.
        left, top, width, height: its box, as shares of the picture's width and height.
        polygon: corners as shares of the picture; empty: all of the box is seen. A tile has those of its region, which may lie outside its box.
        fill: grey level 0..255 of what lies outside the polygon; None: the mean colour of what lies inside.
        grid: its tiles; None: it is looked at as one.
    """

    id: str = ""
    left: float = 0.0
    top: float = 0.0
    width: float = 1.0
    height: float = 1.0
    polygon: tuple[Point, ...] = ()
    fill: int | None = None
    grid: Grid | None = None

    @cached_property
    def tiles(self) -> tuple[Region, ...]:
        """What the graph looks at, row by row; itself where it has no grid. Of a polygon only those that show some of it."""
        if self.grid is None:
            return (self,)
        across, width = _cuts(self.left, self.width, self.grid.columns, self.grid.overlap)
        down, height = _cuts(self.top, self.height, self.grid.rows, self.grid.overlap)
        boxes = [(left, top, width, height) for top, left in product(down, across)]
        return tuple(
            Region(self.id, *box, self.polygon, self.fill)
            for box in boxes
            if not self.polygon or area(_clipped(self.polygon, *box)) >= LEAST_INSIDE * width * height
        )

    @property
    def name(self) -> str:
        """For people."""
        return self.id or WHOLE_NAME

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the picture."""
        return not self.polygon and (self.left, self.top, self.width, self.height) == (0.0, 0.0, 1.0, 1.0)

    def pixels(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Its box in a picture of so many px: left, top, right and bottom, the last two excluded; at least one pixel a side."""
        left, right = _edges(self.left, self.width, width)
        top, bottom = _edges(self.top, self.height, height)
        return left, top, right, bottom


WHOLE: Final = Region()
LEAST_INSIDE: Final = 0.01  # of a tile; where less lies inside a polygon there is nothing to judge
_TOUCHES_PX: Final = 1e-6  # more than the arithmetic of shares rounds


def _cuts(start: float, share: float, count: int, overlap: float) -> tuple[list[float], float]:
    """Where each of so many tiles of one length begins, and that length; the last one ends where the region does."""
    length = share / (count - (count - 1) * overlap)
    return [start + number * length * (1.0 - overlap) for number in range(count)], length


def _edges(start: float, share: float, length: int) -> tuple[int, int]:
    """Every pixel that it touches, so that neighbours leave no gap; by less than a millionth of one it does not."""
    first = min(math.floor(start * length + _TOUCHES_PX), length - 1)
    return first, min(length, max(first + 1, math.ceil((start + share) * length - _TOUCHES_PX)))


def surrounding(polygon: tuple[Point, ...]) -> tuple[float, float, float, float]:
    """The smallest box around some points: left, top, width and height."""
    across, down = [x for x, _ in polygon], [y for _, y in polygon]
    return min(across), min(down), max(across) - min(across), max(down) - min(down)


def area(polygon: tuple[Point, ...]) -> float:
    """The area of a polygon (shoelace formula), as a share of the picture."""
    following = polygon[1:] + polygon[:1]
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in zip(polygon, following, strict=True))) / 2


def _clipped(polygon: tuple[Point, ...], left: float, top: float, width: float, height: float) -> tuple[Point, ...]:
    """The part of a polygon inside a box (Sutherland and Hodgman); empty where there is none."""
    for axis, limit, sign in ((0, left, 1.0), (0, left + width, -1.0), (1, top, 1.0), (1, top + height, -1.0)):
        kept: list[Point] = []
        for before, here in zip(polygon[-1:] + polygon[:-1], polygon, strict=True):
            was, now = sign * (before[axis] - limit), sign * (here[axis] - limit)
            if was * now < 0.0:  # the edge crosses the limit
                share = was / (was - now)
                kept.append((before[0] + share * (here[0] - before[0]), before[1] + share * (here[1] - before[1])))
            if now >= 0.0:
                kept.append(here)
        polygon = tuple(kept)
    return polygon
