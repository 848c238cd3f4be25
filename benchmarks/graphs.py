"""ViT-like graphs with random weights, for measuring cost where accuracy does not matter.

They have the form of a real bundle: uint8 [1, size, size, 3] in, normalisation in the graph, float32 [1, faults] scores out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge.inference.engine import Engine
from edge.manifest import Execution


@dataclass(frozen=True)
class VitShape:
    """A vision transformer's shape; ``size`` and ``patch`` in px."""

    size: int
    patch: int
    dim: int
    depth: int
    heads: int


# Named like the ViTs that they are, with the input's size. One thread, float32: 6 to 180 ms on an AVX-512 core of 2023, twice that on AVX2 of 2020.
SHAPES = {
    "ti-112": VitShape(size=112, patch=16, dim=192, depth=12, heads=3),
    "ti-224": VitShape(size=224, patch=16, dim=192, depth=12, heads=3),
    "ti-320": VitShape(size=320, patch=16, dim=192, depth=12, heads=3),
    "s-224": VitShape(size=224, patch=16, dim=384, depth=12, heads=6),
    "b-224": VitShape(size=224, patch=16, dim=768, depth=12, heads=12),
}


def load_vit(folder: Path, shape: VitShape, *, faults: int = 8, threads: int = 1) -> Engine:
    """Write a graph of this shape into a folder and load it as the daemon would."""
    execution = Execution(
        graph="graph.onnx", provider="CPUExecutionProvider", intra_op_threads=threads, scheme="float32"
    )
    path = folder / f"{shape.dim}-{shape.size}-{faults}.onnx"
    path.write_bytes(vit_graph(shape, faults))
    return Engine.load(path, execution, input_name="frame", output_name="scores")


def vit_graph(shape: VitShape, faults: int, seed: int = 0) -> bytes:
    """The serialized graph: patches, transformer blocks, mean pooling, one matrix for all faults, sigmoid."""
    build = _Builder(np.random.default_rng(seed))
    tokens = (shape.size // shape.patch) ** 2
    pixels = build.op("Cast", ["frame"], to=TensorProto.FLOAT)
    pixels = build.op("Mul", [build.op("Sub", [pixels, build.constant(127.5)]), build.constant(1 / 127.5)])
    pixels = build.op("Transpose", [pixels], perm=[0, 3, 1, 2])
    kernel = build.random(shape.dim, 3, shape.patch, shape.patch)
    value = build.op("Conv", [pixels, kernel], strides=[shape.patch, shape.patch])
    value = build.op("Reshape", [value, build.shape(1, shape.dim, tokens)])
    value = build.op("Transpose", [value], perm=[0, 2, 1])
    value = build.op("Add", [value, build.random(1, tokens, shape.dim)])
    for _ in range(shape.depth):
        value = build.op("Add", [value, _attention(build, build.norm(value, shape.dim), shape, tokens)])
        hidden = build.op("Gelu", [build.dense(build.norm(value, shape.dim), shape.dim, 4 * shape.dim)])
        value = build.op("Add", [value, build.dense(hidden, 4 * shape.dim, shape.dim)])
    pooled = build.op("ReduceMean", [build.norm(value, shape.dim), build.shape(1)], keepdims=0)
    build.op("Sigmoid", [build.dense(pooled, shape.dim, faults)], output="scores")
    graph = helper.make_graph(
        build.nodes,
        "vit",
        [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, shape.size, shape.size, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, faults])],
        build.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _attention(build: _Builder, value: str, shape: VitShape, tokens: int) -> str:
    """Multi-head self-attention of [1, tokens, dim]."""
    head = shape.dim // shape.heads

    def heads(source: str, order: Sequence[int]) -> str:
        split = build.op("Reshape", [source, build.shape(1, tokens, shape.heads, head)])
        return build.op("Transpose", [split], perm=list(order))

    query, key, content = (build.dense(value, shape.dim, shape.dim) for _ in range(3))
    weights = build.op("MatMul", [heads(query, (0, 2, 1, 3)), heads(key, (0, 2, 3, 1))])
    weights = build.op("Softmax", [build.op("Mul", [weights, build.constant(head**-0.5)])], axis=-1)
    mixed = build.op("Transpose", [build.op("MatMul", [weights, heads(content, (0, 2, 1, 3))])], perm=[0, 2, 1, 3])
    return build.dense(build.op("Reshape", [mixed, build.shape(1, tokens, shape.dim)]), shape.dim, shape.dim)


class _Builder:
    """Collects nodes and constants, and names them."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def op(self, kind: str, inputs: Sequence[str], output: str | None = None, **attributes: Any) -> str:  # noqa: ANN401 - onnx takes attributes of any kind
        name = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: float | NDArray[np.float32] | NDArray[np.int64]) -> str:
        array = value if isinstance(value, np.ndarray) else np.array(value, np.float32)
        self.constants.append(numpy_helper.from_array(array, f"c{len(self.constants)}"))
        return self.constants[-1].name

    def shape(self, *sizes: int) -> str:
        return self.constant(np.array(sizes, np.int64))

    def random(self, *sizes: int) -> str:
        return self.constant(self._rng.normal(0, 0.02, sizes).astype(np.float32))

    def dense(self, value: str, inputs: int, outputs: int) -> str:
        return self.op("Add", [self.op("MatMul", [value, self.random(inputs, outputs)]), self.random(outputs)])

    def norm(self, value: str, dim: int) -> str:
        return self.op(
            "LayerNormalization",
            [value, self.constant(np.ones(dim, np.float32)), self.constant(np.zeros(dim, np.float32))],
            axis=-1,
        )
