"""Ground surfaces are drawn from their random numbers alone, with masks where the defects are."""

from __future__ import annotations

import numpy as np
import pytest

from examples.training.common.textures import DEFECTS, draw


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_shows_where_its_mask_is(defect: str) -> None:
    """Every defect leaves a mask that is neither empty nor everything in most drawings."""
    shares = [draw(np.random.default_rng(seed), frozenset({defect}), 96).masks[defect].mean() for seed in range(6)]
    assert sum(0 < share < 0.9 for share in shares) >= 5


def test_the_same_numbers_give_the_same_picture() -> None:
    """A drawing is a function of its random numbers."""
    first, second = (draw(np.random.default_rng(5), frozenset({"crack", "hole"}), 96) for _ in range(2))
    assert np.array_equal(first.image, second.image)


def test_surfaces_are_grey() -> None:
    """The three channels are equal, as from a monochrome camera."""
    image = draw(np.random.default_rng(1), frozenset(), 96).image
    assert image.shape == (96, 96, 3)
    assert (image[..., 0] == image[..., 2]).all()


def test_an_unknown_defect_is_refused() -> None:
    """A misspelt defect is an error that names the known ones."""
    with pytest.raises(KeyError, match="known are"):
        draw(np.random.default_rng(0), frozenset({"hoal"}), 96)
