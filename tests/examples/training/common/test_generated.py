"""Generated samples say of each fault only what their picture can show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from examples.line.scene import render, sample_spec
from examples.training.common.facts import truth
from examples.training.common.generated import (
    HELD_OUT_PAIRS,
    SMALL_FAULTS,
    generated,
    held_out,
    hidden,
    line_sample,
    practice_spec,
    training_spec,
)
from examples.training.common.samples import IMAGE_SIZE


def test_training_never_sees_a_held_out_pair() -> None:
    """The pairs of part and fault that measure combination stay out of training."""
    rng = np.random.default_rng(0)
    assert not any(held_out(draw(rng)) for draw in (training_spec, practice_spec) for _ in range(300))
    part, fault = min(HELD_OUT_PAIRS)
    assert held_out(sample_spec(rng, faults=[fault], part=part))


def test_small_faults_are_practised() -> None:
    """More than a third of the scenes to learn from show just one small fault, and enough show none."""
    rng = np.random.default_rng(0)
    drawn = [practice_spec(rng).faults for _ in range(300)]
    small = sum(len(faults) == 1 and faults <= set(SMALL_FAULTS) for faults in drawn)
    assert 100 < small < 200
    assert sum(not faults for faults in drawn) > 30


def test_blur_hides_small_faults() -> None:
    """A crack in a picture out of focus is neither stated nor denied; the blur itself is stated."""
    spec = replace(sample_spec(np.random.default_rng(2), faults=["crack", "out_of_focus"]), severity=1.0)
    assert "crack" in hidden(render(spec, 320, 240))
    facts = line_sample(spec, np.random.default_rng(0), "train", (320, 240)).facts
    assert truth(frozenset({"out_of_focus"}), facts) == 1
    assert truth(frozenset({"crack"}), facts) == -1


def test_a_normal_scene_denies_every_fault() -> None:
    """Without a fault all faults of the line are known to be absent."""
    sample = line_sample(
        sample_spec(np.random.default_rng(3), faults=[]), np.random.default_rng(0), "train", (320, 240)
    )
    assert truth(frozenset({"normal", "!crack", "!blocked_lens"}), sample.facts) == 1


@pytest.mark.parametrize("kind", ["line", "zoom", "ground"])
def test_samples_are_seeded(kind: str) -> None:
    """The same seed gives the same samples, another seed others."""
    first, second, other = (list(generated(kind, 2, seed, "train")) for seed in (4, 4, 5))
    assert [s.facts for s in first] == [s.facts for s in second]
    assert np.array_equal(first[1].image, second[1].image)
    assert not np.array_equal(first[1].image, other[1].image)
    assert first[0].image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
