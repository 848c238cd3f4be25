"""The tiles of a camera: which a frame needs, what stands of those that did not change, and how old everything is."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.assembly import load_engine
from edge.bundle import open_bundle
from edge.frame import Quality
from edge.inference.change import LEARNED
from edge.inference.coverage import Coverage
from edge.inference.preprocess import Preprocessor
from edge.inference.schedule import frames_between
from edge.region import WHOLE, Grid, Region
from tests.stand.bundles import colour_bundle
from tests.stand.daemon import ROOT

CLIP = (
    Path(os.environ.get("EDGE_DATA", ROOT.parent / "shared" / "data"))
    / "intel_sample_clips" / "open" / "bottle-detection.mp4"
)  # fmt: skip

FRAME, SECOND = 40, 1000  # in the time of these tests
REFRESH = 60 * SECOND


class Camera:
    """A camera with four tiles in a row, each of a grey level of its own, and what is computed of them."""

    def __init__(self, refresh: int = REFRESH, *more: Region) -> None:
        self.coverage = Coverage([Region("web", grid=Grid(4, 1, 0.0, refresh)), *more])
        self.levels = [100, 100, 100, 100]
        self.now = 0

    def blocks(self) -> NDArray[np.uint8]:
        """The picture now."""
        row = np.repeat(np.array(self.levels, np.uint8), 5)
        return np.broadcast_to(row[None, :, None], (8, 20, 3)).copy()

    def frame(self, fitting: int = 99, quality: Quality = Quality.GOOD, *, compare: bool = True) -> list[int]:
        """The next frame; numbers of the tiles that were computed, so many at most."""
        self.now += FRAME
        order = self.coverage.frame(self.now, quality, self.blocks() if compare else None)[:fitting]
        for key in order:
            self.coverage.begin(key)
            self.coverage.done(key, [self.levels[key[1]] / 255], 1)
        return [number for _, number in order]

    def learn(self) -> None:
        """Frames until noise is known, of which every tile is computed."""
        for _ in range(LEARNED):
            assert sorted(self.frame()) == [0, 1, 2, 3]

    def ages(self) -> list[int | None]:
        """How many frames ago each tile was seen."""
        return [
            None if look is None else (self.now - look.seen_ns) // FRAME
            for look in (self.coverage._tiles["web", number].look for number in range(4))
        ]


def test_only_what_changed_is_computed_and_the_rest_is_as_young_as_the_frame() -> None:
    """The most changed first."""
    camera = Camera()
    camera.learn()
    assert camera.frame() == []
    camera.levels = [100, 140, 100, 200]
    assert camera.frame() == [1, 3]
    assert camera.frame() == []
    assert camera.ages() == [0, 0, 0, 0]
    turn = camera.coverage.turns()["web"]
    assert (turn.computed, turn.unchanged, turn.skipped, turn.seen_ns) == (0, 4, 0, (camera.now,) * 4)
    assert [round(look.scores[0] * 255) for look in camera.coverage.looks("web") if look] == camera.levels


def test_what_changed_and_does_not_fit_grows_older_until_its_turn() -> None:
    """It is counted; its last verdict stays with its age."""
    camera = Camera()
    camera.learn()
    camera.levels = [10, 20, 30, 100]
    computed = [camera.frame(1) for _ in range(4)]
    assert sorted(number for frame in computed for number in frame) == [0, 1, 2]
    assert computed[3] == []
    camera.levels = [100, 100, 100, 100]
    camera.frame(1)
    assert sorted(age or 0 for age in camera.ages()) == [0, 0, 1, 1]
    turn = camera.coverage.turns()["web"]
    assert (turn.computed, turn.unchanged, turn.skipped) == (1, 1, 2)


def test_every_tile_is_computed_again_within_the_refresh_and_not_all_at_once() -> None:
    """Though nothing changes: each at a time of its own."""
    camera = Camera(refresh=2 * SECOND)
    camera.learn()
    found: dict[int, int] = {}
    for number in range(2 * SECOND // FRAME):
        for tile in camera.frame():
            found.setdefault(tile, number)
    assert sorted(found) == [0, 1, 2, 3]
    assert len(set(found.values())) == 4
    assert min(found.values()) >= SECOND // FRAME - LEARNED - 1


def test_a_region_without_a_grid_and_one_without_a_gate_are_computed_in_every_frame() -> None:
    """They need no comparison."""
    camera = Camera(0, WHOLE)
    assert not camera.coverage.compares
    for _ in range(LEARNED + 3):
        assert sorted(camera.frame()) == [0, 0, 1, 2, 3]


def test_a_picture_that_shows_nothing_confirms_nothing_and_leaves_no_verdict() -> None:
    """A dark picture that is like the last dark picture says nothing; nor do scores of it."""
    camera = Camera()
    camera.learn()
    levels = list(camera.levels)
    camera.levels = [0, 0, 0, 0]
    for _ in range(2):
        assert sorted(camera.frame(2, Quality.BAD)) != []
        assert camera.coverage.looks("web") == []
    assert camera.ages() == [None] * 4
    camera.levels = levels
    assert sorted(camera.frame()) == [0, 1, 2, 3]


def test_an_uncertain_verdict_is_made_again_once_pictures_are_good() -> None:
    """Not before."""
    camera = Camera()
    camera.learn()
    camera.levels[2] = 200
    assert camera.frame(quality=Quality.UNCERTAIN) == [2]
    assert camera.frame(quality=Quality.UNCERTAIN) == []
    assert camera.frame() == [2]


def test_a_turn_that_fails_leaves_no_verdict() -> None:
    """The tile had its turn; until it has scores again nothing is known of it."""
    camera = Camera()
    camera.learn()
    camera.levels[1] = 200
    camera.now += FRAME
    (key,) = camera.coverage.frame(camera.now, Quality.GOOD, camera.blocks())
    camera.coverage.begin(key)
    assert camera.coverage.looks("web")[1] is None
    assert camera.frame() == [1]


def test_what_was_seen_before_a_camera_was_away_is_forgotten() -> None:
    """What a later frame showed stays."""
    camera = Camera()
    camera.learn()
    camera.coverage.lose(camera.now)
    assert camera.ages() == [0] * 4
    camera.coverage.lose(camera.now + 1)
    assert camera.ages() == [None] * 4
    assert sorted(camera.frame()) == [0, 1, 2, 3]


@pytest.mark.parametrize("fitting", [1, 2, 3])
@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=30))
def test_no_verdict_becomes_older_than_the_bound(fitting: int, changes: list[list[int]]) -> None:
    """Whatever changes, and whatever is due: each tile is seen in every ceil(n / k) frames."""
    camera = Camera(refresh=SECOND)
    camera.learn()
    for number, changed in enumerate(changes):
        for tile in changed:
            camera.levels[tile] = (camera.levels[tile] + 60 + number) % 200
        camera.frame(fitting)
        assert all(age is not None and age < frames_between(4, fitting) for age in camera.ages())


@pytest.mark.realdata
@pytest.mark.skipif(not CLIP.exists(), reason="EDGE_DATA does not lead to the bottle clip")
def test_a_real_clip_is_judged_as_by_full_computation_with_a_fraction_of_the_work(tmp_path: Path) -> None:
    """Hands take bottles off a table: 32 tiles, and how blue, green and red each is, with the gate and of every tile of every frame."""
    colour_bundle(tmp_path / "colours")
    bundle = open_bundle(tmp_path / "colours")
    engine = load_engine(bundle)
    web = Region("web", grid=Grid(8, 4, 0.0, 600 * SECOND))
    stage, coverage = Preprocessor(bundle.manifest.frame_input, regions=(web,)), Coverage((web,))
    clip, computed, frames = cv2.VideoCapture(str(CLIP)), 0, 90
    for now in range(frames):
        rgb = np.ascontiguousarray(clip.read()[1][:, :, ::-1])
        full = [engine.run(stage.fit(rgb, tile)) for tile in web.tiles]
        for key in coverage.frame(now, Quality.GOOD, stage.blocks(rgb)):
            coverage.begin(key)
            coverage.done(key, list(full[key[1]]), 1)
            computed += 1
        for look, scores in zip(coverage.looks("web"), full, strict=True):
            assert look is not None
            assert np.abs(np.array(look.scores) - scores).max() <= 0.04, "six hundredths of light are no change"
    assert computed < 32 * frames / 3
