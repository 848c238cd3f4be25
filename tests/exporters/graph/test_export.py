"""A torch module becomes a fixed-shape ONNX graph that runs in the daemon's engine and names no path of this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from edge.errors import ExportError
from exporters import load
from exporters.graph.export import OPSET, export
from exporters.graph.specialise import plain_scale, specialise
from tests.exporters.graph.toy import ASKED, FRAMES, scores
from tests.stand.checkpoints import SIDE


def test_the_graph_equals_the_module(graph: Path, siglip: Path) -> None:
    """ONNX Runtime in the daemon's engine gives the module's scores."""
    module = specialise(load.load(*load.inspect(siglip)).graph(ASKED, None), plain_scale(2))
    with torch.inference_mode():
        wanted = module(torch.from_numpy(FRAMES)).numpy()
    assert np.abs(wanted - scores(graph)).max() < 1e-5


def test_the_graph_is_plain(graph: Path) -> None:
    """One domain, one opset, fixed shapes, no doc strings, no metadata, no folder of this machine."""
    model = onnx.load(graph)
    assert [(item.domain, item.version) for item in model.opset_import] == [("", OPSET)]
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [1, SIDE, SIDE, 3]
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert str(Path(__file__).parents[3]).encode() not in graph.read_bytes()


@pytest.mark.slow
def test_a_module_that_does_not_trace_is_an_export_error(tmp_path: Path) -> None:
    """The tracer's pages become one line."""

    class Branch(torch.nn.Module):
        def forward(self, frame: torch.Tensor) -> torch.Tensor:
            return frame.float().mean() if bool(frame.sum() > 3) else frame.float().sum()

    with pytest.raises(ExportError, match="does not export"):
        export(Branch(), 8, 8, tmp_path / "bad.onnx")
