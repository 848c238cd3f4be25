"""Facts are three-valued: what no label settles never becomes evidence."""

from __future__ import annotations

import numpy as np

from examples.training.common.facts import UNKNOWN, Text, denied, label_matrix, states, truth

CRACKED = frozenset({"crack", "!rust", "!normal"})
GOOD = frozenset({"normal", "!crack", "!rust"})


def test_a_claim_is_true_false_or_unknown() -> None:
    """Stated is true, denied is false, and what nobody said is unknown."""
    assert truth(frozenset({"crack"}), CRACKED) == 1
    assert truth(frozenset({"crack"}), GOOD) == 0
    assert truth(frozenset({"pitting"}), CRACKED) == UNKNOWN


def test_one_false_claim_makes_a_text_false() -> None:
    """A text with a false and an unknown claim is false: the unknown one cannot save it."""
    assert truth(frozenset({"rust", "pitting"}), CRACKED) == 0


def test_denying_twice_is_stating() -> None:
    """The opposite of the opposite is the fact."""
    assert denied(denied("crack")) == "crack"


def test_equal_facts_are_no_negatives() -> None:
    """A short claim is true of every picture that shows the fault, not only of the one it was drawn for."""
    labels = label_matrix([CRACKED, CRACKED, GOOD], [Text("a crack", frozenset({"crack"}))])
    assert labels[:, 0].tolist() == [1, 1, 0]


def test_a_caption_is_surely_true_only_of_its_own_picture() -> None:
    """A caption also tells a place or a colour, so a like picture is unknown and a contradicting one false."""
    caption = Text("a gear with a crack at the top", frozenset({"crack"}), owner=0)
    assert label_matrix([CRACKED, CRACKED, GOOD], [caption])[:, 0].tolist() == [1, UNKNOWN, 0]


def test_states_follow_the_order_of_the_concepts() -> None:
    """One label a concept, in the order asked for."""
    assert np.array_equal(states(("rust", "crack", "pitting"), CRACKED), [0, 1, UNKNOWN])
