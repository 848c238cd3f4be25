"""Second stage: mixes what the groups answer into batches with texts drawn fresh and labels worked out from facts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from torch import Tensor

from examples.training.common import words
from examples.training.common.facts import UNKNOWN, Text, label_matrix, states
from examples.training.common.samples import Row, Store
from examples.training.lite0.features import Features
from examples.training.lite0.phrases import TRAINED, Bank

MIXTURE = {"line": 0.68, "zoom": 0.09, "ground": 0.07, "steel": 0.13, "pan": 0.03}
"""Domain -> its share of a batch."""

CAPTIONS = 1  # of each picture that are read
ATTRIBUTES = 8  # claims about part, finish and ground in a batch
NEAR = 2  # further claims of each of the line's faults in a batch: many phrasings of one thing


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's input.

    ``pooled`` float (n, width) and ``answers`` float (n, width) of each group are the image side's; ``texts`` float (m, width) the text tower's,
    ``labels`` int8 (n, m) with -1 unknown. ``bad`` and ``good`` index the texts of each concept and of its contrary, ``shown`` int8
    (n, concepts) is what each picture shows, -1 unknown.
    """

    pooled: Tensor
    answers: tuple[Tensor, ...]
    texts: Tensor
    labels: Tensor
    bad: Tensor
    good: Tensor
    shown: Tensor


class Batches:
    """An endless, seeded stream of batches.

    Args:
        rows: the samples to learn from.
        features: of the samples.
        answered: pooled [n, D] and answers of each group [n, A] of those rows.
        bank: the phrasings.
        vectors: phrases -> their vectors.
        size: pictures a batch.
        seed: of everything that is drawn.
        left_out: concepts that training must not meet in words.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        features: Features,
        answered: tuple[Tensor, list[Tensor]],
        bank: Bank,
        vectors: Callable[[Sequence[str]], Tensor],
        *,
        size: int,
        seed: int,
        left_out: frozenset[str] = frozenset(),
    ) -> None:
        self._all, self._features, self._bank, self._vectors, self._size = rows, features, bank, vectors, size
        self._pooled, self._answers = answered
        self._concepts = tuple(concept for concept in TRAINED if concept not in left_out)
        self._left_out = left_out
        self._pools = {domain: [at for at, row in enumerate(rows) if row.domain == domain] for domain in MIXTURE}
        shares = np.array([MIXTURE[domain] if self._pools[domain] else 0.0 for domain in MIXTURE])
        self._shares = shares / shares.sum()
        self._rng = np.random.default_rng(seed)
        self._random = Random(seed)

    def _chosen(self) -> list[int]:
        domains = self._rng.choice(len(self._shares), self._size, p=self._shares)
        pools = list(self._pools.values())
        return [pools[domain][int(self._rng.integers(len(pools[domain])))] for domain in domains]

    def _caption(self, index: int, row: Row) -> Text | None:
        """A text for one picture: one of its captions, or a claim about something that it shows, in the words of its kind."""
        if row.captions and self._random.random() < 0.7:
            caption = kept_caption(row, self._random.randrange(CAPTIONS), mirrored=self._features.mirrored(row))
            if not self._left_out or not _names(caption, self._left_out):
                return Text(caption, row.caption_claims, index)
        shown = [concept for concept in self._concepts if concept in row.facts]
        if not shown:
            return None
        concept = self._random.choice(shown)
        own = self._bank.described.get(row.domain, {}).get(concept)
        return self._random.choice(own or self._bank.claims[concept])

    def _texts(self, rows: list[Row]) -> tuple[list[Text], list[int], list[int]]:
        """All texts of a batch, and which of them claim each concept and its contrary."""
        choose = self._random.choice
        texts = [choose(self._bank.claims[concept]) for concept in self._concepts]
        bad = list(range(len(texts)))
        good = []
        for concept in self._concepts:
            absences = self._bank.absences.get(concept)
            good.append(len(texts))
            alike = absences is not None and self._random.random() < 0.5
            texts.append(choose(absences) if absences and alike else choose(self._bank.claims["normal"]))
        texts += [choose(self._bank.claims[concept]) for concept in words.LINE if concept in self._concepts] * NEAR
        texts += self._random.choices(self._bank.attributes, k=ATTRIBUTES)
        found = [self._caption(index, row) for index, row in enumerate(rows)]
        texts += [text for text in found if text is not None]
        return texts, bad, good

    def batch(self) -> Batch:
        """The next batch."""
        chosen = self._chosen()
        rows = [self._all[at] for at in chosen]
        texts, bad, good = self._texts(rows)
        facts = [row.facts for row in rows]
        shown = torch.from_numpy(np.stack([states(self._concepts, own) for own in facts]))
        plain = torch.tensor(["normal" in texts[at].claims for at in good])
        other = torch.tensor(["!normal" in own for own in facts])
        shown[:, [concept == "normal" for concept in self._concepts]] = UNKNOWN  # it has no contrary of its own
        shown[(shown == 0) & other[:, None] & plain] = (
            UNKNOWN  # something else is wrong with it: then neither text is true
        )
        return Batch(
            self._pooled[chosen],
            tuple(answer[chosen] for answer in self._answers),
            self._vectors([text.words for text in texts]),
            torch.from_numpy(label_matrix(facts, texts)),
            torch.tensor(bad),
            torch.tensor(good),
            shown,
        )


def learnt_from(store: Store, features: Features, left_out: frozenset[str]) -> list[Row]:
    """The training samples whose features are kept and that show nothing that is left out. Raises ValueError where there are none."""
    rows = [row for domain in MIXTURE for row in store.where("train", domain)]
    found = [row for row in rows if features.kept(row) and not row.facts & left_out]
    if not found:
        raise ValueError("no features of training samples are kept; run the preparation first")
    return found


def kept_caption(row: Row, number: int, *, mirrored: bool) -> str:
    """One of a picture's captions as its kept features show it."""
    caption = row.captions[number % len(row.captions)]
    return words.mirrored(caption) if mirrored else caption


def _names(text: str, concepts: frozenset[str]) -> bool:
    phrases = tuple(
        phrase for concept in concepts for phrase in (*words.nouns(concept), *words.absent_phrases(concept))
    )
    return words.mentions(text, phrases)
