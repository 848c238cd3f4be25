"""Muon's step is orthogonal, and both optimisers together move every weight."""

from __future__ import annotations

import pytest
import torch

from examples.training.common.optimiser import Muon, optimisers, orthogonalised
from examples.training.siglip.model import Trainee, config


@pytest.mark.parametrize("shape", [(16, 16), (16, 48), (48, 16)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    """Whatever the matrix, the update has singular values around one."""
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalised(torch.randn(shape), steps=5))
    assert values.max() < 1.4
    assert values.median() > 0.5


def test_muon_descends() -> None:
    """A quadratic bowl gets shallower under the optimiser."""
    weight = torch.nn.Parameter(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))
    muon = Muon([weight], lr=0.15, weight_decay=0.0)
    start = float((weight**2).sum().detach())
    for _ in range(60):
        muon.zero_grad()
        (weight**2).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        muon.step()
    assert float((weight**2).sum().detach()) < 0.5 * start


def test_every_weight_has_one_optimiser() -> None:
    """No parameter is left out and none is moved twice."""
    model = Trainee(config(vocabulary=64, eos_id=1))
    held = [id(p) for optimiser in optimisers(model, 1e-3) for group in optimiser.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in model.parameters())
