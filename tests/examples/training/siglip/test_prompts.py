"""The evaluation's unseen prompts are unseen."""

from __future__ import annotations

import numpy as np

from examples.line.captions import caption
from examples.training.common import words
from examples.training.common.generated import training_spec
from examples.training.siglip import prompts


def test_every_line_fault_is_asked_both_ways() -> None:
    """Each fault of the line has prompts in usual and in unseen wording."""
    assert set(prompts.USUAL) == set(prompts.UNSEEN) == set(words.LINE)


def test_unseen_prompts_are_no_captions() -> None:
    """No unseen prompt is a phrase of the tables, nor comes up among many captions."""
    rng = np.random.default_rng(0)
    known = {caption(training_spec(rng), rng) for _ in range(2000)}
    known |= {noun for concept in words.CONCEPTS for noun in words.nouns(concept)}
    assert not known & {prompt for asked in prompts.UNSEEN.values() for prompt in asked}
