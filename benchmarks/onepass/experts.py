"""Three ways to write a layer's mixture of experts in ONNX, at several numbers of tokens: `python -m benchmarks.onepass.experts`.

- loop: each expert computes the tokens that chose it (`exporters.graph.experts`, what is built);
- dense: each expert computes every token, and what was not chosen is multiplied with zero;
- gathered: each token gathers the weights of its experts.

Random weights of a small layer: 64 experts of which a token chooses 8, 512 wide, 128 inside. One thread, in turns, ONNX Runtime alone.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import report
from edge.inference.onnx_session import open_session
from edge.manifest import Execution
from exporters.graph.export import trace
from exporters.onepass.experts import chosen_experts

WIDTH, INNER, EXPERTS, EACH = 512, 128, 64, 8
TOKENS = (1, 16, 200)
ROUNDS = 15


class Layer(nn.Module):
    """Router and experts: hidden [N, D] -> [N, D]."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.router = nn.Parameter(torch.randn(EXPERTS, WIDTH) / WIDTH**0.5)
        self.gate_up = nn.Parameter(torch.randn(EXPERTS, 2 * INNER, WIDTH) / WIDTH**0.5)
        self.down = nn.Parameter(torch.randn(EXPERTS, WIDTH, INNER) / INNER**0.5)

    def route(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Experts [N, k] of every token and their shares."""
        shares, chosen = torch.topk(torch.softmax(hidden @ self.router.T, dim=-1), EACH, dim=-1)
        return chosen, shares / shares.sum(dim=-1, keepdim=True)


class Loop(Layer):
    """What is built."""

    def forward(self, hidden: Tensor) -> Tensor:
        """See the class."""
        return chosen_experts(hidden, *self.route(hidden), self.gate_up.transpose(1, 2), self.down.transpose(1, 2))


class Dense(Layer):
    """Every expert on every token."""

    def forward(self, hidden: Tensor) -> Tensor:
        """See the class."""
        chosen, shares = self.route(hidden)
        weight = torch.zeros(len(hidden), EXPERTS).scatter(1, chosen, shares)
        gate, up = (hidden[None] @ self.gate_up.transpose(1, 2)).chunk(2, dim=-1)
        found = (nn.functional.silu(gate) * up) @ self.down.transpose(1, 2)
        return (found * weight.T[:, :, None]).sum(dim=0)


class Gathered(Layer):
    """Every token with its experts' weights."""

    def forward(self, hidden: Tensor) -> Tensor:
        """See the class."""
        chosen, shares = self.route(hidden)
        gate, up = (self.gate_up[chosen] @ hidden[:, None, :, None])[..., 0].chunk(2, dim=-1)
        found = (self.down[chosen] @ (nn.functional.silu(gate) * up)[..., None])[..., 0]
        return (found * shares[..., None]).sum(dim=1)


FORMS: dict[str, type[Layer]] = {"loop": Loop, "dense": Dense, "gathered": Gathered}


def main() -> None:
    """Measure and write the result."""
    with tempfile.TemporaryDirectory(prefix="experts-") as folder:
        rows = [row for tokens in TOKENS for row in _compare(tokens, Path(folder))]
    report.write(
        "onepass_experts",
        title="A mixture of experts in ONNX: three forms in turns",
        rows=rows,
        notes=[
            f"{EXPERTS} experts of which a token chooses {EACH}, {WIDTH} wide, {INNER} inside, float32, one thread, {ROUNDS} rounds in turns.",
            "ms are the least of the rounds; over loop: median of the rounds' ratios.",
            "Weights touched: what a run reads, as a multiple of the layer's own; gathered ones are copied for every token first.",
        ],
    )


def _compare(tokens: int, folder: Path) -> list[dict[str, object]]:
    hidden = torch.randn(tokens, WIDTH, generator=torch.Generator().manual_seed(tokens))
    sessions = {}
    for name, form in FORMS.items():
        graph = trace(form().eval(), (hidden,), ["hidden"], ["out"], folder / f"{name}-{tokens}.onnx")
        execution = Execution(graph=graph.name, provider="CPUExecutionProvider", intra_op_threads=1, scheme="float32")
        sessions[name] = open_session(graph, execution)
    found = {name: session.run(None, {"hidden": hidden.numpy()})[0] for name, session in sessions.items()}
    times: dict[str, list[float]] = {name: [] for name in FORMS}
    for _ in range(ROUNDS):
        for name, session in sessions.items():
            start = time.perf_counter()
            session.run(None, {"hidden": hidden.numpy()})
            times[name].append(1000 * (time.perf_counter() - start))
    touched = {"loop": min(1.0, tokens * EACH / EXPERTS), "dense": 1.0, "gathered": tokens * EACH / EXPERTS}
    return [
        {
            "tokens": tokens,
            "form": name,
            "ms": round(min(times[name]), 2),
            "over loop": round(float(np.median(np.divide(times[name], times["loop"]))), 2),
            "weights touched": f"at most {touched[name]:.3g}",
            "largest difference to dense": f"{np.abs(found[name] - found['dense']).max():.1e}",
        }
        for name in FORMS
    ]


if __name__ == "__main__":
    report.run(main)
