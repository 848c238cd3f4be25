"""The mixture as the graph has it equals transformers' own block, and the reference's model is left as it was."""

from __future__ import annotations

import torch
from transformers.models.qwen3_5_moe.modeling_qwen3_5_moe import Qwen3_5MoeSparseMoeBlock

from exporters.onepass.experts import Mixture, with_mixture
from tests.stand.family_cases import Cases


def test_the_mixture_is_transformers_own(cases: Cases) -> None:
    """Routing, shares, the chosen experts and the shared one, on every layer."""
    layers = cases("qwen35_moe").model.model.model.language_model.layers
    hidden = torch.randn(2, 9, 48, generator=torch.Generator().manual_seed(0))
    for layer in layers:
        with torch.inference_mode():
            wanted, found = layer.mlp(hidden), Mixture(layer.mlp)(hidden)
        assert wanted.abs().max() > 0.01
        assert (found - wanted).abs().max() < 1e-5


def test_the_reference_keeps_its_own_block(cases: Cases) -> None:
    """Only the traced layer has the other form, with the very same parameters."""
    layer = cases("qwen35_moe").model.model.model.language_model.layers[0]
    traced = with_mixture(layer)
    assert isinstance(layer.mlp, Qwen3_5MoeSparseMoeBlock)
    assert traced.mlp.gate_up is layer.mlp.experts.gate_up_proj
    assert traced.input_layernorm is layer.input_layernorm
