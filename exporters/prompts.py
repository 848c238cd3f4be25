"""Fault words become questions: what is asked of the checkpoint once, here, so that the device needs no tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from exporters.families.base import Model, Question
from exporters.families.dual_encoder import DualEncoderModel
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


def cut_off(model: Model, asked: Sequence[Question]) -> tuple[str, ...]:
    """What the report says of phrasings that are longer than the text tower reads: it sees their beginning only."""
    if not isinstance(model, DualEncoderModel):
        return ()
    most = int(model.model.config.text_config.max_position_embeddings)
    found: dict[str, int] = {}
    for phrase in (phrase for question in asked for phrase in (*question.words, *question.normal_words)):
        tokens = len(model.tokenizer(phrase, padding=False, truncation=False)["input_ids"])
        if tokens > most:
            found[phrase] = tokens
    return tuple(
        f"CUT OFF: {phrase!r} has {tokens} tokens and the checkpoint reads {most}; shorten it, what stands behind is not asked."
        for phrase, tokens in found.items()
    )


def _unique(phrases: tuple[str, ...]) -> tuple[str, ...]:
    """Phrases trimmed, each once: a repeated phrasing would weigh double by accident."""
    return tuple(dict.fromkeys(" ".join(phrase.split()) for phrase in phrases))
