"""A mixture of experts in ONNX: a loop over the experts, each of which computes the tokens that chose it and no other.

The module marks the place by one node of the domain `DOMAIN` (`exporters.onepass.experts`); here that node becomes standard operators.
The weights of all experts are one tensor, so the graph has the same few nodes for 8 experts and for 256.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import onnx.parser
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import InlinePass

from exporters.graph.lower_weights import lazy

DOMAIN = "plantflag"
EXPERTS = "Experts"  # hidden [N, D], chosen [N, k], shares [N, k], gate_up [E, D, 2I], down [E, I, D] -> [N, D]
EXPERTS_INT8 = "ExpertsInt8"  # the same, each weight followed by its scales: int8 [E, in, out], float32 [E, out]
WEIGHTS = (3, 4)  # which inputs they are

_FUNCTION = """
<domain: "{domain}", opset_import: ["" : {opset}]>
{name} (hidden, chosen, shares, {weights}) => (out) {{
   zero = Constant <value = float {{0.0}}> ()
   first = Constant <value = int64[1] {{0}}> ()
   last = Constant <value = int64[1] {{1}}> ()
   always = Constant <value = bool {{1}}> ()
   scalar = Constant <value = int64 {{0}}> ()
   sizes = Shape (gate_up)
   count = Gather (sizes, scalar)
   nothing = Mul (hidden, zero)
   out = Loop (count, always, nothing) <body = expert (int64 one, bool going, float[N, D] before) => (bool onward, float[N, D] after) {{
      onward = Identity (going)
      hit = Equal (chosen, one)
      each = Where (hit, shares, zero)
      share = ReduceSum <keepdims = 0> (each, last)
      number = Cast <to = 7> (hit)
      taken = ReduceMax <keepdims = 0> (number, last)
      most = ReduceMax <keepdims = 0> (taken, first)
      any = Cast <to = 9> (most)
      after = If (any) <then_branch = its_tokens () => (float[N, D] added) {{
         found = NonZero (taken)
         rows = Squeeze (found, first)
         places = Unsqueeze (rows, last)
         state = Gather (hidden, rows)
{first}
         gate, up = Split <axis = -1, num_outputs = 2> (both)
         soft = Sigmoid (gate)
         bent = Mul (gate, soft)
         inner = Mul (bent, up)
{second}
         some = Gather (share, rows)
         column = Unsqueeze (some, last)
         weighted = Mul (single, column)
         added = ScatterND <reduction = "add"> (before, places, weighted)
      }}, else_branch = no_token () => (float[N, D] same) {{
         same = Identity (before)
      }}>
   }}>
}}
"""
_FLOAT = """
         {weight}_own = Gather ({weight}, one)
         {output} = MatMul ({input}, {weight}_own)
"""
_INT8 = """
         {input}_number, {input}_scale, {input}_zero = DynamicQuantizeLinear ({input})
         {weight}_own = Gather ({weight}, one)
         {weight}_own_scale = Gather ({weight}_scale, one)
         {weight}_sum = MatMulInteger ({input}_number, {weight}_own, {input}_zero)
         {weight}_float = Cast <to = 1> ({weight}_sum)
         {weight}_step = Mul ({weight}_own_scale, {input}_scale)
         {output} = Mul ({weight}_float, {weight}_step)
"""


def inline(model: ir.Model) -> None:
    """Put standard operators in the place of every marked node."""
    if not any(node.domain == DOMAIN for node in model.graph):
        return
    for name, weights, product in (
        (EXPERTS, "gate_up, down", _FLOAT),
        (EXPERTS_INT8, "gate_up, gate_up_scale, down, down_scale", _INT8),
    ):
        text = _FUNCTION.format(
            domain=DOMAIN,
            opset=model.opset_imports[""],
            name=name,
            weights=weights,
            first=product.format(weight="gate_up", input="state", output="both"),
            second=product.format(weight="down", input="inner", output="single"),
        )
        function = ir.from_proto(onnx.parser.parse_function(text))
        model.functions[function.identifier()] = function
    model.opset_imports[DOMAIN] = 1
    InlinePass()(model)
    model.opset_imports.pop(DOMAIN, None)


def lower(graph: ir.Graph, scheme: str) -> int:
    """Give the experts' weights the form that they are multiplied in: turned, and but for float32 as int8 with scales per expert and column.

    Returns:
        how many products were quantized; experts have no form of 4 bits.
    """
    quantizes = scheme != "float32"
    made: dict[str, tuple[ir.Value, ...]] = {}
    marked = [node for node in graph if node.domain == DOMAIN and node.op_type == EXPERTS]
    for node in marked:
        inputs = list(node.inputs[: WEIGHTS[0]])
        turned = [cast("ir.Value", node.inputs[place]).producer() for place in WEIGHTS]
        for transpose in turned:
            assert transpose is not None  # noqa: S101 - the module turns both; tells the type checker
            weight = cast("ir.Value", transpose.inputs[0])
            name = str(weight.name)
            if name not in made:
                made[name] = _int8(graph, weight) if quantizes else _float(graph, weight)
            inputs += made[name]
        new = ir.node(EXPERTS_INT8 if quantizes else EXPERTS, inputs, domain=DOMAIN)
        old = node.outputs[0]
        new.outputs[0].shape, new.outputs[0].type = old.shape, old.type
        ir.convenience.replace_nodes_and_values(graph, node, [node], [new], [old], [new.outputs[0]])
        for transpose in turned:
            if transpose is not None and not transpose.outputs[0].uses():
                graph.remove(transpose, safe=True)
    for name in made:
        if not graph.initializers[name].uses():
            del graph.initializers[name]
    return len(marked) * len(WEIGHTS) if quantizes else 0


def quantize_experts(value: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """[E, in, out] weights as int8 in -64 .. 64 with a scale for every expert and column: seven bits, as `quantize_columns` has it."""
    scale = np.abs(value).max(axis=1) / 64.0
    scale = np.where(scale > 0, scale, 1.0).astype(np.float32)
    return np.rint(value / scale[:, None, :]).astype(np.int8), scale


def _read(weight: ir.Value) -> NDArray[np.float32]:
    value = weight.const_value
    assert value is not None  # noqa: S101 - tied before; tells the type checker
    return cast("NDArray[np.float32]", value.numpy()).transpose(0, 2, 1)


def _float(graph: ir.Graph, weight: ir.Value) -> tuple[ir.Value, ...]:
    return (_initializer(graph, f"{weight.name}_turned", partial(_read, weight), ir.DataType.FLOAT, _turned(weight)),)


def _int8(graph: ir.Graph, weight: ir.Value) -> tuple[ir.Value, ...]:
    experts, inner, outer = _turned(weight)

    def part(index: int) -> NDArray[np.int8] | NDArray[np.float32]:
        return quantize_experts(_read(weight))[index]

    return (
        _initializer(graph, f"{weight.name}_int8", partial(part, 0), ir.DataType.INT8, (experts, inner, outer)),
        _initializer(graph, f"{weight.name}_scale", partial(part, 1), ir.DataType.FLOAT, (experts, outer)),
    )


def _turned(weight: ir.Value) -> tuple[int, int, int]:
    value = weight.const_value
    assert value is not None  # noqa: S101 - as above
    experts, outer, inner = (int(edge) for edge in value.shape)
    return experts, inner, outer


def _initializer(
    graph: ir.Graph,
    name: str,
    make: Callable[[], NDArray[np.int8] | NDArray[np.float32]],
    dtype: ir.DataType,
    shape: tuple[int, ...],
) -> ir.Value:
    value = ir.Value(
        name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype), const_value=lazy(name, make, dtype, shape)
    )
    graph.register_initializer(value)
    return value
