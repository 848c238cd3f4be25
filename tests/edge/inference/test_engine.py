"""A graph goes live only if it is the one that was proven, and its scores are numbers or an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.errors import InferenceFailed, ProofFailed, WrongBoard
from edge.inference.engine import Engine
from edge.manifest import Execution

SIZE = 8
EXECUTION = Execution(graph="graph.onnx", provider="CPUExecutionProvider", intra_op_threads=1, scheme="float32")
RED = np.full((1, SIZE, SIZE, 3), (255, 0, 0), np.uint8)
GREEN = np.full((1, SIZE, SIZE, 3), (0, 255, 0), np.uint8)


def model(
    *,
    scale: float = 1 / 255,
    kind: int = TensorProto.UINT8,
    shape: tuple[int | str, ...] = (1, SIZE, SIZE, 3),
    input_name: str = "frame",
) -> onnx.ModelProto:
    """A graph whose three scores are the mean red, green and blue, times a scale."""
    nodes = [
        helper.make_node("Cast", [input_name], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["scores"]),
    ]
    constants = [
        numpy_helper.from_array(np.array([1, 2], np.int64), "axes"),
        numpy_helper.from_array(np.array(scale, np.float32), "scale"),
    ]
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info(input_name, kind, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, (shape[0], 3))],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def load(folder: Path, proto: onnx.ModelProto | None = None, execution: Execution = EXECUTION) -> Engine:
    """Write a graph and load it as the daemon does."""
    path = folder / "graph.onnx"
    path.write_bytes((proto or model()).SerializeToString())
    return Engine.load(path, execution, input_name="frame", output_name="scores")


def test_scores_come_out_in_order(tmp_path: Path) -> None:
    """A tensor gives one float32 score for each fault."""
    engine = load(tmp_path)
    assert engine.input_shape == (1, SIZE, SIZE, 3)
    scores = engine.run(RED)
    assert scores.dtype == np.float32
    assert scores.tolist() == pytest.approx([1.0, 0.0, 0.0])
    assert engine.run(GREEN).tolist() == pytest.approx([0.0, 1.0, 0.0])


@pytest.mark.parametrize(
    "scale", [float("nan"), float("inf"), 1.01 / 255, -1 / 255], ids=["nan", "inf", "above-1", "below-0"]
)
def test_scores_that_are_none_are_an_error(tmp_path: Path, scale: float) -> None:
    """NaN, infinity and anything outside 0..1 never reach the decision as a score."""
    with pytest.raises(InferenceFailed, match=r"0\.\.1"):
        load(tmp_path, model(scale=scale)).run(RED)


def test_rounding_beyond_1_is_clipped(tmp_path: Path) -> None:
    """A sigmoid that rounds to a hair above 1 is 1."""
    assert load(tmp_path, model(scale=1.00005 / 255)).run(RED)[0] == 1.0


@pytest.mark.parametrize(
    "tensor", [np.zeros((1, SIZE, SIZE + 1, 3), np.uint8), np.zeros((1, SIZE, SIZE, 3), np.float32)]
)
def test_a_wrong_tensor_is_an_error_and_the_engine_lives_on(tmp_path: Path, tensor: NDArray[np.uint8]) -> None:
    """A tensor of another shape or type is refused by name, and the next good one is served."""
    engine = load(tmp_path)
    with pytest.raises(InferenceFailed, match="did not run"):
        engine.run(tensor)
    assert engine.run(RED)[0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    "proto",
    [
        pytest.param(model(kind=TensorProto.FLOAT), id="float-input"),
        pytest.param(model(shape=("batch", SIZE, SIZE, 3)), id="open-batch"),
        pytest.param(model(shape=(2, SIZE, SIZE, 3)), id="batch-of-two"),
        pytest.param(model(input_name="picture"), id="other-name"),
    ],
)
def test_a_graph_of_another_form_is_refused(tmp_path: Path, proto: onnx.ModelProto) -> None:
    """The graph must take one uint8 picture of fixed size under the manifest's names."""
    with pytest.raises(ProofFailed, match="Export the bundle again"):
        load(tmp_path, proto)


@pytest.mark.parametrize("content", [b"", b"not a graph", model().SerializeToString()[:-40]])
def test_a_file_that_is_no_graph_is_refused(tmp_path: Path, content: bytes) -> None:
    """Unreadable or cut-off graphs are a bundle error, not a crash."""
    path = tmp_path / "graph.onnx"
    path.write_bytes(content)
    with pytest.raises(ProofFailed):
        Engine.load(path, EXECUTION, input_name="frame", output_name="scores")


def test_a_missing_provider_is_never_replaced_by_the_cpu(tmp_path: Path) -> None:
    """A bundle for an accelerator that is not here is for another board; it does not silently run 10x slower."""
    execution = EXECUTION.model_copy(update={"provider": "TensorrtExecutionProvider"})
    with pytest.raises(WrongBoard, match="TensorrtExecutionProvider"):
        load(tmp_path, execution=execution)


def test_warm_up_times_each_run(tmp_path: Path) -> None:
    """One duration a run, by the clock that was given."""
    ticks = iter(range(0, 1000, 7))
    assert load(tmp_path).warm_up(RED, 5, lambda: next(ticks)) == [7] * 5
