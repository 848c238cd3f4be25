"""Quantized graphs run in the daemon's engine, stay near, and keep the words' product in float."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edge.errors import ExportError
from exporters.graph.export import INPUT, trace
from exporters.graph.quantize import HEAD, kept_float, quantize
from tests.exporters.graph.routed import WIDTH, Routed
from tests.exporters.graph.toy import FRAMES, scores


@pytest.mark.parametrize("scheme", ["dynamic-int8", "static-int8"])
@pytest.mark.parametrize("reduce_range", [True, False])
def test_quantized_graphs_run_and_stay_near(graph: Path, tmp_path: Path, scheme: str, *, reduce_range: bool) -> None:
    """Both schemes load in the daemon's engine, are smaller, differ a little, and not not at all."""
    target = quantize(scheme, graph, tmp_path / "q.onnx", frames=FRAMES, input_name=INPUT, reduce_range=reduce_range)
    difference = np.abs(scores(target) - scores(graph)).max()
    assert 0 < difference < 0.1
    assert target.stat().st_size < graph.stat().st_size


def test_a_weight_that_is_no_number_has_no_scale(graph: Path, tmp_path: Path) -> None:
    """The quantizer's bare assertion becomes a sentence."""
    model = onnx.load(graph)
    weight = next(item for item in model.graph.initializer if len(item.dims) == 2 and min(item.dims) > 32)
    poisoned = onnx.numpy_helper.to_array(weight).copy()
    poisoned[0, 0] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(poisoned, weight.name))
    onnx.save(model, tmp_path / "nan.onnx")
    with pytest.raises(ExportError, match="holds NaN or infinity"):
        quantize(
            "dynamic-int8",
            tmp_path / "nan.onnx",
            tmp_path / "q.onnx",
            frames=FRAMES,
            input_name=INPUT,
            reduce_range=True,
        )


def test_the_head_stays_float(graph: Path) -> None:
    """The product with the words' constants is never rounded."""
    model = onnx.load(graph)
    last = [node.name for node in model.graph.node if any(name.startswith(HEAD) for name in node.input)]
    assert last
    assert set(last) <= set(kept_float(model))
    assert len(kept_float(model)) < 2 * sum(node.op_type in {"MatMul", "Gemm"} for node in model.graph.node)


@pytest.mark.slow
def test_what_chooses_experts_stays_float(tmp_path: Path) -> None:
    """A router's product is found by the ranking behind it; the other product with as many weights is rounded."""
    graph = trace(Routed().eval(), (torch.randn(3, WIDTH),), ["hidden"], ["out"], tmp_path / "routed.onnx")
    products = [node.name for node in onnx.load(graph).graph.node if node.op_type in {"MatMul", "Gemm"}]
    assert len(products) == 2
    assert len([name for name in kept_float(onnx.load(graph)) if name in products]) == 1
    target = quantize(
        "dynamic-int8", graph, tmp_path / "int8.onnx", frames=FRAMES, input_name="hidden", reduce_range=True
    )
    kinds = [node.op_type for node in onnx.load(target).graph.node]
    assert kinds.count("MatMulInteger") == kinds.count("MatMul") + kinds.count("Gemm") == 1


def test_an_unknown_scheme_is_refused(graph: Path, tmp_path: Path) -> None:
    """No silent float."""
    with pytest.raises(ExportError, match="int3"):
        quantize("int3", graph, tmp_path / "q.onnx", frames=FRAMES, input_name=INPUT, reduce_range=True)
