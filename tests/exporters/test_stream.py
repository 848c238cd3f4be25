"""Streaming: the same graph as with the weights in memory, also quantized, and never more than a tensor of them at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge.errors import ExportError
from exporters.families.gemma3 import Gemma3
from exporters.onepass.check import compare, require_exact
from exporters.stream import Weights, hollow, quantize_columns, stream
from tests.exporters import onepass_check as check
from tests.exporters import tiny_checkpoints as tiny


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> check.Case:
    """A tiny Gemma 3 with the reference's answers to 8 pictures."""
    return check.make(Gemma3(), tiny.gemma3(tmp_path_factory.mktemp("gemma3")), pictures=8)


def test_the_streamed_graph_is_the_checkpoint(case: check.Case, tmp_path: Path) -> None:
    """Traced on shapes, its weights written afterwards, the graph answers as the checkpoint does."""
    written = stream(case.model.family, case.model.checkpoint, case.prompts, tmp_path / "graph.onnx")
    require_exact(check.run(written.graph, case.frames), case.reference)
    assert written.streamed > 20


@pytest.mark.slow
def test_quantized_on_the_way(case: check.Case, tmp_path: Path) -> None:
    """Products with large weights become int8 while they are written; answers drift little and the file shrinks."""
    whole = stream(case.model.family, case.model.checkpoint, case.prompts, tmp_path / "whole.onnx")
    small = stream(
        case.model.family, case.model.checkpoint, case.prompts, tmp_path / "int8.onnx", scheme="dynamic-int8"
    )
    found = compare(check.run(small.graph, case.frames), case.reference)
    assert small.quantized > 10
    assert small.bytes < 0.75 * whole.bytes
    assert 1e-4 < found.mean_abs < 0.3


def test_large_parameters_hold_no_memory(case: check.Case) -> None:
    """The hollow model's large parameters are one number seen through their shape."""
    folder = case.model.checkpoint.folder
    model, names = hollow(folder, Weights(folder))
    large = [parameter for parameter in model.parameters() if parameter.numel() > 1024]
    assert large
    assert all(parameter.untyped_storage().nbytes() == 4 for parameter in large)
    assert all(id(parameter) in names for parameter in model.parameters())


def test_names_with_other_prefixes_are_found(tmp_path: Path) -> None:
    """Published checkpoints may name their parts in another order; what fits two tensors equally well is refused."""
    from safetensors.torch import save_file

    value = torch.zeros(2)
    save_file(
        {"language_model.model.layers.0.norm.weight": value, "vision.layers.0.norm.weight": value.clone()},
        tmp_path / "m.safetensors",
    )
    weights = Weights(tmp_path)
    assert weights.find("model.language_model.layers.0.norm.weight") == "language_model.model.layers.0.norm.weight"
    with pytest.raises(ExportError, match="clearly"):
        weights.find("audio.layers.0.norm.weight")
    with pytest.raises(ExportError, match="clearly"):
        weights.find("model.language_model.layers.7.scale")


def test_columns_are_quantized_in_seven_bits() -> None:
    """Every column has its own scale, no value leaves -64 .. 64, and zeros stay zero."""
    value = np.asarray([[0.5, 0.0, -100.0], [-1.0, 0.0, 3.0]], dtype=np.float32)
    integers, scale = quantize_columns(value)
    assert integers.min() == -64
    assert integers.max() <= 64
    assert np.abs(integers * scale - value).max() <= scale.max() / 2
