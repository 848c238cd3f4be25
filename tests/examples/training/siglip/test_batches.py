"""Batches keep pictures, maps and texts in step while they vary them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from examples.training.common import words
from examples.training.common.samples import FINE, GRID, IMAGE_SIZE, Sample, Store, write_shard
from examples.training.common.words import CONCEPTS
from examples.training.siglip.batches import Batches, turned, varied


def test_maps_turn_with_their_picture() -> None:
    """A bright corner and its mark stay together under every mirroring and quarter turn."""
    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    image[: IMAGE_SIZE // GRID, : IMAGE_SIZE // GRID] = 255
    coarse, fine = np.zeros((len(CONCEPTS), GRID, GRID), bool), np.zeros((FINE, FINE), bool)
    coarse[3, 0, 0] = fine[0, 0] = True
    corners = set()
    for seed in range(30):
        moved, (marks, cells), _ = turned(image, (coarse, fine), np.random.default_rng(seed), turnable=True)
        row, column = (int(v[0]) for v in np.nonzero(marks[3]))
        corners.add((row, column))
        assert moved[row * 16 + 8, column * 16 + 8, 0] == 255
        assert cells[0 if row == 0 else -1, 0 if column == 0 else -1]
    assert len(corners) == 4


def test_variation_keeps_the_shape() -> None:
    """Another exposure is still a picture of the same size, and usually another one."""
    image = np.full((IMAGE_SIZE, IMAGE_SIZE, 3), 90, np.uint8)
    other = varied(image, np.random.default_rng(0))
    assert other.shape == image.shape
    assert other.dtype == np.uint8
    assert (other != image).any()


def test_a_batch_is_seeded_and_consistent(tmp_path: Path) -> None:
    """The same seed gives the same batch; every picture has a label for each text and true ones among them."""
    image = np.full((IMAGE_SIZE, IMAGE_SIZE, 3), 90, np.uint8)
    facts = words.facts("ground", frozenset({"hole"}))
    write_shard(tmp_path / "a", [Sample(image, facts, "ground", "train", masks={}, turnable=True) for _ in range(3)])

    def tokenise(texts: list[str]) -> torch.Tensor:
        return torch.tensor([[len(text)] for text in texts])

    first, second = (Batches(Store(tmp_path), tokenise, size=4, seed=1).batch() for _ in range(2))
    assert torch.equal(first.pixels, second.pixels)
    assert torch.equal(first.tokens, second.tokens)
    assert first.labels.shape == (4, len(first.tokens))
    assert (first.labels == 1).any(1).all()
    assert (first.concepts[:, CONCEPTS.index("hole")] == 1).all()


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    """Without samples the error says what to do."""
    with pytest.raises(ValueError, match="run the preparation"):
        Batches(Store(tmp_path), lambda _texts: torch.zeros(0), size=4, seed=0)
