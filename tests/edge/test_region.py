"""A region is a box of pixels in any picture, whatever its size."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edge.inference.preprocess import crop_of
from edge.region import LEAST_INSIDE, WHOLE, Grid, Region, area, surrounding

SIDES = st.integers(1, 5000)
SHARES = st.floats(0.0, 1.0)


@pytest.mark.parametrize(
    ("region", "size", "box"),
    [
        (WHOLE, (640, 480), (0, 0, 640, 480)),
        (Region("a", 0.25, 0.5, 0.5, 0.25), (640, 480), (160, 240, 480, 360)),
        (Region("a", 0.999, 0.999, 0.001, 0.001), (8, 8), (7, 7, 8, 8)),
        (Region("a", 0.0, 0.0, 1.0, 1.0), (1, 1), (0, 0, 1, 1)),
    ],
)
def test_a_region_is_a_box_of_pixels(region: Region, size: tuple[int, int], box: tuple[int, int, int, int]) -> None:
    """Left, top, right, bottom; the last two excluded."""
    assert region.pixels(*size) == box


@given(SHARES, SHARES, SHARES, SHARES, SIDES, SIDES)
def test_every_box_lies_in_the_picture_and_has_a_pixel(  # noqa: PLR0917 - hypothesis hands them over
    left: float, top: float, right: float, bottom: float, width: int, height: int
) -> None:
    """Also that of a sliver at the very edge."""
    region = Region("a", left, top, (1.0 - left) * right, (1.0 - top) * bottom)
    first, upper, last, lower = region.pixels(width, height)
    assert 0 <= first < last <= width
    assert 0 <= upper < lower <= height


@given(st.integers(1, 20), SIDES)
def test_regions_side_by_side_leave_no_pixel_out(count: int, width: int) -> None:
    """Where one ends the next begins."""
    edges = [Region(str(one), one / count, 0.0, 1 / count, 1.0).pixels(width * count, 4) for one in range(count)]
    assert [edge[0] for edge in edges[1:]] == [edge[2] for edge in edges[:-1]]
    assert (edges[0][0], edges[-1][2]) == (0, width * count)


def test_the_whole_picture_has_a_name_for_people_only() -> None:
    """A box of everything is not it: it has a name of its own, and shows the same."""
    assert (WHOLE.id, WHOLE.name, WHOLE.is_whole) == ("", "whole", True)
    assert Region("all").is_whole
    assert not Region("all", polygon=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))).is_whole


def test_a_polygon_has_the_smallest_box_around_it() -> None:
    """Of a triangle."""
    assert surrounding(((0.25, 0.5), (0.75, 0.5), (0.5, 1.0))) == (0.25, 0.5, 0.5, 0.5)


@given(st.integers(1, 16), st.integers(1, 16), st.floats(0.0, 0.5), st.integers(200, 4000), st.integers(200, 4000))
def test_tiles_cover_their_region_without_a_gap(
    columns: int, rows: int, overlap: float, width: int, height: int
) -> None:
    """Every pixel of it lies in a tile, none of another, and all tiles are alike but for a pixel."""
    region = Region("a", 0.125, 0.25, 0.75, 0.5, grid=Grid(columns, rows, overlap))
    boxes = [tile.pixels(width, height) for tile in region.tiles]
    left, top, right, bottom = region.pixels(width, height)
    assert len(boxes) == columns * rows
    across = sorted({(box[0], box[2]) for box in boxes})
    assert (across[0][0], across[-1][1]) == (left, right)
    assert all(later[0] <= earlier[1] for earlier, later in pairwise(across))
    down = sorted({(box[1], box[3]) for box in boxes})
    assert (down[0][0], down[-1][1]) == (top, bottom)
    assert all(later[0] <= earlier[1] for earlier, later in pairwise(down))
    sizes = {box[2] - box[0] for box in boxes}
    assert max(sizes) - min(sizes) <= 1


def test_neighbours_share_the_overlap_and_a_region_without_a_grid_is_its_own_tile() -> None:
    """Two tiles of half a width with an overlap of a third show 0 to 0.6 and 0.4 to 1."""
    first, second = Region("a", grid=Grid(2, 1, 1 / 3)).tiles
    assert (first.left, first.width) == pytest.approx((0.0, 0.6))
    assert (second.left, second.width) == pytest.approx((0.4, 0.6))
    assert WHOLE.tiles == (WHOLE,)
    assert not Region("a", grid=Grid(1, 1)).tiles[0].polygon


@given(st.lists(st.tuples(SHARES, SHARES), min_size=3, max_size=3), st.integers(1, 6), st.integers(1, 6))
def test_tiles_of_a_polygon_leave_out_only_what_shows_next_to_nothing_of_it(
    corners: list[tuple[float, float]], columns: int, rows: int
) -> None:
    """Held against pixels: those inside are in a tile, but for less than a hundredth of each tile that is left out."""
    polygon = tuple(corners)
    left, top, width, height = surrounding(polygon)
    assume(min(width, height) > 0.1 and area(polygon) > 0.01)
    region = Region("p", left, top, width, height, polygon, 0, Grid(columns, rows))
    boxes = Region("p", left, top, width, height, grid=Grid(columns, rows)).tiles
    white = np.full((400, 400, 3), 255, np.uint8)
    kept = {(tile.left, tile.top) for tile in region.tiles}
    for box in boxes:
        inside = crop_of(white, Region("p", box.left, box.top, box.width, box.height, polygon, 0))[:, :, 0] > 0
        rim = 3 * sum(inside.shape) / inside.size  # the rim is drawn whole
        assert (box.left, box.top) in kept or inside.mean() < LEAST_INSIDE + rim
        assert (box.left, box.top) not in kept or inside.any()


def test_a_tile_of_a_polygon_shows_the_polygon_where_it_lies() -> None:
    """The upper left half of a picture in four tiles: three show some of it, two of them one half each."""
    polygon = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    tiles = Region("p", polygon=polygon, fill=0, grid=Grid(2, 2)).tiles
    assert [(tile.left, tile.top) for tile in tiles] == [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5)]
    white = np.full((200, 200, 3), 255, np.uint8)
    shown = [float((crop_of(white, tile) > 0).mean()) for tile in tiles]
    assert shown == pytest.approx([1.0, 0.5, 0.5], abs=0.03)
