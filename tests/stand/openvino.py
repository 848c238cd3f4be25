"""OpenVINO's environment, which `make openvino` makes: tests that need it are skipped with a reason where it is absent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stand import bundles

PROVIDER = "OpenVINOExecutionProvider"
PYTHON = Path(__file__).parents[2] / "build" / "openvino-venv" / "bin" / "python"
needed = pytest.mark.skipif(
    not PYTHON.exists(), reason="no OpenVINO here: `make build/openvino-venv/.installed` makes its environment"
)


def colour_graph() -> bytes:
    """That of `tests.stand.bundles` with one product more: OpenVINO's provider leaves a graph without any real work to the CPU."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(bundles.colour_graph())
    model.graph.node[-1].output[0] = "shares"
    model.graph.node.append(helper.make_node("MatMul", ["shares", "same"], ["scores"]))
    model.graph.initializer.append(numpy_helper.from_array(np.eye(3, dtype=np.float32), "same"))
    encoded: bytes = model.SerializeToString()
    return encoded
