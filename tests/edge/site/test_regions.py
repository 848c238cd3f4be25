"""A region that is none, or lies beyond the picture, is refused with what to do."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edge.region import WHOLE, Grid, Region
from edge.site.regions import MOST_CORNERS, MOST_REGIONS, RegionSettings
from edge.site.settings import Site

BOX = [0.25, 0.5, 0.5, 0.25]
TILES = {"columns": 4, "rows": 2}
THIN = ((0.0, 0.0), (1.0, 0.99), (1.0, 1.0))
TRIANGLE = ((0.25, 0.5), (0.75, 0.5), (0.5, 1.0))


def site(regions: list[dict[str, Any]], **fault: Any) -> Site:
    """A site with one camera and one fault."""
    document: dict[str, Any] = {
        "bundle": "b",
        "node": {"id": "n"},
        "cameras": [{"id": "cam", "regions": regions}, {"id": "other"}],
        "faults": [{"id": "red", "camera": "cam"} | fault],
    }
    return Site.model_validate(document)


def test_a_box_and_a_polygon_become_regions() -> None:
    """A polygon has the box around it; what lies outside is the mean, or a grey level."""
    assert RegionSettings.model_validate({"id": "row", "box": BOX}).region() == Region("row", 0.25, 0.5, 0.5, 0.25)
    triangle = RegionSettings.model_validate({"id": "t", "polygon": TRIANGLE, "fill": 128}).region()
    assert triangle == Region("t", 0.25, 0.5, 0.5, 0.5, TRIANGLE, 128)
    assert WHOLE.fill is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "either a box or a polygon"),
        ({"box": BOX, "polygon": TRIANGLE}, "either a box or a polygon"),
        ({"box": [0.6, 0.0, 0.5, 0.5]}, "beyond the picture"),
        ({"box": [-0.1, 0.0, 0.5, 0.5]}, "beyond the picture"),
        ({"box": [0.0, 0.9, 0.5, 0.2]}, "beyond the picture"),
        ({"box": [0.0, 0.0, 640.0, 480.0]}, "beyond the picture"),
        ({"box": [0.0, 0.0, 0.0, 0.5]}, "no area"),
        ({"box": [0.5, 0.5, -0.2, 0.2]}, "no area"),
        ({"box": [0.0, 0.0, 0.5]}, "box"),
        ({"box": [0.0, 0.0, float("nan"), 0.5]}, "finite number"),
        ({"polygon": TRIANGLE[:2]}, "three corners"),
        ({"polygon": [[0.1, 0.1], [0.5, 0.5], [0.9, 0.9]]}, "no area"),
        ({"polygon": [[0.1, 0.1], [1.5, 0.5], [0.9, 0.9]]}, "beyond the picture"),
        ({"polygon": [[0.5, 0.5]] * (MOST_CORNERS + 1)}, f"at most {MOST_CORNERS}"),
        ({"box": BOX, "fill": 256}, "grey level"),
        ({"box": BOX, "fill": "black"}, "mean"),
        ({"id": "whole", "box": BOX}, "choose another id"),
        ({"box": BOX, "stale_after_ms": 0}, "greater than 0"),
        ({"polygon": THIN, "tiles": {"columns": 1, "rows": 1}}, "take more tiles, or a wider polygon"),
        ({"box": BOX, "tiles": TILES, "stale_after_ms": 100}, "leave stale_after_ms out"),
        ({"box": BOX, "tiles": {"columns": 20, "rows": 20}}, "20 x 20 tiles are more than 256"),
        ({"box": BOX, "tiles": {"columns": 4}}, "rows"),
        ({"box": BOX, "tiles": TILES | {"overlap": 0.6}}, "less than or equal to 0.5"),
        ({"box": BOX, "tiles": TILES | {"cover_ms": 0}}, "greater than 0"),
        ({"box": BOX, "tiles": TILES | {"change_levels": 25}}, "less than or equal to 24"),
    ],
    ids=str,
)
def test_a_region_that_is_none_is_refused(settings: dict[str, Any], told: str) -> None:
    """With its name, and what to do."""
    with pytest.raises(ValidationError, match=told):
        RegionSettings.model_validate({"id": "row"} | settings)


@pytest.mark.parametrize(
    ("regions", "fault", "told"),
    [
        ([{"id": "row", "box": BOX}] * 2, {}, r"region ids of camera cam repeat: \['row'\]"),
        ([{"id": "row", "box": BOX}], {"region": "bolt"}, r"region 'bolt' of camera cam, which is not among \['row'\]"),
        ([{"id": "row", "box": BOX}], {"camera": "other", "region": "row"}, r"'row' of camera other"),
        ([], {"camera": None, "region": "row", "rules": ["r"]}, "names region row but no camera"),
        ([{"id": f"r{number}", "box": BOX} for number in range(MOST_REGIONS + 1)], {}, f"at most {MOST_REGIONS}"),
    ],
)
def test_regions_and_faults_fit_together(regions: list[dict[str, Any]], fault: dict[str, Any], told: str) -> None:
    """No region twice, and a fault names one of its own camera."""
    with pytest.raises(ValidationError, match=told):
        site(regions, **fault)


def test_a_fault_without_a_region_looks_at_the_whole_picture() -> None:
    """As before there were regions."""
    assert site([{"id": "row", "box": BOX}]).faults[0].region is None
    assert site([{"id": "row", "box": BOX}], region="row").faults[0].region == "row"


def test_a_region_may_be_a_grid_of_tiles() -> None:
    """With an age from which a tile is not covered, and one within which it is computed again; by default that of the camera, and a minute."""
    plain = RegionSettings.model_validate({"id": "web", "box": BOX, "tiles": TILES})
    assert plain.region() == Region("web", BOX[0], BOX[1], BOX[2], BOX[3], grid=Grid(4, 2, 0.1, 60 * 10**9))
    assert plain.oldest_ms() is None
    more = {"overlap": 0.0, "cover_ms": 500, "refresh_s": 2.5}
    wanted = RegionSettings.model_validate({"id": "web", "box": BOX, "tiles": TILES | more})
    assert wanted.region().grid == Grid(4, 2, 0.0, 2_500_000_000)
    assert wanted.oldest_ms() == 500


def test_a_polygon_may_be_a_grid_of_tiles_that_show_some_of_it() -> None:
    """Each with the corners and the filling of its region."""
    region = RegionSettings.model_validate({"id": "t", "polygon": TRIANGLE, "fill": 9, "tiles": TILES}).region()
    assert 0 < len(region.tiles) < 8
    assert {(tile.polygon, tile.fill) for tile in region.tiles} == {(TRIANGLE, 9)}
