"""Attention written out becomes one operator that gives the same, and what only looks like one is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from exporters.graph.fuse import fuse
from exporters.graph.stream import trace

HEADS, WIDTH, TOKENS = 2, 8, 5


class Attention(nn.Module):
    """Attention as the families write it, with what a test may change."""

    def __init__(self, *, masked: bool = False, turned: bool = False, scaled: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.project = nn.ModuleList(nn.Linear(HEADS * WIDTH, HEADS * WIDTH) for _ in range(3))
        self.masked, self.turned, self.scaled = masked, turned, scaled
        self.register_buffer("mask", torch.full((1, 1, TOKENS, TOKENS), -60.0).triu(1))

    def forward(self, rows: Tensor) -> Tensor:
        """[1, N, D] -> [1, N, D]."""
        query, key, value = (part(rows).view(1, TOKENS, HEADS, WIDTH).transpose(1, 2) for part in self.project)
        if self.turned:  # as rotary angles do: no longer a plain split of a product
            query, key = query * 1.5, key + 0.1
        scores = query @ key.transpose(2, 3) * WIDTH**-0.5
        if self.scaled:
            scores = scores * rows[:, None, :, :1]
        if self.masked:
            scores = scores + self.get_buffer("mask")
        mixed: Tensor = (torch.softmax(scores, -1) @ value).transpose(1, 2).reshape(1, TOKENS, HEADS * WIDTH)
        return mixed


def traced(module: nn.Module) -> ir.Model:
    """The module's graph before fusing."""
    return trace(module.eval(), torch.zeros(1, TOKENS, HEADS * WIDTH), input_name="rows", output_name="mixed")


def run(model: ir.Model, folder: Path, rows: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """What ONNX Runtime makes of it."""
    ir.save(model, folder / "graph.onnx")
    session = ort.InferenceSession(str(folder / "graph.onnx"), providers=["CPUExecutionProvider"])
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = session.run(None, {"rows": rows.numpy()})[0]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_attention_becomes_one_operator(tmp_path: Path, *, masked: bool, turned: bool) -> None:
    """With and without a mask, straight from the products or turned in between: one operator, no softmax left, the same numbers."""
    module, rows = Attention(masked=masked, turned=turned), torch.randn(1, TOKENS, HEADS * WIDTH)
    model = traced(module)
    assert fuse(model) == 1
    kinds = [node.op_type for node in model.graph]
    assert kinds.count("MultiHeadAttention") == 1
    assert not {"Softmax", "Reciprocal"} & set(kinds)
    with torch.inference_mode():
        wanted = module(rows).numpy()
    assert np.abs(run(model, tmp_path, rows) - wanted).max() < 1e-6


@pytest.mark.slow
def test_scores_that_depend_on_the_input_are_left_alone(tmp_path: Path) -> None:
    """A factor that is no constant is not a scale: nothing is fused, and nothing is lost."""
    module, rows = Attention(scaled=True), torch.randn(1, TOKENS, HEADS * WIDTH)
    model = traced(module)
    assert fuse(model) == 0
    with torch.inference_mode():
        assert np.abs(run(model, tmp_path, rows) - module(rows).numpy()).max() < 1e-6
