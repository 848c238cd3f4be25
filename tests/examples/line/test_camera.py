"""The camera lights, covers, blurs and adds noise as it is told, and repeats itself exactly."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from examples.line import camera
from examples.line.camera import Light
from examples.line.canvas import Canvas, Pose
from examples.line.textures import Bytes


def _picture(light: Light) -> Bytes:
    canvas = Canvas(160, 120, (90, 90, 90), Pose(80, 60, 40))
    canvas.disc((0, 0), 1.0, (150, 150, 150), 140)
    canvas.settle()
    return camera.expose(canvas, light, 0.5, Random(1), shadow_band=False)


def _sharpness(image: Bytes) -> float:
    return float(np.abs(np.diff(image.astype(np.float32), axis=1)).max())


def test_brightness_and_warmth_follow_the_light() -> None:
    """A brighter lamp gives a brighter picture, a warm one more red than blue."""
    dark, bright = _picture(Light(brightness=0.6)), _picture(Light(brightness=1.2))
    assert bright.mean() > 1.7 * dark.mean()
    warm = _picture(Light(warmth=1.0))
    assert warm[..., 0].mean() > 1.2 * warm[..., 2].mean()


def test_edges_towards_the_lamp_are_brighter() -> None:
    """Light from the left makes the left edge of a raised disc bright, light from the right the right one."""
    left, right = _picture(Light(angle_deg=180, uneven=0)), _picture(Light(angle_deg=0, uneven=0))
    assert left[60, 38:43].max() > left[60, 117:122].max() + 20
    assert right[60, 117:122].max() > right[60, 38:43].max() + 20


@pytest.mark.parametrize("place", sorted(camera.BLOCK_PLACES))
def test_a_blocked_lens_covers_its_place(place: str) -> None:
    """A good part of the view is lost, on the named side, and only inside the mask."""
    image = np.random.default_rng(1).integers(60, 250, (120, 160, 3), dtype=np.uint8)
    for seed in range(8):
        covered, mask = camera.blocked_lens(image, Random(seed), place, 0.5)
        rows, columns = np.nonzero(mask)
        x0, y0 = camera.BLOCK_PLACES[place]
        assert mask.mean() / 255 > 0.12
        assert (columns.mean() / 80 - 1) * x0 >= 0
        assert (rows.mean() / 60 - 1) * y0 >= 0
        assert np.abs(covered.astype(int) - image)[mask == 0].max() <= 3


def test_defocus_and_motion_take_away_detail() -> None:
    """Both blur; motion only along the belt; no motion is no change."""
    image = _picture(Light())
    assert _sharpness(camera.defocus(image, 0.5)) < 0.5 * _sharpness(image)
    assert _sharpness(camera.motion(image, 9.0)) < 0.6 * _sharpness(image)
    assert camera.motion(image, 0.4) is image


@pytest.mark.parametrize("std", [1.0, 6.0])
def test_noise_has_the_asked_strength(std: float) -> None:
    """The standard deviation is in grey levels, and pictures larger than the noise tile work too."""
    for shape in ((120, 160, 3), (1000, 1300, 3)):
        noisy = camera.add_noise(np.full(shape, 128, np.uint8), Random(3), std)
        assert float(noisy.std()) == pytest.approx(std, rel=0.12)
        assert abs(float(noisy.mean()) - 128) < 0.7
