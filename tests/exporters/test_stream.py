"""Streaming: the same graph as with the weights in memory, also quantized, and never more than a tensor of them at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.errors import ExportError
from exporters.families.gemma3 import Gemma3
from exporters.onepass.check import compare, require_exact
from exporters.settle import quantize_blocks, quantize_columns
from exporters.stream import Weights, hollow, stream
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


def test_columns_are_quantized_in_seven_bits() -> None:
    """Every column has its own scale, no value leaves -64 .. 64, and zeros stay zero."""
    value = np.asarray([[0.5, 0.0, -100.0], [-1.0, 0.0, 3.0]], dtype=np.float32)
    integers, scale = quantize_columns(value)
    assert integers.min() == -64
    assert integers.max() <= 64
    assert np.abs(integers * scale - value).max() <= scale.max() / 2


def test_rows_are_quantized_in_four_bits() -> None:
    """A block's number of largest size is kept exactly, whatever its sign, the others to half a step; what fills up the last block is zero."""
    value = np.random.default_rng(0).standard_normal((3, 40)).astype(np.float32)
    nibbles, scale = quantize_blocks(value)
    assert (nibbles.shape, scale.shape) == ((3, 2, 16), (3, 2))
    steps = np.stack([nibbles & 15, nibbles >> 4], axis=-1).reshape(3, 2, 32).astype(np.float32) - 8
    found = (steps * scale[:, :, None]).reshape(3, 64)
    assert np.abs(found[:, 40:]).max() == 0
    error = np.abs(found[:, :40] - value)
    assert (error <= np.abs(scale).repeat(32, axis=1)[:, :40] * 1.01).all()
    widest = np.abs(value[:, :32]).argmax(axis=1)
    assert np.allclose(error[np.arange(3), widest], 0, atol=1e-6)


@pytest.mark.slow
def test_a_weight_that_two_passes_use_is_written_once(case: check.Case, tmp_path: Path) -> None:
    """The prefix form runs every decoder layer twice; its file is no larger for that."""
    sizes = {}
    for form in ("tree", "prefix"):
        family = replace(case.model.family, form=form)
        written = stream(family, case.model.checkpoint, case.prompts, tmp_path / "g.onnx", scheme="dynamic-int8")
        sizes[form] = (tmp_path / "g.onnx.data").stat().st_size
        assert written.quantized > 10
    assert sizes["prefix"] < 1.1 * sizes["tree"]


@pytest.mark.slow
def test_four_bits_in_the_decoder_only(case: check.Case, tmp_path: Path) -> None:
    """The decoder's products are 4-bit operators, the tower's int8; the graph runs, and drifts more than int8 does."""
    import onnx

    written = stream(case.model.family, case.model.checkpoint, case.prompts, tmp_path / "g.onnx", scheme="decoder-int4")
    kinds = [node.op_type for node in onnx.load(written.graph, load_external_data=False).graph.node]
    layers = case.model.checkpoint.config["text_config"]["num_hidden_layers"]
    assert kinds.count("MatMulNBits") == 7 * layers
    assert "MatMulInteger" in kinds
    found = compare(check.run(written.graph, case.frames), case.reference)
    assert 1e-3 < found.mean_abs < 2


def test_a_scheme_that_cannot_be_streamed_is_no_float32(case: check.Case, tmp_path: Path) -> None:
    """It raises instead of writing float32 under its name."""
    with pytest.raises(ExportError, match="static-int8 cannot be written tensor by tensor"):
        stream(
            case.model.family, case.model.checkpoint, case.prompts, tmp_path / "g.onnx",
            scheme="static-int8",  # type: ignore[arg-type] # what a recipe may hold
        )  # fmt: skip
