"""One sentence says what, where and how sure, says that a machine made it, and never more than is known."""

from __future__ import annotations

import dataclasses

import pytest

from edge.explain.sentence import MADE, Facts, clean, confidence, generated, template
from edge.frame import Verdict

CRACK = Facts(
    title="Crack", camera="cam1", score=0.93, limit=0.8, earlier=0.12, rank=1, of=7,
    rules=(("shaking", Verdict.FAULT), ("hot", Verdict.UNKNOWN)), false_alarms=0.012,
)  # fmt: skip


def test_everything_that_is_known_is_said() -> None:
    """What, where, the score against its limit, its rank, its trend, the sensors, and how often good pictures look so."""
    assert template(CRACK, "upper left") == (
        "Crack on camera cam1, upper left of the picture: score 0.93, well above its limit 0.80; highest of 7 faults; "
        "up from 0.12 a second before; sensor rule shaking agrees; sensor rule hot has no data; "
        "1.2 % of the good pictures kept for testing were flagged at export (machine-made)"
    )


def test_what_is_not_known_is_left_out() -> None:
    """A fault of sensors alone has no camera, place or score."""
    loose = Facts(title="Loose", rules=(("shaking", Verdict.FAULT),))
    assert template(loose, None) == "Loose: sensor rule shaking agrees (machine-made)"
    assert template(Facts(title="Loose"), None) == "Loose (machine-made)"
    assert "of the picture" not in template(CRACK, None)


@pytest.mark.parametrize(
    ("score", "words"), [(0.81, "just above"), (0.88, "above"), (0.99, "well above"), (0.7, "now below")]
)
def test_how_sure_is_in_words(score: float, words: str) -> None:
    """By how far the score stands above its own limit."""
    assert f"score {score:.2f}, {words} its limit 0.80" in template(dataclasses.replace(CRACK, score=score), None)


def test_confidence_is_nought_at_the_limit_and_one_at_the_top() -> None:
    """And unknown without a score; a limit of 1 divides by nothing."""
    assert (confidence(0.8, 0.8), confidence(1.0, 0.8), confidence(0.9, 0.8), confidence(0.1, 0.8)) == (
        0.0,
        1.0,
        0.5,
        0.0,
    )
    assert confidence(None, 0.8) is None
    assert confidence(1.0, 1.0) == 0.0


def test_rank_and_trend() -> None:
    """A fault that is not the highest names the one that is; a score that did not change is steady."""
    second = dataclasses.replace(CRACK, rank=2, ahead="Rust", earlier=0.9)
    assert "number 2 of 7 faults, Rust scores higher; steady" in template(second, None)


def test_a_models_words_are_made_fit_to_show() -> None:
    """One line without control characters, bounded, ended; nothing that could be said is nothing."""
    assert clean("  The crack runs\tleft \x1b[31mto right\nand then") == "The crack runs left [31mto right."
    assert clean("It is broken!") == "It is broken!"
    assert clean("\n\n") == ""
    assert clean("...!?") == ""
    assert len(clean("long " * 1000)) <= 601


def test_generated_words_stand_before_the_facts() -> None:
    """The model's own words, then how sure the flag is; marked as made by a machine."""
    said = generated("A crack runs across the rim.", CRACK, "top")
    assert said.startswith(
        'The model says "A crack runs across the rim." Crack on camera cam1, top of the picture: score 0.93'
    )
    assert said.endswith(f"({MADE})")


def test_what_has_no_name_says_whether_a_named_fault_explains_it() -> None:
    """Both alarms are shown; the sentence says how they hang together."""
    odd = dataclasses.replace(CRACK, title="Unlike the normal pictures", explained_by=("Crack",))
    assert "its limit 0.80; explained by Crack on the same picture;" in template(odd, None)
    assert "no named fault explains it" in template(dataclasses.replace(odd, explained_by=()), None)
    assert "explain" not in template(CRACK, None)
