"""Thresholds hold their false-alarm bound, or the fault is not armed."""

from __future__ import annotations

import numpy as np
import pytest

from edge.manifest import MAX_NORMAL_SCORES
from exporters.proof import calibrate, verify


def test_bound_holds_on_new_frames() -> None:
    """Over many draws, new normal frames reach the threshold no oftener than the bound, and not far less."""
    random = np.random.default_rng(0)
    shares = []
    for _ in range(400):
        scores = random.beta(2, 8, 119).astype(np.float32)
        threshold = calibrate.conformal_threshold(scores, 0.05)
        assert threshold is not None
        shares.append((random.beta(2, 8, 500).astype(np.float32) >= threshold).mean())
    assert 0.03 < np.mean(shares) <= 0.0505


def test_bound_holds_for_a_new_group() -> None:
    """Six like views of one part are no six parts: counted by group the bound holds for the next part, counted by picture it does not."""
    random = np.random.default_rng(0)
    shares: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(600):
        sizes = random.integers(1, 9, 30)
        groups = np.repeat(np.arange(30), sizes)
        scores = (np.repeat(random.beta(2, 8, 30), sizes) + 0.01 * random.random(len(groups))).astype(np.float32)
        fresh = (random.beta(2, 8, 200) + 0.01 * random.random(200)).astype(np.float32)
        for by_group, found in shares.items():
            names = [str(name) for name in groups] if by_group else None
            threshold = calibrate.conformal_threshold(scores, 0.05, names)
            assert threshold is not None
            found.append(float((fresh >= threshold).mean()))
    assert 0.02 < np.mean(shares[True]) <= 0.051
    assert np.mean(shares[False]) > 0.055


def test_each_picture_is_scored_by_the_member_that_never_saw_it() -> None:
    """Of its own fold's member where it has a fold, of the whole head where it has none."""
    members = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    found = calibrate.unseen(members.mean(axis=1), members, [1, -1, 0])
    assert found.tolist() == [[2, 3], [5, 6], [8, 9]]


def test_thresholds_of_one_members_scores_hold_for_the_mean() -> None:
    """Members that share the part's own score and add an error each: the mean of them reaches the limit no oftener than the bound."""
    random = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        members = random.normal(0, 1, (59, 1)) + random.normal(0, 0.7, (59, 5))
        limit = calibrate.conformal_limit(members[np.arange(59), np.arange(59) % 5].astype(np.float32), 0.05)
        fresh = random.normal(0, 1, (400, 1)) + random.normal(0, 0.7, (400, 5))
        shares.append(float((fresh.mean(axis=1) > limit).mean()))
    assert 0.01 < np.mean(shares) < 0.05


def test_one_picture_a_group_is_the_plain_rule() -> None:
    """Both rules give the same threshold then, and too few groups give none however many pictures there are."""
    scores = np.random.default_rng(0).random(73).astype(np.float32)
    names = [str(index) for index in range(73)]
    assert calibrate.conformal_threshold(scores, 0.04, names) == calibrate.conformal_threshold(scores, 0.04)
    assert calibrate.conformal_threshold(scores, 0.05, ["one"] * 60 + names[60:]) is None


@pytest.mark.parametrize(("bound", "needed"), [(0.5, 1), (0.05, 19), (0.02, 49), (0.01, 99)])
def test_too_few_images_give_no_threshold(bound: float, needed: int) -> None:
    """A bound needs at least 1 / bound - 1 normal images; one fewer is refused."""
    assert calibrate.images_needed(bound) == needed
    scores = np.linspace(0.1, 0.4, needed, dtype=np.float32)
    assert calibrate.conformal_threshold(scores, bound) is not None
    assert calibrate.conformal_threshold(scores[1:], bound) is None


def _limit(normal: int, wanted: float | None = None) -> calibrate.Limit:
    scores = np.linspace(0.1, 0.4, normal, dtype=np.float32)
    return calibrate.limit_for(
        calibrate_normal=scores,
        test_normal=np.array([0.2, 0.9], np.float32),
        test_fault=np.array([0.8, 0.95], np.float32),
        bound=0.05,
        noise=0.01,
        wanted=wanted,
        groups=[str(index) for index in range(normal)],
        by_group=False,
        images_sha256="0" * 64,
    )


def test_a_calibrated_fault_is_armed_with_its_evidence() -> None:
    """Evidence is measured on the images that did not choose the threshold."""
    limit = _limit(40)
    assert limit.armed
    assert limit.calibration is not None
    assert limit.calibration.false_alarm_measured == 0.5
    assert limit.calibration.detection_measured == 1.0
    assert limit.calibration.auroc == 0.75
    assert limit.release < limit.threshold


def test_the_bundle_carries_what_normal_pictures_scored() -> None:
    """All of them where they are few, else as many quantiles, ascending and within the scale; independent are their groups."""
    limit = _limit(40)
    assert limit.calibration is not None
    few = limit.calibration.normal
    assert few is not None
    assert (len(few.scores), few.independent, few.scores[0], few.scores[-1]) == (40, 40, 0.1, 0.4)
    scores = np.random.default_rng(0).normal(0.5, 0.4, 5000).astype(np.float32)
    many = calibrate.normal_scores(scores, 7)
    assert (len(many.scores), many.independent, many.scores[0], many.scores[-1]) == (MAX_NORMAL_SCORES, 7, 0.0, 1.0)
    assert float(np.median(many.scores)) == pytest.approx(float(np.median(scores)), abs=0.01)
    assert calibrate.limit_for(
        calibrate_normal=scores[:0], test_normal=scores, test_fault=scores, bound=0.1, noise=0.0, wanted=None,
        groups=[], by_group=False, images_sha256="0" * 64,
    ).calibration is None  # fmt: skip


def test_too_few_normals_refuse_to_arm_and_say_how_many() -> None:
    """The reason names the number of images that would do."""
    limit = _limit(10)
    assert not limit.armed
    assert limit.reason is not None
    assert "at least 19" in limit.reason


def test_no_site_images_never_arm() -> None:
    """Without images the threshold comes from the words, and there is no evidence."""
    limit = _limit(0)
    assert not limit.armed
    assert limit.calibration is None
    assert limit.threshold == calibrate.TEXT_THRESHOLD


def test_a_demanded_threshold_that_breaks_the_bound_is_not_armed() -> None:
    """The recipe may raise a threshold, not quietly break its own bound."""
    assert _limit(40, wanted=0.6).armed
    lower = _limit(40, wanted=0.2)
    assert not lower.armed
    assert lower.threshold == 0.2


def test_scale_puts_normal_frames_low_and_the_limit_in_the_middle() -> None:
    """The median normal frame scores 0.1 and the bound's limit 0.5, whatever the evidence's unit."""
    evidence = np.random.default_rng(1).normal(300.0, 25.0, 200).astype(np.float32)
    gain, bias = calibrate.fit_scale(evidence, 0.05)
    score = 1 / (1 + np.exp(-(gain * evidence.astype(np.float64) + bias)))
    assert np.median(score) == pytest.approx(0.1, abs=0.005)
    assert calibrate.conformal_limit(score.astype(np.float32), 0.05) == pytest.approx(0.5, abs=1e-3)


def test_constant_evidence_has_a_finite_scale() -> None:
    """A checkpoint that says the same of every frame gives dull scores, not infinite ones."""
    gain, bias = calibrate.fit_scale(np.full(50, 2.0, np.float32), 0.05)
    assert np.isfinite([gain, bias]).all()


def test_auroc_counts_ties_half() -> None:
    """Equal scores are a coin toss; without one kind there is no figure."""
    same = np.array([0.5, 0.5], np.float32)
    assert calibrate.auroc(same, same) == 0.5
    assert calibrate.auroc(np.array([1.0], np.float32), same) == 1.0
    assert calibrate.auroc(same[:0], same) is None


def test_release_stands_below_the_threshold_by_the_noise() -> None:
    """Hysteresis is the score's own noise, at least a little, and never below half the threshold."""
    assert calibrate.release_below(0.5, 0.1) == pytest.approx(0.4)
    assert calibrate.release_below(0.5, 0.0) == pytest.approx(0.48)
    assert calibrate.release_below(0.05, 0.3) == pytest.approx(0.025)


def test_no_verdict_of_an_unarmed_fault_hangs_on_rounding() -> None:
    """With too few normal pictures the threshold stands clear of the largest score, so last digits turn no verdict."""
    random = np.random.default_rng(0)
    for _ in range(50):
        evidence = (3 * random.normal(size=(10, 1))).astype(np.float32)
        gain, bias = calibrate.fit_scale(evidence[:, 0], 0.02)
        exact, rounded = (
            (1 / (1 + np.exp(-(gain * values.astype(np.float64) + bias)))).astype(np.float32)
            for values in (evidence, evidence + random.choice([-1e-6, 1e-6], evidence.shape).astype(np.float32))
        )
        limits = [np.array([calibrate.unbounded_threshold(scores[:, 0])], np.float32) for scores in (exact, rounded)]
        assert limits[0][0] > exact.max() + 0.1
        assert verify.compare(exact, rounded, limits[0], limits[1], 0.0).flips == 0


def test_rounding_is_not_stretched_into_a_score() -> None:
    """One picture, or one many times, has no spread: the last float digits of its evidence stay below what a right graph may differ by."""
    for evidence in (np.full(1, 2.0, np.float32), np.float32(2.0) + np.linspace(0, 1e-5, 60, dtype=np.float32)):
        gain, _ = calibrate.fit_scale(evidence, 0.02)
        assert gain * 1e-5 / 4 <= verify.EXACT


def test_a_flag_can_always_clear() -> None:
    """The release stands above 0 whatever the noise, and a fault whose ordinary picture never falls below it is not armed."""
    assert calibrate.release_below(0.05, 0.2) > 0
    assert _limit(40, wanted=0.015).release > 0
    constant = calibrate.limit_for(
        calibrate_normal=np.full(60, 0.5, np.float32),
        test_normal=np.full(9, 0.5, np.float32),
        test_fault=np.full(9, 0.5, np.float32),
        bound=0.05, noise=0.0, wanted=None, groups=[str(index) for index in range(60)], by_group=False, images_sha256="0" * 64,
    )  # fmt: skip
    assert not constant.armed
    assert constant.reason is not None
    assert "stay for good" in constant.reason
