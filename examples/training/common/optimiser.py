"""Muon for the weight matrices of the towers and AdamW for the rest: fewer steps from scratch than AdamW alone.

torch.optim.Muon orthogonalises in bfloat16, which is about twenty times slower than float32 on processors without bfloat16 arithmetic;
here it is float32 unless automatic bfloat16 is on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrix: Tensor, steps: int = 4) -> Tensor:
    """A matrix (rows, columns) with its singular values brought near one by a quintic Newton-Schulz iteration."""
    a, b, c = _COEFFICIENTS
    dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
    x: Tensor = (matrix / (matrix.norm() + 1e-7)).to(dtype)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).float()


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, with decoupled weight decay.

    Updates are 2.5 times the root mean square that AdamW's would have: a spectral step near 0.015 at the usual rate, as short Muon runs take.
    """

    def __init__(
        self, parameters: list[nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.05
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, _closure: None = None) -> None:  # type: ignore[override]  # no closure is ever given here
        """Apply one update to every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum: Tensor = state["momentum"]
                momentum.mul_(group["momentum"]).add_(parameter.grad)
                update = orthogonalised(parameter.grad.add(momentum, alpha=group["momentum"]))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * 0.5 * max(parameter.shape) ** 0.5)


def optimisers(model: nn.Module, lr: float) -> list[torch.optim.Optimizer]:
    """Muon over the matrices inside the encoders, AdamW over embeddings, heads, norms and biases."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".encoder.layers." in name]
    chosen = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in chosen]
    return [Muon(matrices, lr=lr), torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=0.02)]
