"""Lowers a product with a large weight to float32, int8 or 4 bits, reading the weight only when it is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edge.errors import ExportError
from exporters.graph.fuse import CONTRIB
from exporters.graph.quantize import BEFORE_RANKING

BLOCK = 32  # weights of a 4-bit column that share a scale


@dataclass(frozen=True, slots=True)
class _Product:
    """A product with one weight: MatMul(x, W), MatMul(x, Transpose(W)) or Gemm(x, W, bias)."""

    node: ir.Node
    turned: ir.Node | None  # the Transpose in between
    transposed: bool  # whether the weight is [out, in]


@dataclass(frozen=True, slots=True)
class _Weight:
    """A weight as its products multiply with it: ``read`` gives [inner, outer], a fresh array each time."""

    name: str
    inner: int
    outer: int
    read: Callable[[], NDArray[np.float32]]


def require_form(scheme: str) -> None:
    """Raise ExportError for a scheme that cannot be written tensor by tensor; it would be float32 under another name."""
    if scheme not in _FORMS:
        raise ExportError(f"{scheme} cannot be written tensor by tensor; {', '.join(_FORMS)} can.")


def lower(graph: ir.Graph, weight: ir.Value, scheme: str) -> int:
    """Give every product with a large weight the form that it is run in: int8, 4 bits, or float32 with the weight already turned.

    Returns:
        how many products were quantized.

    Raises:
        ExportError: a scheme that cannot be written tensor by tensor.
    """
    require_form(scheme)
    make, put = _FORMS[scheme]
    quantizes = scheme != "float32"
    products = [product for product in _products(weight) if quantizes or product.turned is not None]
    # A weight that two passes use is written once, so what is made of it is kept by the way in which it lies.
    made: dict[bool, tuple[ir.Value, ...]] = {}
    for product in products:
        whole = _as_multiplied(weight, transposed=product.transposed)
        if product.transposed not in made:
            made[product.transposed] = make(graph, whole)
        put(graph, product, whole, made[product.transposed])
    if not weight.uses() and weight.name is not None:
        del graph.initializers[weight.name]
    return len(products) if quantizes else 0


def _as_multiplied(weight: ir.Value, *, transposed: bool) -> _Weight:
    value = weight.const_value
    assert value is not None  # noqa: S101 - tied before; tells the type checker
    first, second = (int(edge) for edge in value.shape)

    def read() -> NDArray[np.float32]:
        numbers = cast("NDArray[np.float32]", value.numpy())
        return numbers.T if transposed else numbers

    inner, outer = (second, first) if transposed else (first, second)
    return _Weight(f"{weight.name}", inner, outer, read)


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
    return [product for product in found if not _ranks(product.node.outputs[0])]


def _ranks(value: ir.Value) -> bool:
    """Whether a product chooses experts: a rounding there is another expert, and its weights are few."""
    return any(
        node.op_type == "TopK" or (node.op_type in BEFORE_RANKING and _ranks(node.outputs[0]))
        for node, _ in value.uses()
    )


def _plain_gemm(node: ir.Node) -> bool:
    attributes = node.attributes
    return (
        attributes.get_float("alpha", 1.0) == 1.0
        and attributes.get_float("beta", 1.0) == 1.0
        and not attributes.get_int("transA", 0)
    )


def _turned(graph: ir.Graph, weight: _Weight) -> tuple[ir.Value, ...]:
    """A weight in float32 as its products multiply with it, [in, out]."""
    shape = (weight.inner, weight.outer)
    return (_initializer(graph, f"{weight.name}_turned", weight.read, ir.DataType.FLOAT, shape),)


def _use_turned(graph: ir.Graph, product: _Product, _: _Weight, turned: tuple[ir.Value, ...]) -> None:
    """Take the Transpose out of a product's way."""
    product.node.replace_input_with(1, turned[0])
    if product.turned is not None:
        graph.remove(product.turned, safe=True)


def _columns(graph: ir.Graph, weight: _Weight) -> tuple[ir.Value, ...]:
    """A weight as s8 per output channel in 7 bits: integers [in, out], scales [out], zero points [out]."""
    name, inner, outer = weight.name, weight.inner, weight.outer
    return (
        _initializer(
            graph, f"{name}_int8", lambda: quantize_columns(weight.read())[0], ir.DataType.INT8, (inner, outer)
        ),
        _initializer(graph, f"{name}_scale", lambda: quantize_columns(weight.read())[1], ir.DataType.FLOAT, (outer,)),
        _initializer(graph, f"{name}_zero", lambda: np.zeros(outer, np.int8), ir.DataType.INT8, (outer,)),
    )


def _use_columns(graph: ir.Graph, product: _Product, _: _Weight, columns: tuple[ir.Value, ...]) -> None:
    """Put the operators of dynamic int8 in a product's place: activations u8 per tensor, weights s8 per output channel."""
    integers, scale, zero = columns
    source = product.node.inputs[0]
    dynamic = ir.node("DynamicQuantizeLinear", [source], num_outputs=3)
    integer = ir.node("MatMulInteger", [dynamic.outputs[0], integers, dynamic.outputs[2], zero])
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


def _blocks(graph: ir.Graph, weight: _Weight) -> tuple[ir.Value, ...]:
    """A weight in 4 bits: nibbles [out, blocks, BLOCK / 2] and scales [out, blocks]."""
    name, outer, count = weight.name, weight.outer, -(-weight.inner // BLOCK)
    nibbles, scales = (outer, count, BLOCK // 2), (outer, count)
    return (
        _initializer(graph, f"{name}_int4", lambda: quantize_blocks(weight.read().T)[0], ir.DataType.UINT8, nibbles),
        _initializer(graph, f"{name}_scale4", lambda: quantize_blocks(weight.read().T)[1], ir.DataType.FLOAT, scales),
    )


def _use_blocks(graph: ir.Graph, product: _Product, whole: _Weight, blocks: tuple[ir.Value, ...]) -> None:
    """Put ONNX Runtime's 4-bit product in a product's place; it computes in int8."""
    packed = ir.node(
        "MatMulNBits",
        [product.node.inputs[0], *blocks],
        domain=CONTRIB,
        attributes={"K": whole.inner, "N": whole.outer, "bits": 4, "block_size": BLOCK, "accuracy_level": 4},
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
    """A tensor that is computed on each access and never cached."""
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


_Make = Callable[[ir.Graph, _Weight], tuple[ir.Value, ...]]
_Use = Callable[[ir.Graph, _Product, _Weight, tuple[ir.Value, ...]], None]
_FORMS: dict[str, tuple[_Make, _Use]] = {  # what is made of a weight, and how a product uses it
    "float32": (_turned, _use_turned),
    "dynamic-int8": (_columns, _use_columns),
    "decoder-int4": (_blocks, _use_blocks),
}
