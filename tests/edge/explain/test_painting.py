"""A picture goes out small enough or not at all."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.explain.painting import QUALITIES, Found, Painter
from edge.explain.where import WHOLE, Place
from edge.frame import Frame
from edge.inference.preprocess import Preprocessor, decode_rgb, encode_jpeg
from edge.manifest import InputSpec
from tests.edge.explain.test_heatmap import finished

FOUND = Found(np.eye(6), WHOLE, Place("middle", 0.5, 0.5))
STAGE = Preprocessor(InputSpec.model_validate({"name": "frame", "width": 32, "height": 32, "resize": "stretch"}))
NOISE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)


def frame(picture: NDArray[np.uint8] = NOISE) -> Frame:
    """A picture of a camera."""
    return Frame("cam", 1, encode_jpeg(picture), 0, 0, 0)


def painter(max_bytes: int, longest_px: int = 160) -> Painter:
    """For one camera."""
    return Painter({"cam": STAGE}, encode_jpeg, longest_px, max_bytes)


def test_the_longest_edge_is_bounded_and_what_is_said_of_it_is_true() -> None:
    """Decoded, it is as large as it says; its hash is its own."""
    painted = finished(painter(1_000_000).paint(frame(), FOUND))
    assert painted is not None
    assert decode_rgb(painted.jpeg).shape == (120, 160, 3)
    assert (painted.about.width, painted.about.height) == (160, 120)
    assert painted.about.size_bytes == len(painted.jpeg)
    assert painted.about.sha256 == hashlib.sha256(painted.jpeg).hexdigest()


@pytest.mark.parametrize("too_fine", range(len(QUALITIES)))
def test_it_is_encoded_more_coarsely_until_it_fits(too_fine: int) -> None:
    """The finest quality that fits is taken."""
    sizes = [len(encode_jpeg(decode_rgb(_at(quality)), quality)) for quality in QUALITIES]
    assert sizes == sorted(sizes, reverse=True)
    painted = finished(painter(len(_at(QUALITIES[too_fine]))).paint(frame(), FOUND))
    assert painted is not None
    assert painted.jpeg == _at(QUALITIES[too_fine])


def _at(quality: int) -> bytes:
    whole = Painter({"cam": STAGE}, lambda picture, _: encode_jpeg(picture, quality), 160, 1_000_000)
    painted = finished(whole.paint(frame(), FOUND))
    assert painted is not None
    return painted.jpeg


def test_what_never_fits_is_given_up() -> None:
    """After the coarsest."""
    steps = painter(500).paint(frame(), FOUND)
    assert [*dict.fromkeys(steps)] == ["preview", "draw", "encode"]
    assert finished(painter(500).paint(frame(), FOUND)) is None


def test_only_cameras_that_may_be_shown_are() -> None:
    """By name."""
    assert painter(500).may("cam")
    assert not painter(500).may("door")
