"""Tests of edge.inference.picture_quality: what a picture that cannot be trusted looks like, and what one odd frame must not do."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from edge.errors import RejectedInput
from edge.frame import Quality, Trouble, Verdict
from edge.inference.picture_quality import (
    LEARN_EVERY_NS,
    LEARNED,
    REMEMBERED,
    Baseline,
    Measures,
    PictureMonitor,
    covered,
    from_dict,
    measure,
    to_dict,
)
from edge.site.inputs import PictureSettings

MS = 1_000_000
Tensor = NDArray[np.uint8]


def _detailed(size: int) -> NDArray[np.float32]:
    """Detail of all sizes around a middle grey."""
    rng = np.random.default_rng(99)
    grey = np.full((size, size), 100.0)
    for step in (1, 2, 4, 8, 16):
        grey += np.kron(rng.normal(0.0, 14.0, (-(-size // step), -(-size // step))), np.ones((step, step)))[
            :size, :size
        ]
    return grey.astype(np.float32)


SIDE = 96
SCENE = _detailed(SIDE)


def scene(seed: int) -> Tensor:
    """A sharp picture with sensor noise; another seed is another moment of the same scene."""
    noisy = SCENE[..., None] + 2.0 * np.random.default_rng(seed).standard_normal((SIDE, SIDE, 3), np.float32)
    return np.clip(noisy, 0, 255).astype(np.uint8)[None]


def blurred(tensor: Tensor, times: int = 3) -> Tensor:
    """The picture through a box of 5 px, some times."""
    grey = tensor[0].astype(np.float32)
    for _ in range(times):
        for axis in (0, 1):
            grey = np.mean([np.roll(grey, shift, axis) for shift in range(-2, 3)], axis=0)
    return grey.astype(np.uint8)[None]  # type: ignore[no-any-return] # cv2 has no types


def half_black(tensor: Tensor) -> Tensor:
    """The upper half is covered."""
    spoiled = tensor.copy()
    spoiled[:, : tensor.shape[1] // 2] = 5
    return spoiled


class Eye:
    """A lens with its own time, a frame each 100 ms."""

    def __init__(self, usual: Baseline | None = None, standing: tuple[Trouble, ...] = (), **settings: object) -> None:
        self.lens = PictureMonitor(PictureSettings.model_validate(settings), 2000 * MS, usual, frozenset(standing))
        self.now_ns = 0
        self.count = 0

    def see(self, tensor: Tensor) -> Quality:
        """The next frame."""
        self.now_ns += LEARN_EVERY_NS
        return self.lens.assess(tensor, self.now_ns)

    def good(self, frames: int = 1) -> Quality:
        """The next good frames; the quality of the last."""
        for _ in range(frames):
            self.count += 1
            quality = self.see(scene(self.count))
        return quality

    def verdict(self, trouble: Trouble) -> Verdict:
        """What is known of a trouble now."""
        return self.lens.evidence(trouble, self.now_ns).verdict


@pytest.fixture
def eye() -> Eye:
    """A lens that has learned its scene."""
    eye = Eye()
    eye.good(REMEMBERED)
    return eye


SPOILED = {
    Trouble.DARK: lambda tensor: (tensor * 0.05).astype(np.uint8),
    Trouble.DAZZLED: lambda tensor: np.maximum(tensor, 250),
    Trouble.BLURRED: blurred,
    Trouble.COVERED: half_black,
}


@pytest.mark.parametrize("trouble", SPOILED)
def test_a_spoiled_picture_is_bad_by_its_own_name(eye: Eye, trouble: Trouble) -> None:
    """Three spoiled frames of five make the quality bad, raise that trouble and no other, and good frames end it."""
    qualities = [eye.see(SPOILED[trouble](scene(1000 + index))) for index in range(3)]
    assert qualities == [Quality.GOOD, Quality.GOOD, Quality.BAD]
    assert [item for item in Trouble if eye.verdict(item) is Verdict.FAULT] == [trouble]
    assert eye.good(3) is Quality.GOOD
    assert eye.verdict(trouble) is Verdict.OK


@pytest.mark.parametrize("trouble", SPOILED)
def test_odd_frames_change_nothing(eye: Eye, trouble: Trouble) -> None:
    """Two spoiled frames of five are no trouble, however often that happens."""
    for index in range(5):
        for spoiled in (SPOILED[trouble](scene(2000 + index)), SPOILED[trouble](scene(3000 + index))):
            assert eye.see(spoiled) is Quality.GOOD
        assert eye.good(3) is Quality.GOOD


def test_good_frames_are_good(eye: Eye) -> None:
    """Noise alone never makes a trouble, before and after learning."""
    assert all(eye.good() is Quality.GOOD for _ in range(200))
    assert all(eye.verdict(trouble) is Verdict.OK for trouble in Trouble)


def test_equal_pictures_freeze_by_time() -> None:
    """Exactly equal pictures are a freeze once they are as old as frozen_after_ms, and the first other one ends it."""
    eye = Eye(frozen_after_ms=500)
    still = scene(7777)
    assert [eye.see(still) for _ in range(6)] == [Quality.GOOD] * 5 + [Quality.STALE]
    assert eye.verdict(Trouble.FROZEN) is Verdict.FAULT
    assert eye.good() is Quality.GOOD
    assert eye.verdict(Trouble.FROZEN) is Verdict.OK


def test_two_equal_pictures_of_a_slow_camera_are_no_freeze() -> None:
    """A camera that sends a picture a minute is not frozen because two of them are equal."""
    lens = PictureMonitor(PictureSettings(), stale_after_ns=10**12)
    still = scene(1)
    assert [lens.assess(still, minute * 60_000 * MS) for minute in range(3)] == [
        Quality.GOOD,
        Quality.GOOD,
        Quality.STALE,
    ]


def test_one_changed_pixel_is_no_freeze() -> None:
    """Frozen means exactly equal: a still scene with noise in one pixel is a living camera."""
    eye = Eye(frozen_after_ms=500)
    for index in range(30):
        still = scene(1)
        still[0, 0, 0, 1] = index % 2
        assert eye.see(still) is Quality.GOOD


def test_a_black_frozen_picture_is_both() -> None:
    """A dead camera's black picture is dark after three frames, and frozen when its time is over; the worse quality holds."""
    eye = Eye(frozen_after_ms=500)
    eye.good(5)
    black = np.zeros((1, SIDE, SIDE, 3), np.uint8)
    assert [eye.see(black) for _ in range(6)] == [Quality.GOOD] * 2 + [Quality.BAD] * 4
    assert eye.verdict(Trouble.DARK) is eye.verdict(Trouble.FROZEN) is Verdict.FAULT


def test_what_a_trouble_hides_is_unknown(eye: Eye) -> None:
    """In the dark nobody can tell whether the picture is blurred: that alarm's condition freezes, it is not ok."""
    for index in range(3):
        eye.see(SPOILED[Trouble.DARK](scene(4000 + index)))
    assert eye.verdict(Trouble.BLURRED) is Verdict.UNKNOWN
    assert eye.verdict(Trouble.FROZEN) is Verdict.OK


def test_blur_and_cover_need_a_baseline() -> None:
    """Before enough good frames were seen both are unknown, and a blurred picture is not called so."""
    eye = Eye()
    eye.good(REMEMBERED - 1)
    assert eye.verdict(Trouble.BLURRED) is eye.verdict(Trouble.COVERED) is Verdict.UNKNOWN
    eye.good()
    assert eye.verdict(Trouble.BLURRED) is eye.verdict(Trouble.COVERED) is Verdict.OK


def test_trouble_and_repeats_teach_nothing(eye: Eye) -> None:
    """However long the lens stays covered, it is not taken for the new normal."""
    for index in range(100):
        eye.now_ns += 60_000 * MS
        quality = eye.see(half_black(scene(5000 + index)))
    assert quality is Quality.BAD
    fresh = Eye(frozen_after_ms=0)
    still = scene(1)
    for _ in range(3 * REMEMBERED):
        fresh.see(still)
    assert fresh.verdict(Trouble.BLURRED) is Verdict.UNKNOWN


def test_without_frames_nothing_is_known(eye: Eye) -> None:
    """A silent camera is neither covered nor clear; that it is silent is another alarm's."""
    later_ns = eye.now_ns + 2001 * MS
    assert {eye.lens.evidence(trouble, later_ns).verdict for trouble in Trouble} == {Verdict.UNKNOWN}
    assert {Eye().verdict(trouble) for trouble in Trouble} == {Verdict.UNKNOWN}


def test_each_check_can_be_turned_off() -> None:
    """With every limit at its off value nothing is ever wrong."""
    eye = Eye(frozen_after_ms=0, darkest=0, brightest=255, sharpness_share=0, covered_share=0)
    eye.good(REMEMBERED)
    for tensor in (
        *(spoil(scene(1)) for spoil in SPOILED.values()),
        np.zeros_like(scene(1)),
        np.full_like(scene(1), 255),
    ):
        assert {eye.see(tensor) for _ in range(30)} == {Quality.GOOD}


def test_light_and_contrast_are_not_sharpness() -> None:
    """Half the light is the same sharpness; blur is not."""
    sharp = measure(scene(1)).sharpness
    assert measure((scene(1) * 0.5).astype(np.uint8)).sharpness == pytest.approx(sharp, rel=0.1)
    assert measure(blurred(scene(1))).sharpness < 0.4 * sharp


def usual(detail: float = 5.0, darkest: float = 90.0, brightest: float = 110.0) -> Baseline:
    """The same everywhere."""
    cells = [np.full((16, 16), value, np.float32) for value in (detail, darkest, brightest)]
    return Baseline(1.0, *cells)


def cells_of(detail: float = 5.0, level: float = 100.0) -> Measures:
    """A picture that is the same everywhere."""
    return Measures(0.0, 255.0, 1.0, np.full((16, 16), detail, np.float32), np.full((16, 16), level, np.float32))


def test_covered_counts_the_largest_patch_of_cells_that_had_detail() -> None:
    """Scattered cells do not add up, cells that touch only at corners or over the picture's edge do not, and empty ones do not count."""
    seen, known = cells_of(), usual()
    seen.detail[3, 15] = seen.detail[4, 0] = seen.detail[5, 1] = 0.0
    assert covered(seen, known) == 1 / 256
    seen.detail[8:12, 2:6] = 1.9
    assert covered(seen, known) == 16 / 256
    known.detail[8:10] = 0.9
    assert covered(seen, known) == 8 / 256


def test_covered_counts_cells_that_are_lighter_or_darker_than_ever() -> None:
    """Also where there never was detail, as on a blank table; by more than 30 grey levels outside the range, and not where all light is gone into white."""
    seen, known = cells_of(), usual(detail=0.0)
    seen.level[8:12, 2:6] = 59.0
    assert covered(seen, known) == 16 / 256
    seen.level[8:12, 2:6] = 61.0
    assert covered(seen, known) == 0.0
    seen.level[8:12, 2:6] = 141.0
    assert covered(seen, known) == 16 / 256
    seen.level[8:12, 2:6] = 241.0
    assert covered(seen, known) == 0.0


@pytest.mark.parametrize("gain", [0.3, 0.6, 1.5, 2.2])
def test_more_or_less_light_on_everything_is_no_cover(gain: float) -> None:
    """A lamp or the sun changes all cells alike: what they share is taken out before a cell is called strange."""
    seen, known = cells_of(level=100.0 * gain), usual()
    assert covered(seen, known) == 0.0
    seen.level[8:12, 2:6] = 100.0 * gain * 0.4
    assert covered(seen, known) == 16 / 256


def test_small_tensors_show_only_a_freeze() -> None:
    """Below 72 px a cell would hold no pixel row: nothing is measured, and nothing breaks."""
    eye = Eye(frozen_after_ms=500)
    small = np.zeros((1, 32, 32, 3), np.uint8)
    assert [eye.see(small) for _ in range(6)] == [Quality.GOOD] * 5 + [Quality.STALE]
    assert Eye().see(np.zeros((1, 72, 72, 3), np.uint8)) is Quality.BAD


@pytest.mark.parametrize("bad", [{"n_of_m": (4, 3)}, {"n_of_m": (0, 3)}, {"darkest": 300}, {"sharpness_share": 1.0}])
def test_senseless_settings_are_refused(bad: dict[str, object]) -> None:
    """Settings that could never hold, or always, are errors."""
    with pytest.raises(ValidationError):
        PictureSettings.model_validate(bad)


class TestAtTheStart:
    """Before enough frames were seen nothing is known to be right, and what stood at a restart goes on until something is known of it."""

    def test_a_good_camera_is_trusted_from_its_first_frame(self) -> None:
        """Its flags need not wait; that no trouble is there is said once as many frames were seen as n of m asks for."""
        eye = Eye()
        assert eye.good() is Quality.GOOD
        assert {eye.verdict(trouble) for trouble in Trouble} == {Verdict.UNKNOWN}
        assert eye.good() is Quality.GOOD
        assert (eye.verdict(Trouble.FROZEN), eye.verdict(Trouble.DARK)) == (Verdict.OK, Verdict.UNKNOWN)
        assert eye.good(3) is Quality.GOOD
        assert (eye.verdict(Trouble.DARK), eye.verdict(Trouble.DAZZLED)) == (Verdict.OK, Verdict.OK)

    @pytest.mark.parametrize("trouble", [Trouble.DARK, Trouble.DAZZLED])
    def test_the_first_spoiled_frames_are_not_trusted(self, trouble: Trouble) -> None:
        """There is no good past that one odd frame could be an exception of."""
        eye = Eye()
        assert [eye.see(SPOILED[trouble](scene(index))) for index in range(3)] == [Quality.BAD] * 3
        assert eye.verdict(trouble) is Verdict.FAULT

    def test_a_repeated_picture_is_no_proof_of_life(self) -> None:
        """Until it is a freeze, or another picture comes, nobody knows."""
        eye = Eye(frozen_after_ms=500)
        still = scene(1)
        said = []
        for _ in range(6):
            eye.see(still)
            said.append(eye.verdict(Trouble.FROZEN))
        assert said == [Verdict.UNKNOWN] * 5 + [Verdict.FAULT]

    @pytest.mark.parametrize("trouble", SPOILED)
    def test_a_trouble_that_goes_on_over_a_restart_is_never_ok_in_between(self, eye: Eye, trouble: Trouble) -> None:
        """With the baseline that was kept; not one frame is trusted, and nothing is learned of them."""
        again = Eye(eye.lens.baseline, (trouble,))
        assert again.verdict(trouble) is Verdict.UNKNOWN
        said = []
        for index in range(2 * REMEMBERED):
            assert again.see(SPOILED[trouble](scene(6000 + index))) is Quality.BAD
            said.append(again.verdict(trouble))
        assert said == [Verdict.UNKNOWN] * 2 + [Verdict.FAULT] * (2 * REMEMBERED - 2)
        assert again.lens.learned is None
        assert again.good(3) is Quality.GOOD
        assert again.verdict(trouble) is Verdict.OK

    @pytest.mark.parametrize("trouble", SPOILED)
    def test_a_trouble_that_went_during_a_restart_ends_once_that_is_known(self, eye: Eye, trouble: Trouble) -> None:
        """Five good frames, not one."""
        again = Eye(eye.lens.baseline, (trouble,))
        assert [again.good() for _ in range(5)] == [Quality.BAD] * 4 + [Quality.GOOD]
        assert again.verdict(trouble) is Verdict.OK

    def test_a_freeze_that_goes_on_over_a_restart_is_never_ok_in_between(self) -> None:
        """Stale from the first frame; the first other picture ends it."""
        eye = Eye(standing=(Trouble.FROZEN,), frozen_after_ms=500)
        still = scene(7777)
        said = []
        for _ in range(6):
            assert eye.see(still) is Quality.STALE
            said.append(eye.verdict(Trouble.FROZEN))
        assert said == [Verdict.UNKNOWN] * 5 + [Verdict.FAULT]
        assert eye.good() is Quality.GOOD
        assert eye.verdict(Trouble.FROZEN) is Verdict.OK

    @pytest.mark.parametrize("trouble", LEARNED)
    def test_without_a_baseline_a_cover_that_stood_is_not_learned_as_good(self, trouble: Trouble) -> None:
        """Whatever comes, nobody can tell whether it is good, until an operator says so."""
        eye = Eye(standing=(trouble,))
        for index in range(REMEMBERED):
            assert eye.see(SPOILED[trouble](scene(index))) is eye.good() is Quality.BAD
        assert (eye.verdict(trouble), eye.lens.baseline) == (Verdict.UNKNOWN, None)
        eye.lens.relearn()
        assert eye.good(REMEMBERED - 1) is Quality.GOOD
        assert eye.verdict(trouble) is Verdict.UNKNOWN
        eye.good()
        assert (eye.verdict(trouble), eye.lens.learned is not None) == (Verdict.OK, True)

    def test_a_wanted_change_of_view_is_learned_when_an_operator_says_so(self, eye: Eye) -> None:
        """What was covered is the view from then on."""
        for index in range(10):
            quality = eye.see(half_black(scene(index)))
        assert quality is Quality.BAD
        eye.lens.relearn()
        for index in range(REMEMBERED):
            assert eye.see(half_black(scene(100 + index))) is Quality.GOOD
        assert eye.verdict(Trouble.COVERED) is Verdict.OK

    def test_a_check_that_was_turned_off_holds_nothing_back(self) -> None:
        """Who turns it off wants the pictures judged."""
        eye = Eye(
            standing=tuple(Trouble), frozen_after_ms=0, darkest=0, brightest=255, sharpness_share=0, covered_share=0
        )
        assert eye.good() is Quality.GOOD


class TestBaselineOnDisk:
    """What was learned of a camera survives a restart, and what is not usable is not used."""

    def test_it_comes_back_as_it_was(self, eye: Eye) -> None:
        """To a thousandth of a grey level, small, and with the time when it was kept."""
        assert eye.lens.baseline is not None
        text = json.dumps(to_dict(eye.lens.baseline, "96 x 96", 17), allow_nan=False)
        assert len(text) < 8000
        found = from_dict(json.loads(text), "96 x 96")
        assert found is not None
        again, wall_ns = found
        assert (again.sharpness, wall_ns) == (eye.lens.baseline.sharpness, 17)
        for name in ("detail", "darkest", "brightest"):
            np.testing.assert_allclose(getattr(again, name), getattr(eye.lens.baseline, name), atol=1e-3)

    @pytest.mark.parametrize("other", [{"format": 2}, {"of": "another size"}])
    def test_of_other_pictures_it_says_nothing(self, other: dict[str, object]) -> None:
        """Another size or way to fit, or another format."""
        assert from_dict(to_dict(usual(), "this", 0) | other, "this") is None

    @pytest.mark.parametrize(
        "damage",
        [{"detail": [1.0]}, {"detail": None}, {"sharpness": "x"}, {"sharpness": float("nan")}, {"darkest": ["y"] * 256},
         {"brightest": [float("inf")] * 256}, {"saved_wall_ns": None}],
    )  # fmt: skip
    def test_a_damaged_one_is_refused(self, damage: dict[str, object]) -> None:
        """By its own reason, never by another exception."""
        with pytest.raises(RejectedInput) as caught:
            from_dict(to_dict(usual(), "this", 0) | damage, "this")
        assert caught.value.reason == "baseline"
