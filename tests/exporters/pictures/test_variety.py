"""What a set of normal pictures lacks is said in a sentence, and nothing is said of a good one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.inference.preprocess import encode_jpeg
from exporters.pictures.images import synthetic_frames
from exporters.pictures.variety import notes


def _encoded(frames: NDArray[np.uint8]) -> list[bytes]:
    return [encode_jpeg(np.asarray(frame)) for frame in frames]


def test_varied_pictures_of_one_size_lack_nothing() -> None:
    """Also where the size differs and the shape does not."""
    frames = synthetic_frames(6, 48, 64, 0)
    halves = [encode_jpeg(np.ascontiguousarray(frame[::2, ::2])) for frame in frames[:3]]
    assert notes([*halves, *_encoded(frames[3:])], frames) == ()


def test_one_picture_is_told() -> None:
    """It works, and says what it is worth."""
    frames = synthetic_frames(1, 48, 64, 0)
    (said,) = notes(_encoded(frames), frames)
    assert said.startswith("ONE PICTURE")
    assert "Add normal images" in said


def test_mixed_shapes_are_told_with_the_extremes() -> None:
    """They would be stretched differently."""
    frames = synthetic_frames(4, 48, 64, 0)
    tall = [encode_jpeg(np.ascontiguousarray(frame[:, :20])) for frame in frames[:1]]
    (said,) = notes([*tall, *_encoded(frames[1:])], frames)
    assert said.startswith("MIXED SIZES: the normal images have 2 sizes, from 20 x 48 to 64 x 48 px")


def test_pictures_that_are_all_alike_are_told() -> None:
    """One scene with a little noise is one view."""
    scene = synthetic_frames(1, 48, 64, 0)[0]
    frames = np.stack([np.clip(scene.astype(int) + shift, 0, 255).astype(np.uint8) for shift in (0, 1, 2)])
    (said,) = notes(_encoded(frames), frames)
    assert said.startswith("ALL ALIKE: the 3 normal images")


def test_bytes_that_are_no_picture_are_left_to_those_who_refuse_them() -> None:
    """Their size is not asked for."""
    frames = synthetic_frames(2, 48, 64, 0)
    assert notes([b"nothing", *_encoded(frames[1:])], frames) == ()
