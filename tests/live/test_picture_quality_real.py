"""Tests of edge.inference.picture_quality on real frames: a real video and a real machine are trusted, and are not once frozen, dark, blurred or covered."""

from __future__ import annotations

import copy
from itertools import islice

import numpy as np
import pytest

from benchmarks.material import DATA
from benchmarks.path.picture_quality import (
    LEARN_NS,
    PREPARE,
    SPOILS,
    STALE_NS,
    clip_frames,
    freeze_s,
    spindle_frames,
    trouble_of,
)
from edge.frame import Quality, Trouble
from edge.inference.picture_quality import REMEMBERED, PictureMonitor
from edge.inference.preprocess import decode_rgb, encode_jpeg
from edge.site.inputs import PictureSettings

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not (DATA / "bsdata_ballscrew").is_dir(), reason="EDGE_DATA does not lead to the real data"),
]
SOURCES = {
    "video": lambda: islice(clip_frames(), 0, 4 * (REMEMBERED + 20), 4),
    "machine": lambda: islice(spindle_frames(), REMEMBERED + 20),
}
EXPECTED = {
    "dark, light x 0.05": {Trouble.DARK},
    "blur, sigma 4 px": {Trouble.BLURRED},
    "blur, sigma 6 px": {Trouble.BLURRED},
    "black cover, 50 %": {Trouble.COVERED},
    "black cover, 75 %": {Trouble.COVERED},
    "hand-like cover, 75 %": {Trouble.COVERED},
}


@pytest.fixture(scope="module", params=SOURCES)
def camera(request: pytest.FixtureRequest) -> tuple[PictureMonitor, list[bytes]]:
    """A lens that saw a camera's first frames and trusted each of them, and the frames."""
    frames = list(SOURCES[request.param]())
    lens = PictureMonitor(PictureSettings(), STALE_NS)
    assert {lens.assess(PREPARE(encoded), index * LEARN_NS) for index, encoded in enumerate(frames)} == {Quality.GOOD}
    return lens, frames


@pytest.mark.parametrize("what", EXPECTED)
def test_a_spoiled_stream_is_noticed_in_three_frames(camera: tuple[PictureMonitor, list[bytes]], what: str) -> None:
    """What a lens can suffer is noticed at the third frame, by its right name, whichever side it comes from."""
    lens, frames = camera
    for seed in range(3):
        spoiled, now_ns = copy.deepcopy(lens), 10**12
        for count in range(3):
            rgb = SPOILS[what](decode_rgb(frames[REMEMBERED + count]), np.random.default_rng(seed))
            quality = spoiled.assess(PREPARE(encode_jpeg(rgb, 85)), now_ns + count)
        assert (quality, trouble_of(spoiled, now_ns + 3)) == (Quality.BAD, EXPECTED[what])


def test_a_repeated_frame_is_a_freeze_after_two_seconds(camera: tuple[PictureMonitor, list[bytes]]) -> None:
    """The same bytes again and again are a freeze after the default 2 s."""
    lens, frames = camera
    assert freeze_s(lens, frames[0]) == pytest.approx(2.0, abs=0.05)
