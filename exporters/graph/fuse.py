"""Rewrites patterns as single ONNX Runtime CPU operators where its own optimizer does not find them.

Attention written out (scores, scale, mask, softmax, sum) becomes ``com.microsoft.MultiHeadAttention``, which never writes the scores of a tower
to memory; a root mean square by reciprocal becomes a division, the form in which the runtime recognises the norm. Every build compares
the result with the checkpoint, so a pattern taken for what it is not would be refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

OPSET = 20  # the first with Gelu as one operator; written out it is eight passes over a tower's widest tensor

CONTRIB = "com.microsoft"
HEADS_SECOND = [0, 2, 1, 3]  # [B, N, heads, width] <-> [B, heads, N, width]
KEYS_TURNED = [0, 2, 3, 1]  # [B, N, heads, width] -> [B, heads, width, N]
LAST_TWO = [0, 1, 3, 2]


def fuse(model: ir.Model) -> int:
    """Rewrite what is found, in place.

    Returns:
        how many attentions became one operator.
    """
    graph = model.graph
    for node in list(graph):
        if node.op_type == "Reciprocal":
            _divide(graph, node)
    found = [one for node in list(graph) if node.op_type == "Softmax" for one in [_attention(node)] if one is not None]
    for one in found:
        _replace(graph, one)
    if found:
        model.opset_imports[CONTRIB] = 1
    RemoveUnusedNodesPass()(model)
    return len(found)


def _divide(graph: ir.Graph, reciprocal: ir.Node) -> None:
    """X * (1 / y) -> x / y, wherever the reciprocal is used."""
    inverse, divisor = reciprocal.outputs[0], reciprocal.inputs[0]
    for node, index in list(inverse.uses()):
        if node.op_type != "Mul":
            continue
        division = ir.node("Div", [node.inputs[1 - index], divisor])
        _put(graph, node, [division])
    if not inverse.uses():
        graph.remove(reciprocal, safe=True)


@dataclass(frozen=True, slots=True)
class _Attention:
    """softmax(query keys' * scale + mask) values: query [B, H, N, W], keys either [B, H, W, T] or, by `keys`, [B, H, T, W]."""

    query: ir.Value
    keys: ir.Value
    values: ir.Value
    mask: ir.Value | None
    scale: float
    heads: int
    output: ir.Node


def _attention(softmax: ir.Node) -> _Attention | None:
    """The nodes around a softmax, if it is an attention of four axes."""
    if softmax.attributes.get_int("axis", -1) not in {-1, 3}:
        return None
    scores, mask, scale = softmax.inputs[0], None, 1.0
    producer = _made_by(scores, "Add")
    if producer is not None:
        left, right = producer.inputs
        scores, mask = (left, right) if right is not None and right.const_value is not None else (right, left)
        if mask is None or mask.const_value is None or len(mask.shape or ()) != 4:
            return None
    producer = _made_by(scores, "Mul")
    if producer is not None:
        constant = ir.convenience.get_const_tensor(producer.inputs[1])
        if constant is None or constant.size != 1:
            return None
        scale = float(constant.numpy().reshape(-1)[0])
        scores = producer.inputs[0]
    product = _made_by(scores, "MatMul")
    uses = list(softmax.outputs[0].uses())
    if product is None or len(uses) != 1 or uses[0][0].op_type != "MatMul" or uses[0][1] != 0:
        return None
    query, turned = product.inputs
    values = uses[0][0].inputs[1]
    shape = None if query is None else query.shape
    if query is None or turned is None or values is None or shape is None or len(shape) != 4:
        return None
    turn = turned.producer()
    if turn is None or turn.op_type != "Transpose" or turn.inputs[0] is None:
        return None
    if list(turn.attributes.get_ints("perm", ())) not in (LAST_TWO, KEYS_TURNED):
        return None
    return _Attention(query, turned, values, mask, scale, int(shape[1]), uses[0][0])


def _replace(graph: ir.Graph, one: _Attention) -> None:
    """Put one operator in its place; what only fed the old nodes is left to the optimizer's sweep."""
    nodes: list[ir.Node] = []
    batch, heads, length, width = (int(edge) for edge in one.query.shape or ())
    query = _rows_of(one.query)
    if query is None:
        query = _flat(graph, nodes, one.query, (batch, length, heads * width))
    turn = one.keys.producer()
    assert turn is not None  # noqa: S101 - matched before; tells the type checker
    source = turn.inputs[0]
    keys, values = (None, None)
    if list(turn.attributes.get_ints("perm", ())) == KEYS_TURNED:
        keys, values = _before_split(source), _rows_of(one.values)
        if keys is None or values is None:
            back = ir.node("Transpose", [source], attributes={"perm": HEADS_SECOND})
            nodes.append(back)
            keys, values = back.outputs[0], one.values
    else:
        keys, values = source, one.values
    bias = [None, None, one.mask] if one.mask is not None else []
    fused = ir.node(
        "MultiHeadAttention",
        [query, keys, values, *bias],
        domain=CONTRIB,
        attributes={"num_heads": one.heads, "scale": one.scale},
    )
    nodes.append(fused)
    fused.outputs[0].type = one.output.outputs[0].type
    fused.outputs[0].shape = ir.Shape((batch, length, heads * width))
    merged = _merged(one.output)
    if merged is not None:
        _put(graph, merged, nodes)
        return
    split = _initializer(graph, f"{one.output.name}_split", (batch, length, heads, width))
    reshape = ir.node("Reshape", [fused.outputs[0], split])
    turned = ir.node("Transpose", [reshape.outputs[0]], attributes={"perm": HEADS_SECOND})
    _put(graph, one.output, [*nodes, reshape, turned])


def _merged(product: ir.Node) -> ir.Node | None:
    """The Reshape to [B, N, heads x width] behind the attention's Transpose, if that is all that uses it."""
    uses = list(product.outputs[0].uses())
    if len(uses) != 1 or uses[0][0].op_type != "Transpose":
        return None
    if list(uses[0][0].attributes.get_ints("perm", ())) != HEADS_SECOND:
        return None
    uses = list(uses[0][0].outputs[0].uses())
    if len(uses) != 1 or uses[0][0].op_type != "Reshape":
        return None
    shape, query = uses[0][0].outputs[0].shape, product.outputs[0].shape
    if shape is None or query is None or len(shape) != 3:
        return None
    whole = (query[0], query[2], int(query[1]) * int(query[3]))
    return uses[0][0] if tuple(shape) == whole else None


def _rows_of(value: ir.Value) -> ir.Value | None:
    """[B, N, heads x width] behind a value [B, heads, N, width] that was split and turned from it; None if it was not."""
    turn = value.producer()
    if turn is None or turn.op_type != "Transpose" or list(turn.attributes.get_ints("perm", ())) != HEADS_SECOND:
        return None
    return _before_split(turn.inputs[0])


def _before_split(value: ir.Value | None) -> ir.Value | None:
    """[B, N, heads x width] behind its Reshape to [B, N, heads, width]."""
    reshape = None if value is None else value.producer()
    if reshape is None or reshape.op_type != "Reshape" or reshape.inputs[0] is None:
        return None
    source = reshape.inputs[0]
    return source if source.shape is not None and len(source.shape) == 3 else None


def _flat(graph: ir.Graph, nodes: list[ir.Node], value: ir.Value, shape: tuple[int, int, int]) -> ir.Value:
    turned = ir.node("Transpose", [value], attributes={"perm": HEADS_SECOND})
    target = _initializer(graph, f"{value.name}_flat", shape)
    reshape = ir.node("Reshape", [turned.outputs[0], target])
    nodes += [turned, reshape]
    return reshape.outputs[0]


def _initializer(graph: ir.Graph, name: str, numbers: tuple[int, ...]) -> ir.Value:
    tensor = ir.tensor(list(numbers), dtype=ir.DataType.INT64, name=name)
    value = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(ir.DataType.INT64), const_value=tensor)
    graph.register_initializer(value)
    return value


def _made_by(value: ir.Value | None, kind: str) -> ir.Node | None:
    producer = None if value is None else value.producer()
    return producer if producer is not None and producer.op_type == kind and len(list(value.uses())) == 1 else None  # type: ignore[union-attr] # value is there


def _put(graph: ir.Graph, old: ir.Node, nodes: list[ir.Node]) -> None:
    """The last of `nodes` gives what `old` gave."""
    before, after = old.outputs[0], nodes[-1].outputs[0]
    after.shape, after.type = before.shape, before.type
    ir.convenience.replace_nodes_and_values(graph, old, [old], nodes, [before], [after])
