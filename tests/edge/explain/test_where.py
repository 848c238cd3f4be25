"""Where a fault shows is where covering the picture takes the score away."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.explain import where


def spot(x: float, y: float, size: int = 96) -> NDArray[np.uint8]:
    """A dark picture with a bright spot at shares of its width and height."""
    rows, columns = np.mgrid[0:size, 0:size] / size
    bright = ((rows - y) ** 2 + (columns - x) ** 2) < 0.06**2
    return np.repeat((20 + 220 * bright).astype(np.uint8)[None, :, :, None], 3, axis=3)


def brightness(tensor: NDArray[np.uint8]) -> float:
    """A detector of bright spots: the share of bright pixels, as a score."""
    return float(1 / (1 + np.exp(4 - 400 * (tensor > 128).mean())))


def look(tensor: NDArray[np.uint8], grid: int) -> where.Place | None:
    """Cover place by place and find."""
    scores = np.array(
        [[brightness(where.cover(tensor, grid, row, column)) for column in range(grid)] for row in range(grid)]
    )
    return where.find(brightness(tensor), scores)


@pytest.mark.parametrize("grid", [4, 6, 8])
@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (0.15, 0.15, "upper left"), (0.5, 0.1, "top"), (0.85, 0.2, "upper right"), (0.1, 0.5, "left"), (0.5, 0.5, "middle"),
        (0.9, 0.5, "right"), (0.2, 0.9, "lower left"), (0.5, 0.9, "bottom"), (0.8, 0.8, "lower right"),
    ],
)  # fmt: skip
def test_a_spot_is_found_and_named(x: float, y: float, words: str, grid: int) -> None:
    """In every part of the picture, within a cell of where it is."""
    found = look(spot(x, y), grid)
    assert found is not None
    assert found.words == words
    assert np.hypot(found.x - x, found.y - y) < 1.2 / grid


def test_a_score_that_nothing_moves_is_nowhere() -> None:
    """A fault of the whole picture, or a graph that does not look, has no place; nor has one whose scores are not numbers."""
    assert where.find(0.9, np.full((6, 6), 0.9)) is None
    assert where.find(0.9, np.full((6, 6), 0.95)) is None
    assert where.find(0.9, np.full((6, 6), np.nan)) is None
    assert where.find(1.0, np.full((4, 4), 1.0)) is None


def test_a_cover_hides_its_place_and_nothing_else() -> None:
    """Under the cover is the picture's mean colour, far from it the picture itself; the picture is not changed in place."""
    tensor = np.random.default_rng(0).integers(0, 256, (1, 60, 80, 3), np.uint8)
    before = tensor.copy()
    hidden = where.cover(tensor, 4, 0, 3)
    assert np.array_equal(tensor, before)
    assert hidden[0, 4:10, 66:76].std() < 2.0
    assert np.array_equal(hidden[0, 30:, :], tensor[0, 30:, :])
    assert np.array_equal(hidden[0, :, :40], tensor[0, :, :40])


def test_through_a_window_the_point_is_one_of_the_picture() -> None:
    """Where the graph sees the middle of a wide picture only, its upper left corner is not the picture's."""
    scores = np.full((4, 4), 0.9)
    scores[0, 0] = 0.2
    assert where.find(0.9, scores) == where.Place("upper left", 0.125, 0.125)
    assert where.find(0.9, scores, where.Window(0.3, 0.0, 0.4, 1.0)) == where.Place("top", 0.35, 0.125)


def test_heat_is_what_the_score_loses() -> None:
    """1 where it loses most, 0 where no more than in most places."""
    scores = np.full((4, 4), 0.9)
    scores[1, 2], scores[1, 3] = 0.1, 0.5
    warmth = where.heat(0.9, scores)
    assert warmth is not None
    assert (warmth.max(), warmth[1, 2], warmth[0, 0]) == (1.0, 1.0, 0.0)
    assert 0.4 < warmth[1, 3] < 0.6


def test_of_two_hot_places_each_is_named_and_not_the_middle_between_them() -> None:
    """Two faults in opposite corners: both are said, and the point lies in the hotter one; more than two are counted."""
    warmth = np.zeros((6, 6))
    warmth[0, 0], warmth[5, 5] = 1.0, 0.9
    assert where.middle(warmth, where.WHOLE) == where.Place("upper left and lower right", 0.083, 0.083)
    warmth[0, 5] = 0.8
    assert where.middle(warmth, where.WHOLE).words == "upper left and 2 other places"


def test_a_faint_second_place_is_not_named() -> None:
    """A large place with a small echo elsewhere is one place."""
    warmth = np.zeros((6, 6))
    warmth[0:2, 0:2], warmth[5, 5] = 1.0, 0.9
    assert where.middle(warmth, where.WHOLE).words == "upper left"
