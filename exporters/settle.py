"""A product with a large weight gets the form that it is run in - float32, int8 or 4 bits - around weights that are read only when they are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edge.errors import ExportError
from exporters.fuse import CONTRIB

BLOCK = 32  # weights of a 4-bit column that share a scale
Scheme = Literal["float32", "dynamic-int8", "decoder-int4"]


def settle(graph: ir.Graph, weight: ir.Value, scheme: Scheme) -> int:
    """Give every product with a large weight the form that it is run in: int8, or float32 with the weight already turned.

    Returns:
        how many products were quantized.

    Raises:
        ExportError: a scheme that cannot be written tensor by tensor; it would be float32 under another name.
    """
    if scheme not in get_args(Scheme):
        raise ExportError(f"{scheme} cannot be written tensor by tensor; {', '.join(get_args(Scheme))} can.")
    quantized = 0
    value = weight.const_value
    assert value is not None  # noqa: S101 - tied before; tells the type checker
    shape = tuple(int(edge) for edge in value.shape)

    def read() -> NDArray[np.float32]:
        return cast("NDArray[np.float32]", value.numpy())

    # A weight that two passes use is written once, so what is made of it is kept by the way in which it lies.
    made: dict[bool, tuple[ir.Value, ...]] = {}
    for product in _products(weight):
        if scheme == "dynamic-int8":
            if product.transposed not in made:
                made[product.transposed] = _columns(graph, f"{weight.name}", read, shape, transposed=product.transposed)
            _quantize(graph, product, made[product.transposed])
            quantized += 1
        elif scheme == "decoder-int4":
            if product.transposed not in made:
                made[product.transposed] = _blocks(graph, f"{weight.name}", read, shape, transposed=product.transposed)
            inner = shape[1] if product.transposed else shape[0]
            _quantize_blocks(graph, product, made[product.transposed], inner)
            quantized += 1
        elif product.turned is not None:
            if True not in made:
                made[True] = (
                    _initializer(graph, f"{weight.name}_turned", lambda: read().T, ir.DataType.FLOAT, shape[::-1]),
                )
            product.node.replace_input_with(1, made[True][0])
            graph.remove(product.turned, safe=True)
    if not weight.uses() and weight.name is not None:
        del graph.initializers[weight.name]
    return quantized


@dataclass(frozen=True, slots=True)
class _Product:
    """A product with one weight: MatMul(x, W), MatMul(x, Transpose(W)) or Gemm(x, W, bias)."""

    node: ir.Node
    turned: ir.Node | None  # the Transpose in between
    transposed: bool  # whether the weight is [out, in]


def _products(initializer: ir.Value) -> list[_Product]:
    found: list[_Product] = []
    for node, index in initializer.uses():
        if index == 1 and node.op_type == "MatMul":
            found.append(_Product(node, None, transposed=False))
        elif index == 1 and node.op_type == "Gemm" and _plain_gemm(node):
            found.append(_Product(node, None, transposed=bool(node.attributes.get_int("transB", 0))))
        elif node.op_type == "Transpose":
            uses = list(node.outputs[0].uses())
            if len(uses) == 1 and uses[0][0].op_type == "MatMul" and uses[0][1] == 1:
                found.append(_Product(uses[0][0], node, transposed=True))
    return found


def _plain_gemm(node: ir.Node) -> bool:
    attributes = node.attributes
    return (
        attributes.get_float("alpha", 1.0) == 1.0
        and attributes.get_float("beta", 1.0) == 1.0
        and not attributes.get_int("transA", 0)
    )


def _columns(
    graph: ir.Graph,
    name: str,
    read: Callable[[], NDArray[np.float32]],
    shape: tuple[int, ...],
    *,
    transposed: bool,
) -> tuple[ir.Value, ...]:
    """A weight as s8 per output channel in 7 bits: integers [in, out], scales [out], zero points [out]."""
    inner, outer = (shape[1], shape[0]) if transposed else shape

    def both() -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        value = read()
        return quantize_columns(value.T if transposed else value)

    return (
        _initializer(graph, f"{name}_int8", lambda: both()[0], ir.DataType.INT8, (inner, outer)),
        _initializer(graph, f"{name}_scale", lambda: both()[1], ir.DataType.FLOAT, (outer,)),
        _initializer(graph, f"{name}_zero", lambda: np.zeros(outer, np.int8), ir.DataType.INT8, (outer,)),
    )


def _quantize(graph: ir.Graph, product: _Product, columns: tuple[ir.Value, ...]) -> None:
    """Put the operators of dynamic int8 in a product's place: activations u8 per tensor, weights s8 per output channel."""
    weight, scale, zero = columns
    source = product.node.inputs[0]
    dynamic = ir.node("DynamicQuantizeLinear", [source], num_outputs=3)
    integer = ir.node("MatMulInteger", [dynamic.outputs[0], weight, dynamic.outputs[2], zero])
    cast_back = ir.node("Cast", [integer.outputs[0]], attributes={"to": ir.DataType.FLOAT.value})
    scales = ir.node("Mul", [dynamic.outputs[1], scale])
    scaled = ir.node("Mul", [cast_back.outputs[0], scales.outputs[0]])
    nodes = [dynamic, integer, cast_back, scales, scaled]
    _put(graph, product, nodes)


def _put(graph: ir.Graph, product: _Product, nodes: list[ir.Node]) -> None:
    """Operators in a product's place, its bias behind them."""
    if product.node.op_type == "Gemm" and len(product.node.inputs) > 2:
        nodes.append(ir.node("Add", [nodes[-1].outputs[0], product.node.inputs[2]]))
    old = product.node.outputs[0]
    nodes[-1].outputs[0].shape, nodes[-1].outputs[0].type = old.shape, old.type
    ir.convenience.replace_nodes_and_values(graph, product.node, [product.node], nodes, [old], [nodes[-1].outputs[0]])
    if product.turned is not None:
        graph.remove(product.turned, safe=True)


def _blocks(
    graph: ir.Graph,
    name: str,
    read: Callable[[], NDArray[np.float32]],
    shape: tuple[int, ...],
    *,
    transposed: bool,
) -> tuple[ir.Value, ...]:
    """A weight in 4 bits: nibbles [out, blocks, BLOCK / 2] and scales [out, blocks]."""
    inner, outer = (shape[1], shape[0]) if transposed else shape
    count = -(-inner // BLOCK)

    def both() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        value = read()
        return quantize_blocks(value if transposed else value.T)

    return (
        _initializer(graph, f"{name}_int4", lambda: both()[0], ir.DataType.UINT8, (outer, count, BLOCK // 2)),
        _initializer(graph, f"{name}_scale4", lambda: both()[1], ir.DataType.FLOAT, (outer, count)),
    )


def _quantize_blocks(graph: ir.Graph, product: _Product, blocks: tuple[ir.Value, ...], inner: int) -> None:
    """Put ONNX Runtime's 4-bit product in a product's place; it computes in int8."""
    outer = int(blocks[0].shape[0])
    packed = ir.node(
        "MatMulNBits",
        [product.node.inputs[0], *blocks],
        domain=CONTRIB,
        attributes={"K": inner, "N": outer, "bits": 4, "block_size": BLOCK, "accuracy_level": 4},
    )
    _put(graph, product, [packed])


def quantize_blocks(value: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """[out, in] weights as 4-bit numbers -8 .. 7 (stored plus 8, the even place in the low nibble), a scale for every BLOCK of a row."""
    outer, inner = value.shape
    count = -(-inner // BLOCK)
    blocks = np.zeros((outer, count * BLOCK), dtype=np.float32)
    blocks[:, :inner] = value
    blocks = blocks.reshape(outer, count, BLOCK)
    # The number of largest size, with its sign, becomes -8: the one more step that the negative side has is not wasted.
    widest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2, keepdims=True), axis=2)
    scale = widest / -8.0
    scale = np.where(scale == 0, 1.0, scale).astype(np.float32)
    steps = (np.clip(np.rint(blocks / scale), -8, 7) + 8).astype(np.uint8)
    nibbles: NDArray[np.uint8] = (steps[:, :, 0::2] | (steps[:, :, 1::2] << 4)).astype(np.uint8)
    return nibbles, scale[:, :, 0].astype(np.float32)


def quantize_columns(value: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """[in, out] weights as int8 in -64 .. 64 with one scale per column: seven bits, because u8 x s8 sums saturate without VNNI."""
    scale = np.abs(value).max(axis=0) / 64.0
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    return np.rint(value / scale).astype(np.int8), scale


def lazy(name: str, make: Callable[[], NDArray[Any]], dtype: ir.DataType, shape: tuple[int, ...]) -> ir.LazyTensor:
    """A tensor that is made anew each time it is looked at, and kept nowhere."""
    return ir.LazyTensor(
        lambda: ir.tensor(np.ascontiguousarray(make()), name=name), dtype=dtype, shape=ir.Shape(shape), name=name
    )


def _initializer(
    graph: ir.Graph, name: str, make: Callable[[], NDArray[Any]], dtype: ir.DataType, shape: tuple[int, ...]
) -> ir.Value:
    value = ir.Value(
        name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype), const_value=lazy(name, make, dtype, shape)
    )
    graph.register_initializer(value)
    return value
