"""What has nothing to do with a fault is told of each picture, and only what differs between pictures."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge.inference.preprocess import encode_jpeg
from exporters.pictures.circumstances import circumstances, taken


def grey(*levels: int, side: int = 64) -> NDArray[np.uint8]:
    """Pictures [n, side, side, 3] of one level each, with the same grain."""
    grain = np.random.default_rng(0).integers(0, 9, (side, side, 1))
    return np.stack([np.clip(level + grain, 0, 255).astype(np.uint8).repeat(3, axis=2) for level in levels])


def png(frame: NDArray[np.uint8]) -> bytes:
    """The picture as PNG."""
    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, "png")
    return stream.getvalue()


def test_light_and_contrast_follow_the_picture() -> None:
    """A lighter picture has more mean light; contrast is the same grain."""
    frames = grey(20, 120, 220)
    found = circumstances([encode_jpeg(frame) for frame in frames], ["a.jpg", "b.jpg", "c.jpg"], frames)
    assert np.allclose(np.diff(found["mean light"][:, 0]), 100, atol=1)
    assert np.allclose(np.diff(found["light at the rim"][:, 0]), 100, atol=1)
    assert found["mean colour"].shape == (3, 3)
    assert "picture size" not in found
    assert "file type" not in found
    assert "day" not in found


def test_light_of_the_background_alone_is_seen() -> None:
    """A bright rim around the same middle."""
    frames = grey(100, 100)
    frames[1, :8] = frames[1, -8:] = 250
    found = circumstances([png(frame) for frame in frames], ["a.png", "b.png"], frames)
    assert found["light at the rim"][1, 0] > found["light at the rim"][0, 0] + 40


def test_files_differ_by_kind_ending_and_size() -> None:
    """PNG beside JPEG, .JPG beside .jpg, and pictures of two sizes."""
    frames = grey(90, 90, 90)
    encoded = [png(frames[0]), encode_jpeg(frames[1]), encode_jpeg(grey(90, side=96)[0])]
    found = circumstances(encoded, ["a.png", "b.jpg", "c.JPG"], frames)
    assert found["file type"].tolist() in ([[a, b, c] for a, b, c in np.eye(3)[order]] for order in permutations())
    assert found["picture size"][2, 0] > found["picture size"][1, 0]
    assert len(set(found["file size"][:, 0])) == 3


def permutations() -> list[list[int]]:
    """Orders of three columns."""
    return [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("cam/20261130T201500Z-01.jpg", datetime(2026, 11, 30, 20, 15, tzinfo=UTC)),
        ("2026-11-30_20-15-07.png", datetime(2026, 11, 30, 20, 15, tzinfo=UTC)),
        ("line 2026.11.30.jpg", datetime(2026, 11, 30, tzinfo=UTC)),
        ("20261399.jpg", None),
        ("20260230T1200.jpg", None),
        ("part-1.jpg", None),
        ("120261130.jpg", None),
    ],
)
def test_the_time_of_a_name_is_read(name: str, moment: datetime | None) -> None:
    """Dates with and without an hour; a number that is no date is none."""
    assert taken(b"", name) == moment


def test_the_time_of_the_camera_goes_before_that_of_the_name() -> None:
    """EXIF says when the picture was taken; a file without it is judged by its name."""
    image, stream = Image.new("RGB", (32, 32)), io.BytesIO()
    exif = Image.Exif()
    exif[306] = "2026:01:02 03:04:05"
    image.save(stream, "jpeg", exif=exif)
    assert taken(stream.getvalue(), "20261130.jpg") == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def test_day_and_hour_count_only_where_every_picture_tells_them() -> None:
    """Night and day shift lie apart on the clock; one picture without a time leaves both out."""
    frames = grey(80, 81)
    encoded = [encode_jpeg(frame) for frame in frames]
    found = circumstances(encoded, ["20261130T0300.jpg", "20261129T1500.jpg"], frames)
    assert np.allclose(found["hour"][0], -found["hour"][1])
    assert found["day"][0, 0] - found["day"][1, 0] == 1
    assert not {"day", "hour"} & set(circumstances(encoded, ["20261130T0300.jpg", "b.jpg"], frames))
