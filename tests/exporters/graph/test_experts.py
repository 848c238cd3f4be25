"""A mixture of experts as a loop in ONNX: exact in float32, near in int8, and never an expert that no token chose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exporters.graph import experts
from exporters.graph.experts import quantize_experts
from exporters.graph.stream import trace

TOKENS, WIDTH, INNER, EXPERTS, EACH = 7, 16, 12, 5, 2


class Routed(nn.Module):
    """Experts with choices that are given: the last two experts get no token."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gate_up = nn.Parameter(torch.randn(EXPERTS, 2 * INNER, WIDTH))
        self.down = nn.Parameter(torch.randn(EXPERTS, WIDTH, INNER))
        self.chosen = nn.Buffer(torch.stack([torch.arange(TOKENS) % 3, (torch.arange(TOKENS) + 1) % 3], dim=1))
        self.shares = nn.Buffer(torch.softmax(torch.randn(TOKENS, EACH), dim=-1))

    def forward(self, hidden: Tensor) -> Tensor:
        """Mark the place."""
        given = (hidden, self.chosen, self.shares, self.gate_up.transpose(1, 2), self.down.transpose(1, 2))
        found: Tensor = torch.onnx.ops.symbolic(
            "plantflag::Experts", given, dtype=hidden.dtype, shape=hidden.shape, version=1
        )
        return found

    def slowly(self, hidden: Tensor) -> Tensor:
        """Token by token, expert by expert."""
        found = torch.zeros_like(hidden)
        for token in range(TOKENS):
            for place in range(EACH):
                one = int(self.chosen[token, place])
                gate, up = (self.gate_up[one] @ hidden[token]).chunk(2)
                found[token] += self.shares[token, place] * (self.down[one] @ (nn.functional.silu(gate) * up))
        return found


def _run(model: ir.Model, folder: Path, hidden: Tensor) -> NDArray[np.float32]:
    ir.save(model, folder / "graph.onnx")
    onnx.checker.check_model(str(folder / "graph.onnx"))
    session = ort.InferenceSession(str(folder / "graph.onnx"), providers=["CPUExecutionProvider"])
    found: NDArray[np.float32] = session.run(None, {"hidden": hidden.numpy()})[0]
    return found


@pytest.fixture
def routed() -> Routed:
    """Five experts, three of them chosen."""
    return Routed().eval()


@pytest.fixture
def marked(routed: Routed) -> ir.Model:
    """Their graph with one marked node."""
    model = trace(routed, torch.zeros(TOKENS, WIDTH), input_name="hidden", output_name="out", optimised=False)
    assert [node.op_type for node in model.graph if node.domain == experts.DOMAIN] == [experts.EXPERTS]
    return model


@pytest.mark.slow
@pytest.mark.parametrize(("scheme", "far"), [("as traced", 1e-5), ("float32", 1e-5), ("dynamic-int8", 0.1)])
def test_the_loop_computes_what_the_experts_compute(
    routed: Routed, marked: ir.Model, tmp_path: Path, scheme: str, far: float
) -> None:
    """Float32 is exact, int8 is near and takes a quarter; no node of our own domain is left, and no weight is there twice."""
    if scheme != "as traced":
        assert experts.lower(marked.graph, scheme) == (2 if scheme == "dynamic-int8" else 0)
    experts.inline(marked)
    assert {node.domain for node in marked.graph.all_nodes()} <= {"", "ai.onnx"}
    assert "Loop" in [node.op_type for node in marked.graph]
    hidden = torch.randn(TOKENS, WIDTH)
    found, wanted = _run(marked, tmp_path, hidden), routed.slowly(hidden).detach().numpy()
    apart = np.abs(found - wanted).max() / np.abs(wanted).max()
    assert apart < far
    if scheme == "dynamic-int8":
        assert apart > 1e-4
        floats = sum(
            one.const_value.size for one in marked.graph.initializers.values() if one.dtype == ir.DataType.FLOAT
        )
        assert floats < routed.gate_up.numel() / 2


@pytest.mark.slow
def test_an_expert_that_no_token_chose_is_not_computed(routed: Routed, marked: ir.Model, tmp_path: Path) -> None:
    """Weights that are no numbers, in the experts without a token, do not matter."""
    with torch.no_grad():
        routed.gate_up[3:] = torch.nan
        routed.down[3:] = torch.nan
    model = trace(routed, torch.zeros(TOKENS, WIDTH), input_name="hidden", output_name="out", optimised=False)
    experts.inline(model)
    experts.inline(marked)
    hidden = torch.randn(TOKENS, WIDTH)
    found = _run(model, tmp_path, hidden)
    assert np.isfinite(found).all()
    assert np.array_equal(found, _run(marked, tmp_path, hidden))


@pytest.mark.slow
def test_a_graph_without_experts_is_left_alone() -> None:
    """Nothing to lower, nothing to put in."""
    model = trace(nn.ReLU(), torch.zeros(2, 2), input_name="hidden", output_name="out", optimised=False)
    before = [node.op_type for node in model.graph]
    assert experts.lower(model.graph, "dynamic-int8") == 0
    experts.inline(model)
    assert [node.op_type for node in model.graph] == before


def test_every_expert_and_column_has_its_own_scale() -> None:
    """Seven bits: the largest weight of a column is 64 steps; a column of zeros keeps a scale."""
    weights = np.random.default_rng(0).normal(size=(3, 8, 5)).astype(np.float32)
    weights[1] *= 1000
    weights[2, :, 4] = 0
    integers, scale = quantize_experts(weights)
    assert integers.dtype == np.int8
    assert np.abs(integers).max(axis=1)[:2].tolist() == [[64] * 5] * 2
    assert np.abs(integers * scale[:, None, :] - weights).max(axis=1) == pytest.approx(scale / 2, rel=1, abs=1e-6)
    assert scale[2, 4] == 1.0
