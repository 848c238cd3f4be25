"""Textures are repeatable and fill any shape."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from examples.line import textures

KINDS = ("clouds", "brushed", "turned", "cast", "smooth", "orange_peel", "belt", "fixture", "mesh", "tray")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(12, 30), (192, 192), (480, 640), (900, 700)])
def test_a_crop_has_the_asked_shape_and_structure(kind: str, shape: tuple[int, int]) -> None:
    """Every texture gives float32 of the asked shape, finite and not flat."""
    piece = textures.crop(kind, Random(1), shape, 0.6)
    assert piece.shape == shape
    assert piece.dtype == np.float32
    assert np.isfinite(piece).all()
    assert piece.std() > 0.05


def test_a_crop_depends_only_on_the_random_numbers() -> None:
    """The same state gives the same piece, another state another."""
    first, again = (textures.crop("cast", Random(5), (64, 64), 0.4) for _ in range(2))
    other = textures.crop("cast", Random(6), (64, 64), 0.4)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_unknown_texture_is_refused() -> None:
    """A misspelt name does not silently give a flat surface."""
    with pytest.raises(KeyError):
        textures.grain("velvet")


def test_sensor_noise_is_centred() -> None:
    """Noise does not change the brightness of a picture."""
    assert abs(float(textures.sensor_noise().mean()) - 128) < 0.7
