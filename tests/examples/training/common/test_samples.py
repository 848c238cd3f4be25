"""Samples survive the way through shard files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from examples.training.common.samples import FINE, GRID, IMAGE_SIZE, Sample, Store, resized, write_shard
from examples.training.common.words import CONCEPTS


def _sample(split: str = "train") -> Sample:
    mask = np.zeros((40, 40), bool)
    mask[:10, :10] = True
    image = np.full((IMAGE_SIZE, IMAGE_SIZE, 3), 7, np.uint8)
    return Sample(
        image,
        frozenset({"crack", "!rust"}),
        "line",
        split,
        ("a crack",),
        frozenset({"crack"}),
        {"crack": mask, "rust": mask},
    )


def test_a_shard_gives_back_what_was_written(tmp_path: Path) -> None:
    """Pictures, facts, captions and the place of the fault come back as they were."""
    assert write_shard(tmp_path / "a", [_sample(), _sample("validation")]) == 2
    store = Store(tmp_path)
    (row,) = store.where("train", "line")
    assert row.facts == {"crack", "!rust"}
    assert row.captions == ("a crack",)
    assert (store.images([row]) == 7).all()
    coarse, fine = store.coarse([row])[0], store.fine([row])[0]
    assert coarse.shape == (len(CONCEPTS), GRID, GRID)
    assert coarse[CONCEPTS.index("crack")].sum() == (GRID // 4) ** 2
    assert fine.sum() == (FINE // 4) ** 2


def test_masks_of_faults_that_are_not_stated_are_dropped(tmp_path: Path) -> None:
    """A mask of something that the facts deny or leave open teaches nothing."""
    write_shard(tmp_path / "a", [_sample()])
    store = Store(tmp_path)
    assert not store.coarse(store.rows)[0][CONCEPTS.index("rust")].any()


def test_an_empty_shard_is_a_shard(tmp_path: Path) -> None:
    """No samples is no error."""
    assert write_shard(tmp_path / "a", []) == 0
    assert Store(tmp_path).rows == []


def test_grey_pictures_become_rgb_of_the_model_size() -> None:
    """Any grey picture comes out square, with three equal channels."""
    image = resized(np.arange(60, dtype=np.uint8).reshape(6, 10))
    assert image.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    assert (image[..., 0] == image[..., 1]).all()
