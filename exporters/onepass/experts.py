"""A layer's mixture of experts, as one node that the graph's writer turns into a loop (`exporters.graph.experts`).

transformers' own form walks only the experts that some token chose, which does not trace: how many there are is in the data.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from exporters.graph.experts import DOMAIN, EXPERTS


class Mixture(nn.Module):
    """Router, routed experts and the expert that all tokens share: hidden [B, N, D] -> the same shape. It shares the block's parameters."""

    def __init__(self, block: Any) -> None:  # noqa: ANN401 - transformers' untyped module
        super().__init__()
        self.router = block.gate
        self.gate_up, self.down = block.experts.gate_up_proj, block.experts.down_proj
        self.shared, self.shared_gate = block.shared_expert, block.shared_expert_gate

    def forward(self, hidden: Tensor) -> Tensor:
        """See the class."""
        rows = hidden.flatten(0, -2)
        _, shares, chosen = self.router(rows)
        found = chosen_experts(rows, chosen, shares, self.gate_up.transpose(1, 2), self.down.transpose(1, 2))
        found = found + torch.sigmoid(self.shared_gate(rows)) * self.shared(rows)
        return cast("Tensor", found.reshape(hidden.shape))


def with_mixture(layer: Any) -> Any:  # noqa: ANN401 - transformers' untyped module
    """A decoder layer whose experts trace; the layer itself, which the reference uses, is left as it is."""
    traced = copy.copy(layer)
    traced._modules = {**layer._modules, "mlp": Mixture(layer.mlp)}  # noqa: SLF001 - a shallow copy's own dict
    return traced


def chosen_experts(hidden: Tensor, chosen: Tensor, shares: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """Each token's sum over the k experts that it chose, by its shares.

    Args:
        hidden: [N, D].
        chosen: int64 [N, k], each expert once.
        shares: [N, k].
        gate_up: [E, D, 2I].
        down: [E, I, D].
    """
    if torch.onnx.is_in_onnx_export():
        marked: Tensor = torch.onnx.ops.symbolic(
            f"{DOMAIN}::{EXPERTS}", (hidden, chosen, shares, gate_up, down), dtype=hidden.dtype, shape=hidden.shape, version=1
        )  # fmt: skip
        return marked
    found = torch.zeros_like(hidden)
    for expert in torch.unique(chosen).tolist():
        rows, place = torch.where(chosen == expert)
        gate, up = (hidden[rows] @ gate_up[expert]).chunk(2, dim=-1)
        single = (nn.functional.silu(gate) * up) @ down[expert]
        found = found.index_add(0, rows, single * shares[rows, place, None])
    return found
