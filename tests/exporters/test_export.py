"""A torch module becomes a fixed-shape ONNX graph that runs in the daemon's engine and names no path of this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edge.bundle import Execution, InputSpec
from edge.errors import ExportError
from exporters import load, measure
from exporters.export import INPUT, OPSET, OUTPUT, export
from exporters.families.base import Question
from exporters.images import synthetic_frames
from exporters.quantize import HEAD, kept_float, quantize
from exporters.specialise import plain_scale, specialise
from tests.exporters.checkpoints import SIDE

ASKED = [Question("crack", ("a crack",), ("a part",)), Question("dent", ("a dent",), ("a part",))]
FRAMES = synthetic_frames(8, SIDE, SIDE, 9)
SPEC = InputSpec(name=INPUT, width=SIDE, height=SIDE, resize="stretch")


@pytest.fixture(scope="module")
def graph(siglip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny SigLIP, exported."""
    module = specialise(load.load(*load.inspect(siglip)).graph(ASKED, None), plain_scale(2))
    return export(module, SIDE, SIDE, tmp_path_factory.mktemp("graph") / "float32.onnx")


def _scores(file: Path) -> np.ndarray:
    execution = Execution(graph=file.name, provider="CPUExecutionProvider", intra_op_threads=1, scheme="any")
    return measure.score_frames(file.parent, execution, SPEC, OUTPUT, FRAMES)


def test_the_graph_equals_the_module(graph: Path, siglip: Path) -> None:
    """ONNX Runtime in the daemon's engine gives the module's scores."""
    module = specialise(load.load(*load.inspect(siglip)).graph(ASKED, None), plain_scale(2))
    with torch.inference_mode():
        wanted = module(torch.from_numpy(FRAMES)).numpy()
    assert np.abs(wanted - _scores(graph)).max() < 1e-5


def test_the_graph_is_plain(graph: Path) -> None:
    """One domain, one opset, fixed shapes, no doc strings, no metadata, no folder of this machine."""
    model = onnx.load(graph)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", OPSET)]
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [1, SIDE, SIDE, 3]
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert str(Path(__file__).parents[2]).encode() not in graph.read_bytes()


def test_a_module_that_does_not_trace_is_an_export_error(tmp_path: Path) -> None:
    """The tracer's pages become one line."""

    class Branch(torch.nn.Module):
        def forward(self, frame: torch.Tensor) -> torch.Tensor:
            return frame.float().mean() if bool(frame.sum() > 3) else frame.float().sum()

    with pytest.raises(ExportError, match="does not export"):
        export(Branch(), 8, 8, tmp_path / "bad.onnx")


@pytest.mark.parametrize("scheme", ["dynamic-int8", "static-int8"])
@pytest.mark.parametrize("reduce_range", [True, False])
def test_quantized_graphs_run_and_stay_near(graph: Path, tmp_path: Path, scheme: str, *, reduce_range: bool) -> None:
    """Both schemes load in the daemon's engine, are smaller, differ a little, and not not at all."""
    target = quantize(scheme, graph, tmp_path / "q.onnx", frames=FRAMES, input_name=INPUT, reduce_range=reduce_range)
    difference = np.abs(_scores(target) - _scores(graph)).max()
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


def test_an_unknown_scheme_is_refused(graph: Path, tmp_path: Path) -> None:
    """No silent float."""
    with pytest.raises(ExportError, match="int3"):
        quantize("int3", graph, tmp_path / "q.onnx", frames=FRAMES, input_name=INPUT, reduce_range=True)
