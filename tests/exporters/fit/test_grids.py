"""Layers of different grids are laid on one, and what is linear may be done before."""

from __future__ import annotations

import pytest
import torch

from edge.errors import ExportError
from exporters.fit.grids import on_coarsest, on_finest, resized, side_of


def _layer(side: int, width: int = 3) -> torch.Tensor:
    return torch.randn(2, side * side, width, generator=torch.Generator().manual_seed(side))


def test_layers_meet_on_the_finest_or_the_coarsest_grid() -> None:
    """Whole steps down are means; all other ways are bilinear."""
    fine, coarse = _layer(8), _layer(4)
    assert [side_of(layer) for layer in on_finest([coarse, fine])] == [8, 8]
    first, second = on_coarsest([coarse, fine])
    assert torch.equal(first, coarse)
    assert torch.allclose(second[:, 0], fine[:, [0, 1, 8, 9]].mean(dim=1))
    assert side_of(resized(_layer(9), 4)) == 4


def test_a_product_may_come_before_the_laying() -> None:
    """So a channel that reads a few directions lays those, and not all features."""
    layer, directions = _layer(4), torch.randn(3, 2)
    assert torch.allclose(resized(layer, 8) @ directions, resized(layer @ directions, 8), atol=1e-6)


def test_a_grid_that_is_no_square_is_said_in_a_sentence() -> None:
    """The folder's own file is named."""
    with pytest.raises(ExportError, match=r"preprocessor_config\.json"):
        side_of(torch.zeros(1, 6, 2))
