"""A router and an ordinary product: what chooses experts, and what may be rounded."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH, EXPERTS = 128, 64


class Routed(nn.Module):
    """Hidden [N, D] -> the shares of two experts, and a product with as many weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.plain = nn.Linear(WIDTH, EXPERTS, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """[N, 2 + E]."""
        shares, _ = torch.topk(torch.softmax(self.router(hidden), dim=-1), 2, dim=-1)
        return torch.cat([shares, self.plain(hidden)], dim=-1)
