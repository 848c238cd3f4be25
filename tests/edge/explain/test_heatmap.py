"""Heat lies where the fault is in the picture that people know, whatever part of it the graph saw."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.explain import heatmap, where
from edge.explain.where import WHOLE, Place, Window
from edge.inference.preprocess import Preprocessor, encode_jpeg
from edge.manifest import InputSpec

Result = TypeVar("Result")
MIDDLE = Place("middle", 0.5, 0.5)


def finished(steps: Generator[str, None, Result]) -> Result:
    """What comes of steps when nothing comes between."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: Result = end.value
            return result


def drawn(
    picture: NDArray[np.uint8], warmth: NDArray[np.float64], window: Window = WHOLE, spot: Place | None = MIDDLE
) -> NDArray[np.uint8]:
    """A finished heat map."""
    return finished(heatmap.draw(picture, warmth, window, spot))


def one_hot(grid: int, row: int, column: int) -> NDArray[np.float64]:
    """All the heat in one place."""
    warmth = np.zeros((grid, grid))
    warmth[row, column] = 1.0
    return warmth


def noise(height: int, width: int) -> NDArray[np.uint8]:
    """A picture of many colours."""
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def bright_spot(width: int, height: int, x: float, y: float) -> NDArray[np.uint8]:
    """A grey picture with a bright disc, of the same size in px whatever the picture's form, at shares of its width and height."""
    rows, columns = np.mgrid[0:height, 0:width]
    bright = np.hypot(rows - y * height, columns - x * width) < 0.07 * min(width, height)
    return np.repeat((60 + 180 * bright).astype(np.uint8)[:, :, None], 3, axis=2)


def brightness(tensor: NDArray[np.uint8]) -> float:
    """A detector of bright spots, as a score."""
    return float(1 / (1 + np.exp(4 - 400 * (tensor > 150).mean())))


@pytest.mark.parametrize("window", [WHOLE, Window(0.25, 0.0, 0.5, 1.0), Window(0.0, 0.2, 1.0, 0.6)])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 4), (5, 1), (5, 5)])
def test_the_hottest_point_is_inside_its_place(row: int, column: int, window: Window) -> None:
    """Of a picture of 200 x 120, seen whole or through a window; beside the window nothing is hot."""
    levels = heatmap.spread(one_hot(6, row, column), window, 120, 200)
    y, x = (np.argwhere(levels == levels.max()).mean(axis=0) + 0.5) / levels.shape
    assert int((x - window.left) / window.width * 6) == column
    assert int((y - window.top) / window.height * 6) == row
    ys, xs = (np.nonzero(levels)[axis] / levels.shape[axis] for axis in (0, 1))
    assert xs.min() >= window.left - 0.01
    assert xs.max() <= window.left + window.width
    assert ys.min() >= window.top - 0.01
    assert ys.max() <= window.top + window.height


@pytest.mark.parametrize("resize", ["stretch", "centre_crop"])
@pytest.mark.parametrize(("width", "height"), [(640, 360), (360, 640), (400, 400)])
@pytest.mark.parametrize(("x", "y"), [(0.4, 0.4), (0.62, 0.5), (0.5, 0.66)])
def test_what_was_covered_in_the_tensor_is_hot_in_the_picture(
    x: float, y: float, width: int, height: int, resize: str
) -> None:
    """From picture to tensor, to scores, and back over the small picture: the heat lies on the bright spot, and the named point in it."""
    spec = InputSpec.model_validate({"name": "frame", "width": 96, "height": 96, "resize": resize})
    stage = Preprocessor(spec)
    encoded = encode_jpeg(bright_spot(width, height, x, y), 95)
    tensor, window = stage.prepare(encoded), Window(*stage.shown(encoded))
    scores = [[brightness(where.cover(tensor, 6, row, column)) for column in range(6)] for row in range(6)]
    warmth = where.heat(brightness(tensor), np.array(scores))
    assert warmth is not None
    place = where.middle(warmth, window)
    reach = 1.2 * max(window.width, window.height) / 6
    assert np.hypot(place.x - x, place.y - y) < reach
    small = stage.preview(encoded, 320)
    levels = heatmap.spread(warmth, window, *small.shape[:2])
    assert levels[round(y * small.shape[0]), round(x * small.shape[1])] > 128
    changed = np.abs(drawn(small, warmth, window, None).astype(int) - small).sum(axis=2)
    ys, xs = np.nonzero(changed > 60)
    assert np.hypot(xs.mean() / small.shape[1] - x, ys.mean() / small.shape[0] - y) < reach


def test_the_fault_is_seen_through_its_paint_and_the_rest_is_grey() -> None:
    """Where it is hottest two pictures still differ nearly as much as they did; where it is cold colours are gone and forms are not."""
    picture = noise(200, 200)
    painted = drawn(picture, one_hot(5, 2, 2), spot=None).astype(int)
    hot, cold = (slice(92, 108), slice(92, 108)), (slice(0, 30), slice(0, 30))
    assert 0.5 < painted[hot].std(axis=(0, 1)).mean() / picture[hot].std(axis=(0, 1)).mean() < 0.8
    assert painted[hot].mean(axis=(0, 1))[0] > painted[hot].mean(axis=(0, 1))[1] + 40, "red"
    assert np.ptp(painted[cold], axis=2).max() == 0
    assert np.corrcoef(painted[cold][..., 0].ravel(), picture[cold].mean(axis=2).ravel())[0, 1] > 0.8


def test_the_picture_itself_is_left_as_it_was() -> None:
    """The frame may be wanted again."""
    picture = noise(60, 80)
    before = picture.copy()
    drawn(picture, one_hot(4, 1, 1))
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (64, 64), (31, 33)])
@pytest.mark.parametrize("spot", [None, Place("upper left", 0.0, 0.0), Place("lower right", 1.0, 1.0)])
def test_any_picture_can_be_drawn_on(size: tuple[int, int], spot: Place | None) -> None:
    """However small or thin, with the mark over its edge, with one place or many, hot everywhere or on one point."""
    for warmth in (np.ones((1, 1)), np.ones((6, 6)), one_hot(16, 15, 15)):
        painted = drawn(noise(*size), warmth, spot=spot)
        assert painted.shape == (*size, 3)
        assert painted.dtype == np.uint8


def test_the_spot_is_marked_where_the_sentence_says() -> None:
    """A ring round it, open in the middle, so that what it points at is seen."""
    picture = np.full((300, 400, 3), 100, np.uint8)
    plain, marked = (drawn(picture, np.ones((4, 4)), spot=spot) for spot in (None, Place("right", 0.75, 0.5)))
    rows, columns = np.nonzero((plain != marked).any(axis=2))
    assert (round(columns.mean()), round(rows.mean())) in {(299, 149), (300, 150), (299, 150), (300, 149)}
    assert np.array_equal(plain[145:155, 295:305], marked[145:155, 295:305])


def test_no_step_of_drawing_takes_many_pixels() -> None:
    """Nothing stops a step, so large pictures have more of them and not longer ones."""
    small, large = (
        len(list(heatmap.draw(noise(*size), np.ones((6, 6)), WHOLE, None))) for size in ((480, 640), (1080, 1920))
    )
    assert small == 6
    assert large > 5 * small - 12
