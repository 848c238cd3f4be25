"""What decoders paint over damage is seen in the picture, and nothing of it in pictures that only look so."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.errors import RejectedInput
from edge.frame import Quality
from edge.inference.picture_damage import Torn, as_before, jump_row, repeated_rows, repeated_share
from edge.inference.picture_quality import REPEATED_SHARE, PictureMonitor
from edge.inference.preprocess import Preprocessor, encode_jpeg
from edge.manifest import InputSpec
from edge.site.inputs import PictureSettings

MS = 1_000_000
STAGE = Preprocessor(InputSpec(name="frame", width=224, height=224, resize="stretch"))


@cache
def scene() -> NDArray[np.float32]:
    """480x640 px of soft shapes, the same for every picture and therefore drawn once."""
    fixed = np.random.default_rng(99)
    rows, columns = np.mgrid[0:480, 0:640].astype(np.float32)
    picture = np.zeros((480, 640, 3), np.float32) + 90
    for _ in range(40):
        y, x, size = fixed.uniform(0, 480), fixed.uniform(0, 640), fixed.uniform(10, 80)
        picture += fixed.uniform(-60, 60, 3) * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / size**2)[..., None]
    return picture


def view(seed: int = 0, light: float = 1.0) -> NDArray[np.uint8]:
    """The scene with the noise of a sensor that differs with the seed."""
    noise = np.random.default_rng(seed).normal(0, 2, scene().shape)
    return np.clip(scene() * light + noise, 0, 255).astype(np.uint8)


def smeared(rgb: NDArray[np.uint8], start: int, end: int = 480) -> NDArray[np.uint8]:
    """One row again and again."""
    spoiled = rgb.copy()
    spoiled[start:end] = spoiled[start - 1]
    return spoiled


def shifted(rgb: NDArray[np.uint8], start: int, amount: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Another level from a row on."""
    spoiled = rgb.astype(np.int16)
    spoiled[start:] += np.array(amount, np.int16)
    return np.clip(spoiled, 0, 255).astype(np.uint8)


def tensor(rgb: NDArray[np.uint8], quality: int = 85) -> NDArray[np.uint8]:
    """As the daemon gets it: encoded again behind the decoder that hid the damage."""
    return STAGE.prepare(encode_jpeg(rgb, quality))


@pytest.mark.parametrize(("start", "end"), [(240, 480), (400, 480), (60, 480), (200, 300)])
@pytest.mark.parametrize("quality", [60, 85, 95])
def test_a_smear_is_seen_wherever_it_is(start: int, end: int, quality: int) -> None:
    """The lower half, a strip at the bottom, nearly everything, a band in the middle; encoded again, well or badly."""
    share = repeated_share(tensor(smeared(view(), start, end), quality))
    assert share >= REPEATED_SHARE
    assert share == pytest.approx((end - start) / 480, abs=0.06)


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_a_sound_picture_repeats_no_row(quality: int) -> None:
    """Neither a scene, nor an even wall, nor black, nor vertical bars with a sensor's noise."""
    bars = np.repeat(np.arange(640) // 40 % 2 * 80 + 60, 3).reshape(1, 640, 3) + np.zeros((480, 1, 1))
    noise = np.random.default_rng(1).normal(0, 2, (480, 640, 3))
    for rgb in (view(), np.full((480, 640, 3), 120), np.zeros((480, 640, 3)), np.clip(bars + noise, 0, 255)):
        assert repeated_share(tensor(rgb.astype(np.uint8), quality)) < REPEATED_SHARE


@pytest.mark.parametrize("amount", [(12, 12, 12), (-20, -20, -20), (0, 0, 15), (25, -10, 0)])
@pytest.mark.parametrize("start", [96, 240, 400])
def test_a_jump_of_level_or_tint_is_seen(start: int, amount: tuple[int, int, int]) -> None:
    """From a row on everything differs by one amount from the frame before."""
    row = jump_row(tensor(shifted(view(1), start, amount)), tensor(view(2)))
    assert row == pytest.approx(start * 224 / 480, abs=5)


def test_light_and_things_are_no_jump() -> None:
    """More light on everything, a lamp that lights the lower half unevenly, a thing that comes from below."""
    before = tensor(view(1))
    lamp = view(2).astype(np.float32)
    lamp[240:] *= np.linspace(1.0, 1.6, 240)[:, None, None]
    thing = view(3)
    thing[300:, 50:600] = np.random.default_rng(5).integers(0, 255, (180, 550, 3), np.uint8)
    for rgb in (view(4), view(5, light=1.2), np.clip(lamp, 0, 255).astype(np.uint8), thing):
        assert jump_row(tensor(rgb), before) is None


def test_a_damaged_frame_is_refused_and_teaches_nothing() -> None:
    """The lens refuses it, the next good frame is good, and a site can turn the check off."""
    lens = PictureMonitor(PictureSettings(), 2000 * MS)
    assert lens.assess(tensor(view(0)), 0) is Quality.GOOD
    with pytest.raises(RejectedInput) as caught:
        lens.assess(tensor(smeared(view(1), 240)), 40 * MS)
    assert caught.value.reason == "damaged"
    assert lens.assess(tensor(view(2)), 80 * MS) is Quality.GOOD
    off = PictureMonitor(PictureSettings(damage=False), 2000 * MS)
    assert off.assess(tensor(smeared(view(1), 240)), 0) is Quality.GOOD


def test_a_jump_that_stays_is_the_light() -> None:
    """The second frame that shows the same is believed."""
    lens = PictureMonitor(PictureSettings(), 2000 * MS)
    lens.assess(tensor(view(0)), 0)
    with pytest.raises(RejectedInput):
        lens.assess(tensor(shifted(view(1), 240, (20, 20, 20))), 40 * MS)
    assert lens.assess(tensor(shifted(view(2), 240, (20, 20, 20))), 80 * MS) is Quality.GOOD


def test_a_fence_that_was_there_before_is_no_smear() -> None:
    """Rows that repeat where they always did are the scene: only news is damage."""
    before = tensor(smeared(view(0), 240))
    assert as_before(tensor(smeared(view(0), 240), 80), before, repeated_rows(before))
    assert not as_before(tensor(smeared(view(0), 100)), tensor(view(1)), slice(60, 224))


@cache
def usual(seed: int) -> NDArray[np.uint8]:
    """The scene as the daemon gets it, for tests that only look at it."""
    return tensor(view(seed))


def watched(frames: int = 14, head: int | None = None) -> Torn:
    """A camera that has shown its usual frames."""
    torn = Torn()
    for seed in range(1, frames):
        assert not torn.look(usual(seed), usual(seed - 1), head)
    return torn


def test_a_rest_that_is_moved_is_torn_and_its_next_frame_is_believed() -> None:
    """Blocks that slipped sideways down to the last row, under an upper part that is as it was."""
    slipped = view(20)
    slipped[200:] = np.roll(slipped[200:], 160, axis=1)
    torn = watched()
    assert torn.look(tensor(slipped), usual(13))
    assert not torn.look(tensor(slipped), tensor(slipped))


def test_what_moves_in_front_of_a_camera_is_not_torn() -> None:
    """A thing in the middle, a thing that takes half the width, more light on everything, another scene."""
    middle, half, other = view(20), view(21), view(23)[::-1, ::-1]
    middle[150:350, 100:500] = 200
    half[:, :320] = 40
    for rgb in (middle, half, view(22, light=1.3), other):
        assert not watched().look(tensor(np.ascontiguousarray(rgb)), usual(13))


def test_other_tables_and_another_whole_picture_are_damage_where_neither_ever_changed() -> None:
    """A picture decoded by damaged tables; with the usual tables it is the scene, with other tables and the usual scene a setting."""
    other = tensor(np.ascontiguousarray(view(23)[::-1, ::-1]))
    assert watched(head=1).look(other, usual(13), 2)
    assert not watched(head=1).look(other, usual(13), 1)
    assert not watched(head=1).look(tensor(view(24)), usual(13), 2)
