"""Fault words become questions: what is asked of the checkpoint once, here, so that the device needs no tokenizer."""

from __future__ import annotations

from exporters.families.base import Question
from exporters.recipe import Recipe


def questions(recipe: Recipe) -> list[Question]:
    """One question per fault, in the recipe's order: its phrasings, and the normal state's that it is contrasted with."""
    return [
        Question(
            id=fault.id,
            words=_unique(fault.words),
            normal_words=_unique(recipe.normal_words_of(fault)),
        )
        for fault in recipe.faults
    ]


def _unique(phrases: tuple[str, ...]) -> tuple[str, ...]:
    """Phrases trimmed, each once: a repeated phrasing would weigh double by accident."""
    return tuple(dict.fromkeys(" ".join(phrase.split()) for phrase in phrases))
