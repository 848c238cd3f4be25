"""Three-valued facts about pictures, and which text is true of which picture.

A fact is a word such as ``crack`` or ``part:gear``; ``!crack`` means that it is known to be absent. What is neither stated nor denied is unknown,
and unknown pairs of picture and text never enter a loss: a strip of steel whose labels do not cover pits is no evidence about pits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Text:
    """A text and what it claims. ``owner`` is the index of the picture that it was written for, or None for a free claim."""

    words: str
    claims: frozenset[str]
    owner: int | None = None


def denied(fact: str) -> str:
    """The opposite of a fact."""
    return fact[1:] if fact.startswith("!") else "!" + fact


def truth(claims: frozenset[str], facts: frozenset[str]) -> int:
    """1 when every claim is stated, 0 when one is denied, else UNKNOWN."""
    if any(denied(claim) in facts for claim in claims):
        return 0
    return 1 if claims <= facts else UNKNOWN


def label_matrix(pictures: Sequence[frozenset[str]], texts: Sequence[Text]) -> NDArray[np.int8]:
    """Labels int8 (pictures, texts): 1 true, 0 false, UNKNOWN.

    A text written for one picture says more than its claims (a place, a colour), so for another picture it can be false but never surely true.
    """
    labels = np.full((len(pictures), len(texts)), UNKNOWN, np.int8)
    for column, text in enumerate(texts):
        for row, facts in enumerate(pictures):
            if text.owner == row:
                labels[row, column] = 1
                continue
            value = truth(text.claims, facts)
            labels[row, column] = UNKNOWN if text.owner is not None and value == 1 else value
    return labels


def states(concepts: Sequence[str], facts: frozenset[str]) -> NDArray[np.int8]:
    """One label a concept, int8 (concepts,): 1 stated, 0 denied, UNKNOWN."""
    return np.array([truth(frozenset({concept}), facts) for concept in concepts], np.int8)
