"""Turns fault words into the questions that are asked of the checkpoint at export, so that the device needs no tokenizer."""

from __future__ import annotations

from exporters.model import Question
from exporters.recipe import Recipe


def questions(recipe: Recipe) -> tuple[Question, ...]:
    """One question per channel, in the order of scores: its phrasings, and the normal state's that it is contrasted with."""
    return tuple(
        Question(
            id=fault.id,
            words=_unique(fault.words),
            normal_words=_unique(recipe.normal_words_of(fault)),
        )
        for fault in recipe.channels
    )


def _unique(phrases: tuple[str, ...]) -> tuple[str, ...]:
    """Phrases trimmed, each once: a repeated phrasing would weigh double by accident."""
    return tuple(dict.fromkeys(" ".join(phrase.split()) for phrase in phrases))
