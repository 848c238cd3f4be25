"""The phrasings that training reads, and their vectors by the locked text tower, each computed once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from examples.line.captions import article
from examples.line.faults import FAULTS
from examples.training.common import words
from examples.training.common.facts import Text, denied
from examples.training.common.words import CONCEPTS, SOLAR
from exporters.towers.words import TextSide

TRAINED = tuple(concept for concept in CONCEPTS if concept not in SOLAR)
"""Concepts that the pictures show: thermal pictures of 24 x 40 px are left out."""

CLAIMS, ABSENCES, DESCRIBED, ATTRIBUTES = 160, 40, 40, 240
"""Phrasings of each concept, of its absence, of it on what a kind of picture shows, and of parts, finishes and grounds."""

_CARRIERS = (
    "{noun}",
    "a part with {noun}",
    "a photo of a part with {noun}",
    "a component that shows {noun}",
    "I can see {noun}",
    "the inspector found {noun}",
    "there is {noun} here",
    "{noun} was found",
    "a workpiece with {noun}",
    "visible {noun}",
    "a sign of {noun}",
    "reject: {noun}",
    "this picture shows {noun}",
)
_THINGS = ("part", "component", "workpiece", "item", "machine part", "piece", "product", "surface", "unit")
_ADJECTIVE_CARRIERS = ("{a_thing}", "the {thing} is {adjective}", "a photo of {a_thing}", "it looks {adjective}")


def claim(concept: str, random: Random) -> Text:
    """A claim about one concept, in one of many forms."""
    fault = FAULTS.get(concept)
    form = random.random()
    if fault is not None and form < 0.3:
        thing, adjective = random.choice(_THINGS), random.choice(fault.adjectives)
        text = random.choice(_ADJECTIVE_CARRIERS).format(
            a_thing=article(f"{adjective} {thing}"), thing=thing, adjective=adjective
        )
    elif fault is not None and form < 0.45:
        text = random.choice(fault.clauses).format(part=random.choice(_THINGS))
    elif form < 0.75:
        text = random.choice(_CARRIERS).format(noun=random.choice(words.nouns(concept)))
    else:
        return words.claim(concept, random)
    return Text(text, frozenset({concept}))


class Bank:
    """Ready-made texts by what they claim: per concept, per denied concept, and attributes; ``share`` of the usual number of them."""

    def __init__(self, seed: int, share: float = 1.0) -> None:
        random = Random(f"{seed}/bank")

        def many(count: int, make: Callable[[], Text]) -> list[Text]:
            return _distinct(max(3, int(share * count)), make)

        self.claims = {concept: many(CLAIMS, partial(claim, concept, random)) for concept in TRAINED}
        deniable = [concept for concept in TRAINED if words.absent_phrases(concept)]
        self.absences = {concept: many(ABSENCES, partial(words.absence, concept, random)) for concept in deniable}
        for concept, texts in self.absences.items():
            plain = [Text(phrase, frozenset({denied(concept)})) for phrase in words.absent_phrases(concept)]
            self.absences[concept] = list({text.words: text for text in (*plain, *texts)}.values())
        self.attributes = many(ATTRIBUTES, partial(words.attribute, random))
        self.described = {
            domain: {
                concept: many(DESCRIBED, partial(words.described, domain, concept, random))
                for concept in _shown(domain)
            }
            for domain in words.PLACES
            if domain != "solar"
        }

    def all(self) -> list[str]:
        """Every text's words, each once."""
        tables = [self.claims, self.absences, *self.described.values()]
        texts = [text for table in tables for own in table.values() for text in own] + self.attributes
        return sorted({text.words for text in texts})


def _shown(domain: str) -> tuple[str, ...]:
    own = {"steel": (*words.STEEL, "scratch"), "ground": (*words.GROUND, "crack", "scratch")}
    return (*own.get(domain, words.LINE), "normal")


def _distinct(count: int, make: Callable[[], Text]) -> list[Text]:
    found: dict[str, Text] = {}
    for _ in range(3 * count):
        text = make()
        found.setdefault(text.words, text)
        if len(found) == count:
            break
    return list(found.values())


class Vectors:
    """Unit vectors [n, T] of phrases, kept in a folder."""

    def __init__(self, folder: Path, text: TextSide | None) -> None:
        self._folder, self._text = folder, text
        self._index: dict[str, int] = {}
        self._vectors = torch.zeros(0, 0)
        if (folder / "phrases.json").exists():
            self._index = {phrase: row for row, phrase in enumerate(json.loads((folder / "phrases.json").read_text()))}
            self._vectors = torch.from_numpy(np.load(folder / "vectors.npy")).float()

    def learn(self, phrases: Sequence[str]) -> None:
        """Compute and keep the vectors of those that are new."""
        new = sorted(set(phrases) - self._index.keys(), key=len)  # like lengths together: less padding
        if not new or self._text is None:
            return
        found = self._text.pooled(new)
        self._vectors = found if not self._index else torch.cat([self._vectors, found])
        self._index |= {phrase: len(self._index) + row for row, phrase in enumerate(new)}
        self._folder.mkdir(parents=True, exist_ok=True)
        np.save(self._folder / "vectors.npy", self._vectors.half().numpy())
        (self._folder / "phrases.json").write_text(json.dumps(list(self._index)))

    def __call__(self, phrases: Sequence[str]) -> Tensor:
        """Vectors of known phrases. Raises KeyError for one that was not learnt."""
        return self._vectors[[self._index[phrase] for phrase in phrases]]
