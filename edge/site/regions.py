"""The ``[[cameras.regions]]`` of a site file: parts of a camera's picture that faults look at."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from edge.parsing.toml_file import Section
from edge.region import CHANGE_LEVELS, WHOLE_NAME, Grid, Region, area, surrounding
from edge.site.kinds import Identifier, NotNegative, Positive
from edge.units import NS_PER_S

MOST_REGIONS = 64  # of one camera
MOST_CORNERS = 64
MOST_TILES = 256  # of one region
SLACK = 1e-9  # of shares that add up to 1 on paper
LEAST_LEVELS, MOST_LEVELS = 1.0, 24.0  # grey levels of a block
LEAST_SHARE = 1e-3  # of a side; less is a line


class TileSettings(Section):
    """A grid over a region: each tile is judged by itself, those that changed first. See docs/tiles.md."""

    columns: int = Field(ge=1, le=MOST_TILES, description="tiles side by side")
    rows: int = Field(ge=1, le=MOST_TILES, description="tiles one below the other")
    overlap: float = Field(
        default=0.1,
        ge=0.0,
        le=0.5,
        description="share of a tile's width and height that its neighbour shows too, so that what lies on an edge is whole in one of them",
    )
    cover_ms: Positive | None = Field(
        default=None,
        description="a tile that was seen longer ago is not covered, and without all of them there is no `ok`, ms; default: the camera's stale_after_ms",
    )
    refresh_s: NotNegative = Field(
        default=60.0,
        description="a tile that did not change is computed again within so long, s; 0: every tile is computed in its turn, changed or not",
    )
    change_levels: float = Field(
        default=CHANGE_LEVELS,
        ge=LEAST_LEVELS,
        le=MOST_LEVELS,
        description="grey levels of 255 by which a small block may differ, and its tile did not change; lower for faint faults, and prove it by `backtest --gate`",
    )

    @model_validator(mode="after")
    def _few_enough(self) -> TileSettings:
        if self.columns * self.rows > MOST_TILES:
            raise ValueError(f"{self.columns} x {self.rows} tiles are more than {MOST_TILES}: make them larger")
        return self

    def grid(self) -> Grid:
        """The grid as the stages know it."""
        return Grid(self.columns, self.rows, self.overlap, round(self.refresh_s * NS_PER_S), self.change_levels)


class RegionSettings(Section):
    """A part of a camera's picture, judged by itself. See docs/regions.md."""

    id: Identifier = Field(description='its name; faults refer to it by `region = "..."`')
    box: tuple[float, float, float, float] | None = Field(
        default=None, description="[x, y, width, height] from the upper left corner, as shares 0..1 of the picture"
    )
    polygon: tuple[tuple[float, float], ...] = Field(
        default=(),
        max_length=MOST_CORNERS,
        description="in place of a box: three corners or more, [x, y] as shares 0..1 of the picture; what lies outside is filled",
    )
    fill: Literal["mean"] | int = Field(
        default="mean",
        description="what the outside of a polygon is filled with: the mean colour of its inside, or a grey level 0..255",
    )
    stale_after_ms: Positive | None = Field(
        default=None,
        description="a verdict on this region older than so long is unknown, ms; default: the camera's stale_after_ms",
    )

    tiles: TileSettings | None = Field(
        default=None, description="cut it into a grid of tiles, each judged by itself; none: it is looked at as one"
    )

    @model_validator(mode="after")
    def _lies_inside(self) -> RegionSettings:
        if self.id == WHOLE_NAME:
            raise ValueError(f"region {WHOLE_NAME!r} is what the whole picture is called: choose another id")
        if (self.box is None) == (not self.polygon):
            raise ValueError(f"region {self.id} needs either a box or a polygon: give one of them")
        if self.polygon and len(self.polygon) < 3:
            raise ValueError(f"region {self.id}: a polygon has at least three corners")
        if isinstance(self.fill, int) and not 0 <= self.fill <= 255:
            raise ValueError(f"region {self.id}: fill {self.fill} must be a grey level 0..255, or 'mean'")
        left, top, width, height = self._box()
        if min(width, height) < LEAST_SHARE or (self.polygon and area(self.polygon) < LEAST_SHARE**2):
            raise ValueError(f"region {self.id} has no area: make it wider and higher")
        if min(left, top) < 0.0 or max(left + width, top + height) > 1.0 + SLACK:
            raise ValueError(
                f"region {self.id} reaches beyond the picture: x, y, width and height are shares of the picture, 0..1, with x + width and y + height at most 1"
            )
        return self

    @model_validator(mode="after")
    def _can_be_cut(self) -> RegionSettings:
        if not self.region().tiles:
            raise ValueError(
                f"region {self.id}: no tile shows enough of this polygon: take more tiles, or a wider polygon"
            )
        if self.tiles is not None and self.stale_after_ms is not None:
            raise ValueError(
                f"region {self.id}: tiles.cover_ms says when its verdicts are too old: leave stale_after_ms out"
            )
        return self

    def oldest_ms(self) -> float | None:
        """When a verdict on it is too old, ms; None: when one on the whole picture is."""
        return self.stale_after_ms if self.tiles is None else self.tiles.cover_ms

    def _box(self) -> tuple[float, float, float, float]:
        return surrounding(self.polygon) if self.box is None else self.box

    def region(self) -> Region:
        """The region as the stages know it."""
        grid = None if self.tiles is None else self.tiles.grid()
        return Region(self.id, *self._box(), self.polygon, None if self.fill == "mean" else int(self.fill), grid)
