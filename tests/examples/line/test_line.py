"""The line's ground truth is consistent with its frames, parts and readings."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from examples.line.faults import FAULTS
from examples.line.line import Line, LineSettings, encode_jpeg

SMALL = LineSettings(seed=3, fps=5.0, width=160, height=120, part_s=1.0)


def test_the_same_seed_gives_the_same_film() -> None:
    """Frames, truth and readings repeat; another seed gives another film."""

    def film(seed: int) -> list[tuple[bytes, frozenset[str], dict[str, float]]]:
        settings = LineSettings(seed=seed, fps=5.0, width=96, height=72, part_s=1.0)
        return [(frame.jpeg, frame.active_faults, frame.readings) for frame in Line(settings, 20)]

    assert film(1) == film(1)
    assert film(1) != film(2)


def test_every_frame_has_a_part_and_the_truth_of_its_interval() -> None:
    """Visits cover all frames without gap; a frame's faults are those of its part and of the injections."""
    line = Line(SMALL, 123)
    frames = list(line)
    assert [frame.index for frame in frames] == list(range(123))
    assert line.visits[0].start_frame == 0
    assert line.visits[-1].end_frame == 123
    assert all(a.end_frame == b.start_frame for a, b in pairwise(line.visits))
    for frame in frames:
        assert frame.t_s == pytest.approx(frame.index / 5.0)
        assert frame.active_faults == frame.spec.faults == line.active(frame.index)
        assert frame.image.shape == (120, 160, 3)


def test_injections_are_separate_and_in_time() -> None:
    """Start and end agree in frames and seconds; good parts lie between them."""
    line = Line(SMALL, 400)
    assert len(line.injections) > 10
    for injection in line.injections:
        assert injection.start_frame < injection.end_frame
        assert injection.start_s == pytest.approx(injection.start_frame / 5.0)
        assert injection.end_s == pytest.approx(injection.end_frame / 5.0)
    gaps = [b.start_frame - a.end_frame for a, b in pairwise(line.injections)]
    assert min(gaps) >= 5


def test_every_fault_comes_before_any_comes_again() -> None:
    """A short film shows all that was asked for."""
    line = Line(SMALL, 5 * 3 * len(FAULTS))
    assert {injection.fault for injection in line.injections[: len(FAULTS)]} == set(FAULTS)


def test_a_fault_over_several_parts_is_one_injection() -> None:
    """Adjoining faulty parts of one fault count once."""
    settings = LineSettings(seed=1, fps=5.0, part_s=1.0, faults=("rust",), quiet_parts=(1, 1), faulty_parts=(2, 2))
    line = Line(settings, 60)
    assert [(i.start_frame, i.end_frame) for i in line.injections] == [(5, 15), (20, 30), (35, 45), (50, 60)]


def test_neighbouring_frames_of_a_part_are_alike_but_not_equal() -> None:
    """The camera sees the same part tremble, not a new one each time."""
    frames = [frame.image.astype(np.float32) for frame in Line(LineSettings(seed=2, fps=10, width=160, height=120), 40)]
    within = [np.abs(a - b).mean() for a, b in pairwise(frames[5:20])]
    across = np.abs(frames[19] - frames[20]).mean()
    assert min(within) > 0
    assert np.median(within) < 0.5 * across


def test_settings_choose_faults_and_parts() -> None:
    """Only the asked ones are made; a wish that cannot be met says what to add."""
    settings = LineSettings(seed=1, fps=5, part_s=1, faults=("missing_bolt", "scratch"), parts=("valve", "gear"))
    line = Line(settings, 100)
    assert {visit.spec.part for visit in line.visits} <= {"valve", "gear"}
    assert {injection.fault for injection in line.injections} == {"missing_bolt", "scratch"}
    with pytest.raises(ValueError, match="add a part of"):
        Line(LineSettings(faults=("missing_bolt",), parts=("gear",)), 100)
    with pytest.raises(ValueError, match="at least one frame"):
        Line(LineSettings(), 0)


def test_readings_rise_with_the_fault_on_the_line() -> None:
    """Vision and sensors see the same injection."""
    settings = LineSettings(seed=1, fps=10, width=64, height=48, part_s=2, faults=("misaligned_part",))
    frames = list(Line(settings, 200))
    faulty = [frame.readings["vibration_mm_s"] for frame in frames if frame.active_faults]
    good = [frame.readings["vibration_mm_s"] for frame in frames if not frame.active_faults]
    assert np.median(faulty) > np.median(good) + 1.0


def test_jpeg_is_a_picture_of_the_frame() -> None:
    """Colours are in the right order and quality changes the size."""
    (frame,) = Line(SMALL, 1)
    decoded = cv2.cvtColor(cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert float(np.abs(decoded.astype(np.float32) - frame.image).mean()) < 6
    assert len(encode_jpeg(frame.image, 30)) < len(encode_jpeg(frame.image, 95))


def test_a_site_stays_the_same_whatever_is_made_on_it() -> None:
    """Runs of one site share background, lamps and floor although their parts differ; without a site the seed is the site."""
    first, second = (Line(LineSettings(seed=seed, site=6), 200).visits for seed in (1, 2))
    assert {(v.spec.background, v.spec.site, v.spec.light.angle_deg) for v in first + second} == {
        (first[0].spec.background, first[0].spec.site, first[0].spec.light.angle_deg)
    }
    assert [v.spec.part for v in first] != [v.spec.part for v in second]
    assert Line(LineSettings(seed=6), 20).visits[0].spec.site == first[0].spec.site
