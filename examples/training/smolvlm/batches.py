"""Mixes stored pictures into training batches of one size, with questions that all of them are asked and the answers as tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples.training.common import words
from examples.training.common.facts import denied, label_matrix, states
from examples.training.common.samples import FINE, GRID, PATCH_SIZE, Pixels, Row, Store, resized
from examples.training.siglip.batches import pixel_tensor, turned, varied
from examples.training.smolvlm import questions
from examples.training.smolvlm.model import SCENE, SHUFFLE
from examples.training.smolvlm.prompts import Packed, pack

SIZES = {192: 0.7, 224: 0.1, 256: 0.2}
"""Edge of a batch's pictures in px -> how often."""

MIXTURE = {"line": 0.60, "zoom": 0.14, "ground": 0.10, "steel": 0.06, "solar": 0.03, "screw": 0.05, "pan": 0.02}
"""Domain -> its share of a batch; shares of absent domains fall to the others."""

UNKNOWN = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's input.

    ``pixels`` float (n, 3, size, size) in -1..1; ``packed`` the questions; ``targets`` int64 (n, questions) token of the right answer or UNKNOWN;
    ``yes_no`` and ``short`` bool (questions,): which are answered yes or no, and which of them are asked in one token; ``patches`` bool (n, size / 16 squared, concepts) and ``known`` bool (n, concepts): where the patch map is settled;
    ``scene`` int8 (n, SCENE): 1, 0 or -1 unknown; ``meant`` bool (yes/no questions, 2 * SCENE): the facts that each asks for.
    """

    pixels: Tensor
    packed: Packed
    targets: Tensor
    yes_no: Tensor
    short: Tensor
    patches: Tensor
    known: Tensor
    scene: Tensor
    meant: Tensor


def answer_ids(tokenizer: Any) -> dict[str, int]:  # noqa: ANN401 - transformers ships no types
    """The one token of every answer word. Raises ValueError for a word that the vocabulary splits."""
    wanted = {"Yes", "No"} | {word for table in questions.WORD_QUESTIONS for word in table.answers.values()}
    found = {word: tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in sorted(wanted)}
    split = [word for word, ids in found.items() if len(ids) != 1]
    if split:
        raise ValueError(f"the vocabulary splits the answers {', '.join(split)}; give them more weight in its corpus")
    return {word: ids[0] for word, ids in found.items()}


def patch_map(coarse: Tensor, fine: Tensor, side: int) -> Tensor:
    """Which patch of a ``side`` x ``side`` grid shows which concept: bool (n, side * side, concepts).

    ``coarse`` bool (n, concepts, GRID, GRID) marks which, ``fine`` bool (n, FINE, FINE) where more exactly.
    """
    spread = coarse.repeat_interleave(FINE // GRID, 2).repeat_interleave(FINE // GRID, 3) & fine[:, None]
    return (torch.nn.functional.adaptive_max_pool2d(spread.float(), side) > 0).flatten(2).transpose(1, 2)


class Batches:
    """An endless, seeded stream of batches; ``open_store`` is called now and then, so that shards made meanwhile join in."""

    def __init__(self, folder: Path, tokenizer: Any, *, size: int, questions_each: int, seed: int) -> None:  # noqa: ANN401 - as above
        self._folder, self._tokenizer, self._size, self._count = folder, tokenizer, size, questions_each
        self._rng, self._random = np.random.default_rng(seed), Random(seed)
        self._ids = answer_ids(tokenizer)
        self._made = 0
        self._open()

    def _open(self) -> None:
        self._store = Store(self._folder)
        self._pools = {domain: self._store.where("train", domain) for domain in MIXTURE}
        shares = np.array([MIXTURE[domain] if self._pools[domain] else 0.0 for domain in MIXTURE])
        if not shares.sum():
            raise ValueError("the work folder holds no training samples; run examples.training.smolvlm.pictures first")
        self._shares = shares / shares.sum()

    def _rows(self, count: int) -> list[Row]:
        pools = list(self._pools.values())
        domains = self._rng.choice(len(pools), count, p=self._shares)
        return [pools[domain][int(self._rng.integers(len(pools[domain])))] for domain in domains]

    def _words(
        self, pictures: list[frozenset[str]], count: int
    ) -> tuple[list[str], np.ndarray[Any, np.dtype[np.int64]]]:
        """Turns answered with a word, and the tokens int64 (n, count) of the right ones."""
        turns, targets = [], np.full((len(pictures), count), UNKNOWN, np.int64)
        for column, table in enumerate(self._random.sample(questions.WORD_QUESTIONS, count)):
            turns.append(questions.INSTRUCTIONS["word"].format(question=self._random.choice(table.forms)))
            for row, facts in enumerate(pictures):
                word = table.answer(facts)
                targets[row, column] = UNKNOWN if word is None else self._ids[word]
        return turns, targets

    def _pictures(self, rows: list[Row], edge: int) -> tuple[Pixels, Tensor]:
        """Pictures uint8 (n, edge, edge, 3), varied, and their patch maps."""
        coarse, fine = self._store.coarse(rows), self._store.fine(rows)
        pixels = np.empty((len(rows), edge, edge, 3), np.uint8)
        for index, row in enumerate(rows):
            image, (coarse[index], fine[index]), _ = turned(
                self._store.image(row), (coarse[index], fine[index]), self._rng, turnable=row.turnable
            )
            pixels[index] = varied(resized(image, edge), self._rng)
        return pixels, patch_map(torch.from_numpy(coarse), torch.from_numpy(fine), edge // PATCH_SIZE)

    def batch(self) -> Batch:
        """The next batch: fewer pictures when they are larger."""
        self._made += 1
        if self._made % 200 == 0:
            self._open()
        edge = int(self._rng.choice(list(SIZES), p=list(SIZES.values())))
        rows = self._rows(max(2, round(self._size * (192 / edge) ** 1.5)))
        pictures = [row.facts for row in rows]
        asked = questions.for_pictures(pictures, self._count, self._random)
        turns, targets = self._words(pictures, 2)
        turns = [questions.INSTRUCTIONS["yes_no"].format(question=text.words) for text in asked] + turns
        short = questions.short_for(pictures, self._random)
        answers, shorts = (
            np.select([found == 1, found == 0], [self._ids["Yes"], self._ids["No"]], UNKNOWN)
            for found in (label_matrix(pictures, asked), np.stack([states(list(short), facts) for facts in pictures]))
        )
        kinds = np.repeat([0, 1, 2], [len(asked), targets.shape[1], len(short)])
        claims = [*(text.claims for text in asked), *({concept} for concept in short)]
        pixels, patches = self._pictures(rows, edge)
        settled = np.stack(
            [
                states(words.CONCEPTS, row.facts) >= 0 if row.marked else np.zeros(len(words.CONCEPTS), bool)
                for row in rows
            ]
        )
        return Batch(
            pixel_tensor(pixels),
            pack(self._tokenizer, turns, edge // PATCH_SIZE // SHUFFLE, list(short.values())),
            torch.from_numpy(np.concatenate([answers, targets, shorts], axis=1)),
            torch.from_numpy(kinds != 1),
            torch.from_numpy(kinds == 2),
            patches,
            torch.from_numpy(settled),
            torch.from_numpy(np.stack([states(SCENE, facts) for facts in pictures])),
            torch.tensor([[fact in claimed for fact in (*SCENE, *map(denied, SCENE))] for claimed in claims]),
        )


Tokenise = Callable[[list[str]], list[list[int]]]
