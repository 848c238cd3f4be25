"""Mixes stored samples into training batches: pictures varied, texts drawn fresh, labels worked out from facts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from examples.training.common import words
from examples.training.common.facts import Text, label_matrix, states
from examples.training.common.samples import IMAGE_SIZE, Mask, Pixels, Row, Store
from examples.training.siglip.tokens import english

MIXTURE = {"line": 0.50, "zoom": 0.16, "ground": 0.18, "steel": 0.06, "solar": 0.03, "screw": 0.05, "pan": 0.02}
"""Domain -> its share of a batch; shares of absent domains fall to the others."""

_ALWAYS = (*words.LINE, *words.GROUND, "normal", "normal")
_SOMETIMES = (*words.STEEL, *words.SOLAR)
_DENIABLE = tuple(concept for concept in words.CONCEPTS if words.absent_phrases(concept))


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's input.

    ``pixels`` float (n, 3, size, size) in -1..1, ``tokens`` int64 (m, length), ``labels`` int8 (n, m) with -1 unknown,
    ``concepts`` int8 (n, concepts) with -1 unknown, ``patches`` bool (n, concepts, grid, grid), ``cells`` bool (n, fine, fine),
    ``marked`` bool (n,): whether the two maps are known, ``named`` int64 (m,): which concept a text claims and nothing else, -1 for other texts.
    """

    pixels: Tensor
    tokens: Tensor
    labels: Tensor
    concepts: Tensor
    patches: Tensor
    cells: Tensor
    marked: Tensor
    named: Tensor


def _named(text: Text) -> int:
    (claim, *others) = text.claims
    alone = text.owner is None and not others and claim in words.CONCEPTS
    return words.CONCEPTS.index(claim) if alone else -1


def pixel_tensor(images: Pixels) -> Tensor:
    """Pictures uint8 (n, rows, columns, 3) as the model takes them: float (n, 3, rows, columns) in -1..1."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def varied(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Another exposure of a picture uint8 (size, size, 3): brightness, contrast, gamma, tint, noise, a little shift, sometimes grey."""
    levels = np.linspace(0, 1, 256)
    gain, gamma = np.exp(rng.normal(0, 0.16)), np.exp(rng.normal(0, 0.16))
    tint = np.exp(rng.normal(0, 0.05, 3))
    curve = np.clip(
        ((levels[:, None] ** gamma - 0.45) * gain + 0.45 + rng.normal(0, 0.06)) * tint * 255, 0, 255
    ).astype(np.uint8)
    image = cv2.LUT(image, curve[:, None, :]).astype(np.uint8)
    if rng.random() < 0.1:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.uint8)
    if rng.random() < 0.3:
        noise = rng.integers(-128, 128, image.shape, np.int8).astype(np.float32) * (rng.uniform(1, 9) / 74)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image


def turned(
    image: Pixels, maps: tuple[Mask, Mask], rng: np.random.Generator, *, turnable: bool
) -> tuple[Pixels, tuple[Mask, Mask], bool]:
    """A picture and its two maps mirrored half of the time, turned by quarter turns where it has no upright side; returns whether it was mirrored too."""
    mirror = bool(rng.random() < 0.5)
    quarter = int(rng.integers(4)) if turnable else 0

    def move(array: NDArray[np.generic], rows: int) -> NDArray[np.generic]:
        array = np.flip(array, rows + 1) if mirror else array
        return np.rot90(array, quarter, (rows, rows + 1))

    coarse, fine = (np.asarray(move(maps[0], 1), bool), np.asarray(move(maps[1], 0), bool))
    return np.ascontiguousarray(move(image, 0)).astype(np.uint8), (coarse, fine), mirror


class Batches:
    """An endless, seeded stream of batches from a store; ``tokenise`` turns strings into int64 (n, length)."""

    def __init__(self, store: Store, tokenise: Callable[[list[str]], Tensor], *, size: int, seed: int) -> None:
        self._store, self._tokenise, self._size = store, tokenise, size
        self._pools = {domain: store.where("train", domain) for domain in MIXTURE}
        shares = np.array([MIXTURE[domain] if self._pools[domain] else 0.0 for domain in MIXTURE])
        if not shares.sum():
            raise ValueError("the work folder holds no training samples; run the preparation first")
        self._shares = shares / shares.sum()
        self._rng = np.random.default_rng(seed)
        self._random = Random(seed)
        self._english = english(600)

    def _rows(self) -> list[Row]:
        domains = self._rng.choice(len(self._shares), self._size, p=self._shares)
        pools = list(self._pools.values())
        return [pools[domain][int(self._rng.integers(len(pools[domain])))] for domain in domains]

    def _text_for(self, index: int, row: Row, *, mirror: bool) -> Text | None:
        if row.captions and self._random.random() < 0.8:
            caption = self._random.choice(row.captions)
            return Text(words.mirrored(caption) if mirror else caption, row.caption_claims, index)
        shown = [concept for concept in words.CONCEPTS if concept in row.facts]
        if not shown:
            return None
        concept = self._random.choice(shown)
        return (
            words.claim(concept, self._random)
            if row.domain == "line"
            else words.described(row.domain, concept, self._random)
        )

    def _texts(self, rows: list[Row], mirrors: list[bool]) -> list[Text]:
        texts = [
            text
            for index, row in enumerate(rows)
            if (text := self._text_for(index, row, mirror=mirrors[index])) is not None
        ]
        sometimes = self._random.sample(_SOMETIMES, 7)
        texts += [words.claim(concept, self._random) for concept in (*_ALWAYS, *sometimes)]
        texts += [words.absence(concept, self._random) for concept in self._random.sample(_DENIABLE, 6)]
        texts += [words.attribute(self._random) for _ in range(6)]
        return [self._distracted(text) for text in texts]

    def _distracted(self, text: Text) -> Text:
        """Sometimes a word without meaning is added, so that such words learn to mean nothing."""
        if self._random.random() > 0.06:
            return text
        word = self._random.choice(self._english) if self._random.random() < 0.7 else str(self._random.randint(0, 999))
        return Text(
            f"{word} {text.words}" if self._random.random() < 0.5 else f"{text.words} {word}", text.claims, text.owner
        )

    def batch(self) -> Batch:
        """The next batch."""
        rows = self._rows()
        images, coarse, fine = self._store.images(rows), self._store.coarse(rows), self._store.fine(rows)
        mirrors = []
        pixels = np.empty((len(rows), IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        for index, row in enumerate(rows):
            image, (coarse[index], fine[index]), mirror = turned(
                images[index], (coarse[index], fine[index]), self._rng, turnable=row.turnable
            )
            pixels[index] = varied(image, self._rng)
            mirrors.append(mirror)
        texts = self._texts(rows, mirrors)
        pictures = [row.facts for row in rows]
        return Batch(
            pixel_tensor(pixels),
            self._tokenise([text.words for text in texts]),
            torch.from_numpy(label_matrix(pictures, texts)),
            torch.from_numpy(np.stack([states(words.CONCEPTS, facts) for facts in pictures])),
            torch.from_numpy(coarse),
            torch.from_numpy(fine),
            torch.tensor([row.marked for row in rows]),
            torch.tensor([_named(text) for text in texts]),
        )
