"""Questions say what they ask for: answers follow from facts, and what is held out is neither shown nor asked."""

from __future__ import annotations

from random import Random

import numpy as np

from examples.training.common import words
from examples.training.common.facts import truth
from examples.training.common.generated import HELD_OUT_PAIRS, line_sample, training_spec
from examples.training.smolvlm import questions


def test_held_out_pairs_are_never_asked() -> None:
    """A pair that no picture shows would only teach the answer no."""
    random = Random(1)
    asked = [questions.any_question(random).claims for _ in range(4000)]
    pairs = {frozenset({f"part:{part}", fault}) for part, fault in HELD_OUT_PAIRS}
    assert not pairs & set(asked)
    assert any(len(claims) == 2 for claims in asked), "pairs are asked for at all"


def test_unseen_questions_are_unseen() -> None:
    """None of the evaluation's unseen questions can come up in training."""
    unseen = {question for asked in questions.UNSEEN.values() for question in asked}
    assert set(questions.UNSEEN) == set(words.LINE)
    random = Random(2)
    assert not unseen & {questions.any_question(random).words for _ in range(20000)}


def test_usual_questions_come_up() -> None:
    """The evaluation's usual questions are in the form and words of training."""
    random = Random(3)
    asked = {questions.any_question(random).words for _ in range(60000)}
    usual = {question for found in questions.USUAL.values() for question in found}
    assert len(usual & asked) > 0.8 * len(usual)


def test_a_batch_is_asked_what_it_shows() -> None:
    """Of a batch's questions several are answered yes by some picture, and several no."""
    rng, random = np.random.default_rng(4), Random(4)
    pictures = [line_sample(training_spec(rng), rng, "train", (160, 120)).facts for _ in range(12)]
    asked = questions.for_pictures(pictures, 14, random)
    assert len(asked) == 14
    answers = np.array([[truth(text.claims, facts) for text in asked] for facts in pictures])
    assert (answers == 1).any(axis=0).sum() >= 6
    assert (answers == 0).any(axis=0).sum() >= 6


def test_a_word_needs_one_settled_fact() -> None:
    """No word where nothing is known, and none where two faults compete."""
    table = questions.WORD_QUESTIONS[-1]
    assert table.answer(frozenset({"rust", "!normal"})) == "rust"
    assert table.answer(frozenset({"rust", "crack"})) is None
    assert table.answer(frozenset({"!rust"})) is None
    assert table.answer(frozenset({"normal"})) == "nothing"
