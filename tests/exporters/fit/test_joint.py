"""Named channels that take a share of the unnamed one: the same in numbers and in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporters.fit.joint import Joint, Mixed, Mixture, union


class _Said(nn.Module):
    """Says what the pooled vector holds, from a place on."""

    sees_frame = False

    def __init__(self, depths: Sequence[float], start: int, stop: int) -> None:
        super().__init__()
        self.depths, self.start, self.stop = tuple(depths), start, stop

    def forward(self, pooled: Tensor, *layers: Tensor) -> Tensor:
        """[B, stop - start]."""
        assert len(layers) == len(self.depths)
        return pooled[:, self.start : self.stop]


def _joint() -> Joint:
    unnamed: Any = _Said((1.0, 0.5), 2, 3)
    return Joint(_Said((0.5,), 0, 2), unnamed)


def test_a_share_is_taken_in_units_of_normal_pictures() -> None:
    """Of normal pictures every mixed channel has mean 0, and a share of 1 is the unnamed evidence alone."""
    normal = np.random.default_rng(0).normal([3, -2, 10], [1, 4, 2], (500, 3)).astype(np.float32)
    half = Mixture.of(normal, 0.5)(normal)
    assert half[:, :2].mean(axis=0) == pytest.approx([0, 0], abs=1e-4)
    assert half[:, :2].std(axis=0) == pytest.approx([0.5**0.5] * 2, abs=0.05)
    assert half[:, 2] == pytest.approx(normal[:, 2])
    whole = Mixture.of(normal, 1.0)(normal)
    assert whole[:, 0] == pytest.approx(whole[:, 1], abs=1e-4)
    assert np.corrcoef(whole[:, 0], normal[:, 2])[0, 1] == pytest.approx(1)


def test_the_graph_says_what_the_numbers_say() -> None:
    """Also of a head in folds, whose evidence has an axis more."""
    evidence = np.random.default_rng(1).normal(0, 1, (6, 3)).astype(np.float32)
    mixture = Mixture.of(evidence, 0.4)
    module = Mixed(_joint(), mixture)
    layers = [torch.zeros(6, 4, 2)] * 2
    assert module.depths == (0.5, 1.0)
    assert module(torch.from_numpy(evidence), *layers).numpy() == pytest.approx(mixture(evidence), abs=1e-6)
    members = np.stack([evidence, 2 * evidence], axis=1)
    assert mixture(members)[:, 1] == pytest.approx(mixture(2 * evidence), abs=1e-6)


def test_one_normal_picture_gives_no_infinite_weight() -> None:
    """Its spread is zero."""
    assert np.isfinite(Mixture.of(np.ones((1, 3), np.float32), 0.5)(np.ones((1, 3), np.float32))).all()


def test_depths_are_read_once_each() -> None:
    """In the order in which they are first asked for."""
    assert union((0.5, 1.0), (1.0, 0.2)) == (0.5, 1.0, 0.2)
