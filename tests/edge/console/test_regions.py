"""`check` says how many pixels a region has, and whether all of them fit into the budget of a frame."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from edge.console.inspection import check_site
from edge.console.regions import accepted_size, region_lines
from edge.health.monitor import KEPT_KINDS
from edge.inference.picture_contract import Contract, Kind
from edge.inference.preprocess import PictureLimits, Preprocessor
from edge.manifest import InputSpec
from edge.plan import site_bundle
from edge.publish.entry import Entry, PlainState
from edge.publish.journal import Journal
from edge.publish.store import NAME
from edge.site.inputs import CameraSettings
from edge.site.settings import Site
from tests.stand.daemon import site_document
from tests.stand.plant import roomy_bundle

QUARTERS = [{"id": f"q{number}", "box": [number / 4, 0, 0.25, 1]} for number in range(4)]


def lines(budget_ms: float, infer_ms: float, *, watched: int = 4, size: tuple[int, int] | None = None) -> list[str]:
    """What is said of a camera in four quarters, some of which faults look at, on a graph of 96 px."""
    camera = CameraSettings.model_validate({"id": "cam", "regions": QUARTERS})
    spec = InputSpec(name="frame", width=96, height=96, resize="stretch")
    stage = Preprocessor(spec, PictureLimits(), [region.region() for region in camera.regions[:watched]])
    return list(region_lines(camera, stage, size, budget_ms, infer_ms))


def test_each_region_has_its_pixels_and_place() -> None:
    """On the size that the camera sends; where that is not known, on a usual one."""
    assert lines(500.0, 1.0, size=(800, 600))[1] == "region    cam/q1: 200x600 px at (200, 0) of its 800x600 px"
    assert "480x1080 px at (480, 0) of a picture of 1920x1080 px" in lines(500.0, 1.0)[1]


def test_a_region_of_too_few_pixels_is_said_to_be_enlarged() -> None:
    """With the size of pictures in which it is not."""
    found = lines(500.0, 1.0, size=(200, 200))[0]
    assert "ENLARGED to the graph's 96x96 px" in found
    assert "send pictures of 384x96 px or more" in found


def test_a_region_that_no_fault_looks_at_is_said_not_to_be_computed() -> None:
    """It costs nothing, and may be a slip of the pen."""
    found = lines(500.0, 1.0, watched=3)
    assert ["NOT USED" in line for line in found] == [False, False, False, True, False]
    assert "3 to compute" in found[-1]


@pytest.mark.parametrize(
    ("budget_ms", "infer_ms", "said"),
    [
        (2000.0, 20.0, "each is computed in every frame"),
        (600.0, 200.0, "MORE THAN THE BUDGET: 2 fit, so each is computed in every 2. frame"),
        (600.0, 350.0, "MORE THAN THE BUDGET: 1 fit, so each is computed in every 4. frame; below 2 frames a second"),
        (600.0, 700.0, "TOO MUCH: not even one fits"),
    ],
)
def test_the_time_of_all_regions_is_held_against_the_budget(budget_ms: float, infer_ms: float, said: str) -> None:
    """And what follows where they do not fit: how often each is computed, and how fast the camera must be."""
    assert said in lines(budget_ms, infer_ms)[-1]


def tiled(budget_ms: float, infer_ms: float, fps: float | None = None, **more: Any) -> list[str]:
    """What is said of 32 tiles of a full HD picture, on a graph of 96 px."""
    source = {} if fps is None else {"source": {"url": "rtsp://camera/stream", "fps": fps}}
    tiles = {"columns": 8, "rows": 4, "overlap": 0.0, "cover_ms": 1000} | more
    regions = [{"id": "web", "box": [0, 0, 1, 1], "tiles": tiles}]
    camera = CameraSettings.model_validate({"id": "cam", "regions": regions} | source)
    spec = InputSpec(name="frame", width=96, height=96, resize="stretch")
    stage = Preprocessor(spec, PictureLimits(), [region.region() for region in camera.regions])
    return list(region_lines(camera, stage, None, budget_ms, infer_ms))


def test_a_grid_of_tiles_has_its_sizes_its_cost_and_the_age_of_its_oldest_verdict() -> None:
    """32 tiles of 50 ms in 2 s: 32 need more, and how old one becomes follows from how many fit and from the camera's rate."""
    region, regions, cover = tiled(1100.0, 100.0, fps=10.0, cover_ms=2000)
    assert "1920x1080 px at (0, 0) of a picture of 1920x1080 px, 8 x 4 tiles of 240x270 px; SHRUNK to" in region
    assert "32 to compute if every tile changed" in regions
    found = re.search(r"MORE THAN THE BUDGET: (\d+) fit, so each is computed in every (\d+)\. frame at worst", regions)
    assert found is not None
    fitting, every = map(int, found.groups())
    assert every == -(-32 // fitting)
    assert f"at 10 the oldest verdict is {every * 100 + 1100} ms old" in cover
    assert "HOLD" not in cover


@pytest.mark.parametrize(
    ("fps", "cover_ms", "said"),
    [
        (None, 2000, "kept from"),
        (1.0, 2000, "MAY NOT HOLD: the region is unknown while so much changes"),
        (1.0, 1100, "CANNOT HOLD: the budget of one frame is 1100 ms already"),
    ],
)
def test_what_cannot_be_covered_is_said_before_it_runs(fps: float | None, cover_ms: int, said: str) -> None:
    """At the rate that the camera is to have, or at any."""
    cover = tiled(1100.0, 100.0, fps, cover_ms=cover_ms)[-1]
    assert said in cover
    assert ("HOLD" in cover) == ("HOLD" in said)


def test_tiles_of_too_few_pixels_are_said_to_be_enlarged_and_an_unused_grid_has_no_age() -> None:
    """As regions are."""
    found = tiled(500.0, 1.0, columns=32, rows=8)
    assert "ENLARGED to the graph's 96x96 px" in found[0]
    assert "send pictures of 3072x768 px or more, or make tiles larger" in found[0]
    assert found[-1].startswith("cover     cam/web: cover_ms 1000")


def site(folder: Path, **more: Any) -> Site:
    """A camera with two of the quarters, one of which a fault looks at."""
    document = site_document(roomy_bundle(folder / "colours"), 1)
    document["cameras"] = [{"id": "cam1", "regions": QUARTERS[:2]}]
    faults = [{"id": "red", "camera": "cam1", "region": "q0"}]
    return Site.model_validate(document | {"faults": faults, "runtime": {"allow_other_board": True}} | more)


@pytest.mark.slow
def test_check_shows_regions_and_the_faults_that_look_at_them(tmp_path: Path) -> None:
    """Beside everything else of the site."""
    wanted = site(tmp_path)
    found = list(check_site(wanted, site_bundle(wanted)))
    assert any(line.startswith("region    cam1/q0: 480x1080 px") for line in found)
    assert any(line.startswith("regions   cam1: 1 to compute") for line in found)
    assert "fault     red in region q0: flag only" in found


def test_the_size_is_the_one_that_the_daemon_accepted(tmp_path: Path) -> None:
    """Read from the state folder; of another camera, of no daemon and of a damaged journal it knows nothing."""
    wanted = site(tmp_path, node={"id": "n", "state_dir": str(tmp_path / "state")})
    assert accepted_size(site(tmp_path), "cam1") is None
    assert accepted_size(wanted, "cam1") is None
    journal = Journal(
        tmp_path / "state", prefix="p", send=lambda _message: 1, monotonic_ns=lambda: 0, wall_ns=lambda: 10**18
    )
    kinds = Contract(0, [Kind(640, 480, colour=True), Kind(800, 600, colour=True)])
    journal.record(Entry(0, kept={KEPT_KINDS + "cam1": PlainState(kinds.to_dict())}))
    journal.turn()
    journal.stop()
    assert accepted_size(wanted, "cam1") == (800, 600)
    assert accepted_size(wanted, "cam") is None
    (tmp_path / "state" / NAME).write_bytes(b"no journal" * 999)
    assert accepted_size(wanted, "cam1") is None
