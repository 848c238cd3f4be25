"""Streaming: the same graph as with the weights in memory, also quantized, and never more than a tensor of them at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.errors import ExportError
from exporters.checkpoint.lazy import Weights, empty_model
from exporters.families.gemma3 import Gemma3
from exporters.graph.export import weights_beside
from exporters.graph.stream import Written
from exporters.onepass.assembly import stream
from exporters.onepass.check import compare, require_exact
from tests.stand import onepass_check as check
from tests.stand import tiny_checkpoints as tiny


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> check.Case:
    """A tiny Gemma 3 with the reference's answers to 8 pictures."""
    return check.make(Gemma3(), tiny.gemma3(tmp_path_factory.mktemp("gemma3")), pictures=8)


@pytest.fixture(scope="module")
def whole(case: check.Case) -> Written:
    """Its float graph, written tensor by tensor."""
    return stream(case.model.family, case.model.checkpoint, case.prompts, case.work / "whole.onnx")


@pytest.fixture(scope="module")
def small(case: check.Case) -> Written:
    """The same in int8."""
    target = case.work / "int8.onnx"
    return stream(case.model.family, case.model.checkpoint, case.prompts, target, scheme="dynamic-int8")


@pytest.mark.slow
def test_the_streamed_graph_is_the_checkpoint(case: check.Case, whole: Written) -> None:
    """Traced on shapes, its weights written afterwards, the graph answers as the checkpoint does."""
    written = whole
    require_exact(check.run(written.graph, case.frames), case.reference)
    assert written.streamed > 20


@pytest.mark.slow
def test_quantized_on_the_way(case: check.Case, whole: Written, small: Written) -> None:
    """Products with large weights become int8 while they are written; answers drift little and the file shrinks."""
    found = compare(check.run(small.graph, case.frames), case.reference)
    assert small.quantized > 10
    assert small.bytes < 0.75 * whole.bytes
    assert 1e-4 < found.mean_abs < 0.3


def test_large_parameters_hold_no_memory(case: check.Case) -> None:
    """The empty model's large parameters are one number seen through their shape."""
    folder = case.model.checkpoint.folder
    model, names = empty_model(folder, Weights(folder))
    large = [parameter for parameter in model.parameters() if parameter.numel() > 1024]
    assert large
    assert all(parameter.untyped_storage().nbytes() == 4 for parameter in large)
    assert all(id(parameter) in names for parameter in model.parameters())


@pytest.mark.slow
def test_a_weight_that_two_passes_use_is_written_once(case: check.Case, small: Written, tmp_path: Path) -> None:
    """The prefix form runs every decoder layer twice; its file is no larger for that than the tree's, the family's first."""
    assert (case.model.family.form, case.model.family.forms[0]) == (None, "tree")
    family = replace(case.model.family, form="prefix")
    twice = stream(family, case.model.checkpoint, case.prompts, tmp_path / "g.onnx", scheme="dynamic-int8")
    assert twice.quantized > 10
    assert weights_beside(twice.graph).stat().st_size < 1.1 * weights_beside(small.graph).stat().st_size


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
        stream(case.model.family, case.model.checkpoint, case.prompts, tmp_path / "g.onnx", scheme="static-int8")
