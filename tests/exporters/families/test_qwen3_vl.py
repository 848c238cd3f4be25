"""Qwen3-VL: what is peculiar to the family; what it shares with the others is in `test_every_family`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.stand import onepass_check as check
from tests.stand.family_cases import Cases


@pytest.fixture
def case(cases: Cases) -> check.Case:
    """A tiny Qwen3-VL with the reference's answers."""
    return cases("qwen3_vl")


def test_positions_follow_the_reference(case: check.Case) -> None:
    """Positions along time, height and width are those that the model works out itself, for the prefix and every question's rest."""
    family, prompts = case.model.family, case.prompts
    token = family.image_token(case.model.checkpoint)
    whole = np.asarray(prompts.sequences[0])[None]
    wanted, _ = case.model.model.model.get_rope_index(
        torch.from_numpy(whole),
        torch.from_numpy((whole == token).astype(np.int64)),
        image_grid_thw=torch.tensor([[1, 8, 8]]),
    )
    found = family.positions(prompts.sequences[0], token, 4)
    assert np.array_equal(found, wanted[:, 0].numpy())
