"""A run beside the path of a frame stops between two operators when a frame comes, and costs the session nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge.errors import InferenceFailed, ProofFailed
from edge.inference.onnx_session import Brake, Graph, Stopped, open_session
from edge.manifest import Execution

EXECUTION = Execution(graph="g.onnx", provider="CPUExecutionProvider", intra_op_threads=1, scheme="float32")
WIDTH, LAYERS = 256, 600


def long_graph(folder: Path) -> Path:
    """Many products in a row: some ten milliseconds of work in hundreds of operators."""
    weight = numpy_helper.from_array(np.eye(WIDTH, dtype=np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x" if index == 0 else f"h{index - 1}", "w"], [f"h{index}"])
        for index in range(LAYERS)
    ]
    nodes.append(helper.make_node("Identity", [f"h{LAYERS - 1}"], ["y"]))
    shape = (WIDTH, WIDTH)
    graph = helper.make_graph(
        nodes,
        "long",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [weight],
    )
    path = folder / "g.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_a_frame_stops_a_run_that_is_under_way(tmp_path: Path) -> None:
    """The brake is pulled from another thread in mid-run: the run ends early, and the next one works."""
    session = open_session(long_graph(tmp_path), EXECUTION)
    brake = Brake(lambda: False)
    graph = Graph(session, brake)
    feeds = {"x": np.ones((WIDTH, WIDTH), np.float32)}
    graph.run(feeds, ["y"])
    begun = time.monotonic()
    graph.run(feeds, ["y"])
    whole_s = time.monotonic() - begun
    stopped_after = []
    for _ in range(5):  # the machine may be too busy to pull it in time once
        timer = threading.Timer(whole_s / 10, brake.pull)
        begun = time.monotonic()
        timer.start()
        try:
            graph.run(feeds, ["y"])
        except Stopped:
            stopped_after.append(time.monotonic() - begun)
        timer.join()
    assert stopped_after, "never stopped"
    assert min(stopped_after) < 0.7 * whole_s
    assert np.allclose(graph.run(feeds, ["y"])[0], 1.0)


def test_with_a_frame_waiting_nothing_is_begun(tmp_path: Path) -> None:
    """What came before the run is asked for when the brake is armed; afterwards the way is free again."""
    waits = [True]
    graph = Graph(open_session(long_graph(tmp_path), EXECUTION), Brake(lambda: waits[0]))
    feeds = {"x": np.ones((WIDTH, WIDTH), np.float32)}
    with pytest.raises(Stopped):
        graph.run(feeds, ["y"])
    waits[0] = False
    assert graph.run(feeds, ["y"])[0].shape == (WIDTH, WIDTH)


def test_a_brake_with_nothing_running_is_harmless(tmp_path: Path) -> None:
    """It stops what runs now, not what comes later."""
    brake = Brake(lambda: False)
    brake.pull()
    graph = Graph(open_session(long_graph(tmp_path), EXECUTION), brake)
    assert graph.run({"x": np.ones((WIDTH, WIDTH), np.float32)}, ["y"])[0].shape == (WIDTH, WIDTH)


def test_what_is_wrong_with_a_graph_is_said(tmp_path: Path) -> None:
    """A run that fails for itself is a failed inference, not a stop; a file that is no graph does not load."""
    graph = Graph(open_session(long_graph(tmp_path), EXECUTION), Brake(lambda: False))
    with pytest.raises(InferenceFailed, match="did not run"):
        graph.run({"x": np.ones((2, 2), np.float32)}, ["y"])
    (tmp_path / "no.onnx").write_bytes(b"no graph")
    with pytest.raises(ProofFailed, match="does not load"):
        open_session(tmp_path / "no.onnx", EXECUTION)
