"""The phrasings of the training: many, true to what they claim, and none of those that the evaluation keeps back."""

from __future__ import annotations

from examples.line.faults import FAULTS
from examples.training.common.facts import denied
from examples.training.lite0.phrases import TRAINED, Bank
from examples.training.siglip.prompts import UNSEEN


def test_no_phrase_of_the_evaluation_is_read() -> None:
    """Unseen wording stays unseen."""
    assert not {phrase for phrases in UNSEEN.values() for phrase in phrases} & set(Bank(0).all())


def test_every_fault_is_said_in_many_ways() -> None:
    """A hundred phrasings each, by its nouns, its adjectives and whole sentences."""
    bank = Bank(0)
    for fault in FAULTS:
        texts = {text.words for text in bank.claims[fault]}
        assert len(texts) > 100
        assert any(adjective in text for adjective in FAULTS[fault].adjectives for text in texts)


def test_texts_claim_what_they_stand_under() -> None:
    """A claim claims its concept, an absence denies it."""
    bank = Bank(0)
    for concept in TRAINED:
        assert all(concept in text.claims for text in bank.claims[concept])
        assert all(text.claims == {denied(concept)} for text in bank.absences.get(concept, []))


def test_the_same_seed_gives_the_same_phrases() -> None:
    """A training can be repeated."""
    assert Bank(3).all() == Bank(3).all()
    assert Bank(3).all() != Bank(4).all()
