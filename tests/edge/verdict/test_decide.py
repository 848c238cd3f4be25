"""Scores become verdicts with hysteresis, and evidence is joined so that missing data never proves a fault away."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.frame import Evidence, Quality, Verdict
from edge.verdict.decide import Combine, FusionSpec, VisionSpec, VisionState, classify, fuse

FAULT, OK, UNKNOWN = Verdict.FAULT, Verdict.OK, Verdict.UNKNOWN
SPEC = VisionSpec(threshold=0.8, release=0.6, stale_after_ns=2_000)


def part(verdict: Verdict, score: float | None = None, quality: Quality = Quality.GOOD) -> Evidence:
    """Evidence with the score and quality that fit its verdict."""
    if verdict is UNKNOWN:
        return Evidence(verdict, None, Quality.STALE if quality is Quality.GOOD else quality)
    return Evidence(verdict, score if score is not None else (0.9 if verdict is FAULT else 0.1), quality)


@pytest.mark.parametrize(
    ("score", "faulty", "verdict"),
    [
        (0.8, False, FAULT),
        (0.79, False, OK),
        (0.79, True, FAULT),
        (0.6, True, FAULT),
        (0.59, True, OK),
        (0.0, True, OK),
        (1.0, False, FAULT),
        (1.0005, False, FAULT),
        (1.1, False, UNKNOWN),
        (-0.1, True, UNKNOWN),
        (math.nan, True, UNKNOWN),
        (math.inf, False, UNKNOWN),
        (-math.inf, True, UNKNOWN),
    ],
)
def test_classify(score: float, faulty: bool, verdict: Verdict) -> None:  # noqa: FBT001 - a table's column
    """Fault at and above the threshold, ok below release, unchanged between, unknown when it is no score."""
    assert classify(score, faulty=faulty, spec=SPEC) is verdict


def test_a_camera_that_never_spoke_is_unknown() -> None:
    """Before its first frame a fault is unknown with quality bad."""
    assert VisionState(SPEC).evidence(10**12) == Evidence(UNKNOWN, None, Quality.BAD)


def test_a_stale_camera_is_unknown_and_remembers() -> None:
    """An old frame says nothing; when frames come back between the thresholds, the fault seen before stands."""
    vision = VisionState(SPEC)
    vision.update(0.9, 0)
    assert vision.evidence(2_000) == Evidence(FAULT, 0.9, Quality.GOOD)
    assert vision.evidence(2_001) == Evidence(UNKNOWN, None, Quality.STALE)
    assert vision.update(0.7, 9_000).verdict is FAULT


@pytest.mark.parametrize("score", [math.nan, math.inf, 7.0])
def test_a_broken_score_is_unknown_and_moves_no_memory(score: float) -> None:
    """A score that is none gives unknown with quality bad, and the hysteresis keeps its side."""
    vision = VisionState(SPEC)
    vision.update(0.9, 0)
    assert vision.update(score, 1) == Evidence(UNKNOWN, None, Quality.BAD)
    assert vision.update(0.7, 2).verdict is FAULT


def test_a_frozen_or_covered_picture_gives_no_verdict() -> None:
    """Stale and bad pictures are unknown whatever their score; an uncertain one (late, blurred) keeps its verdict and says so."""
    vision = VisionState(SPEC)
    assert vision.update(0.9, 0, Quality.STALE) == Evidence(UNKNOWN, None, Quality.STALE)
    assert vision.update(0.0, 0, Quality.BAD) == Evidence(UNKNOWN, None, Quality.BAD)
    assert vision.update(0.9, 0, Quality.UNCERTAIN) == Evidence(FAULT, 0.9, Quality.UNCERTAIN)


@pytest.mark.parametrize("verdicts", list(itertools.product(Verdict, repeat=3)))
def test_any_and_all_over_every_combination(verdicts: tuple[Verdict, ...]) -> None:
    """The whole truth table of three parts: any is three-valued or, all is three-valued and."""
    parts = [part(verdict) for verdict in verdicts]
    joined_any = FAULT if FAULT in verdicts else UNKNOWN if UNKNOWN in verdicts else OK
    joined_all = OK if OK in verdicts else UNKNOWN if UNKNOWN in verdicts else FAULT
    assert fuse(parts, FusionSpec(Combine.ANY)).verdict is joined_any
    assert fuse(parts, FusionSpec(Combine.ALL)).verdict is joined_all


def test_quality_is_the_worst_of_what_mattered() -> None:
    """A part that settled nothing does not spoil the quality; one that was missing does."""
    stale, shaky = part(UNKNOWN), part(FAULT, quality=Quality.UNCERTAIN)
    assert fuse([part(FAULT), stale], FusionSpec(Combine.ANY)).quality is Quality.GOOD
    assert fuse([part(FAULT), shaky], FusionSpec(Combine.ANY)).quality is Quality.UNCERTAIN
    assert fuse([part(OK), stale], FusionSpec(Combine.ANY)).quality is Quality.STALE
    assert fuse([part(OK), stale], FusionSpec(Combine.ALL)).quality is Quality.GOOD
    assert (
        fuse([part(FAULT), stale, part(UNKNOWN, quality=Quality.BAD)], FusionSpec(Combine.ALL)).quality is Quality.BAD
    )


def test_scores_of_any_and_all() -> None:
    """Any shows the strongest part that settled it, all the weakest; unknown shows none."""
    parts = [part(FAULT, 0.7), part(FAULT, 0.9), part(OK, 0.95)]
    assert fuse(parts, FusionSpec(Combine.ANY)).score == 0.9
    assert fuse(parts[:2], FusionSpec(Combine.ALL)).score == 0.7
    assert fuse([part(OK), part(UNKNOWN)], FusionSpec(Combine.ANY)).score is None


@pytest.mark.parametrize(
    ("scores", "verdict", "score"),
    [
        ((0.9, 0.5), FAULT, 0.8),
        ((0.6, 0.6), OK, 0.6),
        ((0.9, None), UNKNOWN, None),  # 0.675 to 0.925
        ((1.0, None), FAULT, 0.75),
        ((0.2, None), OK, 0.4),  # even with the other part at 1
        ((None, None), UNKNOWN, None),
    ],
)
def test_weighted(scores: tuple[float | None, ...], verdict: Verdict, score: float | None) -> None:
    """Weights 3 to 1, threshold 0.7: an unknown part may be anything in 0..1, and only what holds for all of it is said."""
    parts = [part(UNKNOWN) if value is None else part(OK, value) for value in scores]
    joined = fuse(parts, FusionSpec(Combine.WEIGHTED, (3.0, 1.0), 0.7))
    assert joined.verdict is verdict
    assert joined.score == (None if score is None else pytest.approx(score))


def test_an_unknown_part_without_weight_does_not_matter() -> None:
    """Weight 0 takes a part out of the joined score and out of its quality."""
    joined = fuse([part(FAULT, 0.9), part(UNKNOWN)], FusionSpec(Combine.WEIGHTED, (1.0, 0.0), 0.5))
    assert (joined.verdict, joined.quality) == (FAULT, Quality.GOOD)


def test_no_weights_means_all_alike() -> None:
    """Without weights the joined score is the mean."""
    assert fuse([part(FAULT, 1.0), part(OK, 0.2)], FusionSpec(Combine.WEIGHTED)).score == pytest.approx(0.6)


evidences = st.one_of(
    st.sampled_from([Evidence(UNKNOWN, None, Quality.STALE), Evidence(UNKNOWN, None, Quality.BAD)]),
    st.builds(
        Evidence, st.sampled_from([FAULT, OK]), st.floats(0.0, 1.0), st.sampled_from([Quality.GOOD, Quality.UNCERTAIN])
    ),
)


@given(st.lists(evidences, min_size=1, max_size=5), st.data())
def test_missing_data_never_turns_a_verdict_around(parts: list[Evidence], data: st.DataObject) -> None:
    """If a known part goes missing, the joined verdict stays or becomes unknown; it never becomes the opposite."""
    weights = tuple(data.draw(st.floats(0.01, 1.0)) for _ in parts)
    lost = data.draw(st.integers(0, len(parts) - 1))
    less = [*parts[:lost], Evidence(UNKNOWN, None, Quality.STALE), *parts[lost + 1 :]]
    for spec in (FusionSpec(Combine.ANY), FusionSpec(Combine.ALL), FusionSpec(Combine.WEIGHTED, weights, 0.5)):
        before, after = fuse(parts, spec), fuse(less, spec)
        assert after.verdict in (before.verdict, UNKNOWN)
        if after.verdict is UNKNOWN:
            assert after.score is None
            assert after.quality.rank >= Quality.STALE.rank


def test_what_does_not_apply_is_left_out() -> None:
    """The rest decides, with its own weights; where nothing applies, nothing is known."""
    fault, ok = part(Verdict.FAULT, 1.0), part(Verdict.OK, 0.0)
    for combine in Combine:
        assert fuse([None, fault], FusionSpec(combine)).verdict is Verdict.FAULT
        assert fuse([ok, None], FusionSpec(combine)).verdict is Verdict.OK
        assert fuse([None, None], FusionSpec(combine)) == Evidence(Verdict.UNKNOWN, None, Quality.UNCERTAIN)
    weighted = FusionSpec(Combine.WEIGHTED, (9.0, 0.0), 0.5)
    assert fuse([None, fault], weighted).verdict is Verdict.UNKNOWN, "what is left has no weight"


def test_evidence_is_needed() -> None:
    """Nothing to judge by, or weights for other parts, is a programming error and says so."""
    with pytest.raises(ValueError, match="without evidence"):
        fuse([], FusionSpec())
    with pytest.raises(ValueError, match="2 weights for 1 parts"):
        fuse([part(OK)], FusionSpec(Combine.WEIGHTED, (1.0, 1.0)))


@pytest.mark.parametrize("weights", [(-1.0, 2.0), (0.0, 0.0), (math.nan,), (math.inf,)])
def test_weights_that_cannot_be_are_refused(weights: tuple[float, ...]) -> None:
    """Negative, zero-sum and infinite weights are a configuration error."""
    with pytest.raises(ConfigError, match="weights"):
        FusionSpec(Combine.WEIGHTED, weights)


@pytest.mark.parametrize(("threshold", "release"), [(0.5, 0.6), (1.1, 0.5), (0.5, -0.1), (math.nan, 0.1)])
def test_thresholds_that_cannot_be_are_refused(threshold: float, release: float) -> None:
    """Release above threshold, or either outside 0..1, is a configuration error."""
    with pytest.raises(ConfigError, match="threshold"):
        VisionSpec(threshold, release, 1)
    with pytest.raises(ConfigError, match="threshold"):
        FusionSpec(Combine.WEIGHTED, (), 0.0)
