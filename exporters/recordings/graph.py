"""Writes what is normal as one ONNX graph over a window: `score`, 0.5 at the limit, and `share`, how much each sensor has of it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exporters.recordings.fit import LARGEST, NONE, REACH, Form, Normal, part_cuts

OPSET, IR_VERSION = 18, 10  # what the runtime of the device reads
SCORE, SHARE = "score", "share"
_BEYOND = 3e38  # stands for a cell without a value where the smallest or largest is looked for


@dataclass(frozen=True, slots=True)
class _State:
    """Names of what the state of a window has: centre and spread of the features, usual extremes, their spread, and whether it is known."""

    centre: str
    width: str
    usual: str
    spread: str
    known: str


class _Nodes:
    """Nodes and constants of a graph in the making; each result is a name."""

    def __init__(self) -> None:
        from onnx import helper, numpy_helper  # noqa: PLC0415 - only a build writes graphs

        self._helper, self._numpy = helper, numpy_helper
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any) -> str:  # noqa: ANN401 - a number or an array
        """A constant; float32, or int64 if it is whole numbers."""
        array = np.asarray(value)
        name = f"c{len(self.constants)}"
        self.constants.append(
            self._numpy.from_array(array.astype(np.int64 if array.dtype.kind == "i" else np.float32), name)
        )
        return name

    def add(self, kind: str, *inputs: str, name: str | None = None, **attributes: int) -> str:
        """A node with one result."""
        name = name or f"n{len(self.nodes)}"
        more: dict[str, Any] = dict(attributes)
        self.nodes.append(self._helper.make_node(kind, list(inputs), [name], **more))
        return name


def write_graph(normal: Normal, form: Form, *, name: str, length: int, sensors: int) -> bytes:
    """The graph: NAME and NAME_valid, float32 [1, length, sensors], to score [1, 1] and share [1, sensors].

    Where the operating state changed within the window, or none like it was recorded, the score is not a number: nothing is known.
    """
    import onnx  # noqa: PLC0415 - likewise
    from onnx import TensorProto, helper  # noqa: PLC0415

    made = _Nodes()
    parts = [_features(made, form, name, first, end) for first, end in pairwise(part_cuts(length, form.parts))]
    features = made.add("Concat", *parts, axis=0)
    state = _of_state(made, normal, form, name)
    evidence = _evidence(made, normal, features, state)
    largest = made.add("ReduceMax", evidence, made.constant(np.array([1])), keepdims=1)
    score = made.add("Div", largest, made.add("Add", largest, made.constant(np.float32(normal.limit))))
    made.add("Where", state.known, score, made.constant(np.float32(np.nan)), name=SCORE)
    each = made.add("Reshape", evidence, made.constant(np.array([1, len(form.statistics), sensors])))
    own = made.add("ReduceMax", each, made.constant(np.array([1])), keepdims=0)
    total = made.add("ReduceSum", own, made.constant(np.array([1])), keepdims=1)
    made.add("Div", own, made.add("Max", total, made.constant(np.float32(1e-9))), name=SHARE)
    graph = helper.make_graph(
        made.nodes,
        f"{normal.kind} of {name}",
        [
            helper.make_tensor_value_info(one, TensorProto.FLOAT, [1, length, sensors])
            for one in (name, f"{name}_valid")
        ],
        [
            helper.make_tensor_value_info(SCORE, TensorProto.FLOAT, [1, 1]),
            helper.make_tensor_value_info(SHARE, TensorProto.FLOAT, [1, sensors]),
        ],
        made.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _evidence(made: _Nodes, normal: Normal, features: str, state: _State) -> str:
    """Of features [P, F] the evidence [1, F]: the least deviation of all parts to one side, as a logarithm over what is usual."""
    deviation = made.add("Div", made.add("Sub", features, state.centre), state.width)
    clipped = made.add("Clip", deviation, made.constant(np.float32(-LARGEST)), made.constant(np.float32(LARGEST)))
    mixed = made.add("MatMul", clipped, made.constant(normal.mix.T))
    parts = made.constant(np.array([0]))
    above = made.add("ReduceMin", mixed, parts, keepdims=1)
    below = made.add("Neg", made.add("ReduceMax", mixed, parts, keepdims=1))
    lasting = made.add("Max", above, below, made.constant(np.float32(NONE)))
    beyond = made.add("Div", made.add("Sub", made.add("Log", lasting), state.usual), state.spread)
    reach = made.add("Clip", beyond, made.constant(np.float32(-REACH)), made.constant(np.float32(REACH)))
    stacks = made.add("Reshape", reach, made.constant(np.array([-1, normal.centre.shape[1]])))
    return made.add("Exp", made.add("ReduceMin", stacks, parts, keepdims=1))


def _features(made: _Nodes, form: Form, name: str, first: int, end: int) -> str:
    """The statistics [1, F] of the cells of one part."""
    valid, length = _cut(made, f"{name}_valid", first, end), end - first
    name = _cut(made, name, first, end)
    mean = _mean_over(made, made.add("Mul", name, valid), valid)
    floors: NDArray[np.float64] = form.floors.reshape(len(form.statistics), -1)
    found = []
    for kind, floor in zip(form.statistics, floors, strict=True):
        if kind == "mean":
            found.append(mean)
        elif kind == "std":
            apart = made.add(
                "Mul", made.add("Sub", name, made.add("Unsqueeze", mean, made.constant(np.array([1])))), valid
            )
            spread = made.add("Sqrt", _mean_over(made, made.add("Mul", apart, apart), valid))
            found.append(made.add("Log", made.add("Add", spread, made.constant(floor))))
        else:
            moved = made.add("Abs", made.add("Sub", _cut(made, name, 1, length), _cut(made, name, 0, length - 1)))
            both = made.add("Mul", _cut(made, valid, 1, length), _cut(made, valid, 0, length - 1))
            mean_move = _mean_over(made, made.add("Mul", moved, both), both)
            found.append(made.add("Log", made.add("Add", mean_move, made.constant(floor))))
    return made.add("Concat", *found, axis=1)


def _cut(made: _Nodes, name: str, first: int, end: int) -> str:
    return made.add("Slice", name, *(made.constant(np.array([place])) for place in (first, end, 1)))


def _mean_over(made: _Nodes, total_of: str, valid: str) -> str:
    cells = made.constant(np.array([1]))
    total = made.add("ReduceSum", total_of, cells, keepdims=0)
    count = made.add("Max", made.add("ReduceSum", valid, cells, keepdims=0), made.constant(np.float32(1.0)))
    return made.add("Div", total, count)


def _of_state(made: _Nodes, normal: Normal, form: Form, name: str) -> _State:
    """What is normal in the state of the window."""
    tables = (normal.centre, normal.width, normal.usual, normal.spread)
    if form.state is None:
        centre, width, usual, spread = (made.constant(table) for table in tables)
        return _State(centre, width, usual, spread, _always(made))
    place = made.constant(np.array([form.state]))
    cells = made.add("Gather", name, place, axis=2)
    there = made.add("Greater", made.add("Gather", f"{name}_valid", place, axis=2), made.constant(np.float32(0.0)))
    both = made.constant(np.array([1, 2]))
    low = made.add("ReduceMin", made.add("Where", there, cells, made.constant(np.float32(_BEYOND))), both, keepdims=0)
    high = made.add("ReduceMax", made.add("Where", there, cells, made.constant(np.float32(-_BEYOND))), both, keepdims=0)
    bounds = np.array([-np.inf, *form.edges, np.inf], np.float32)
    above = made.add(
        "GreaterOrEqual", made.add("Unsqueeze", low, made.constant(np.array([1]))), made.constant(bounds[None, :-1])
    )
    below = made.add("Less", made.add("Unsqueeze", high, made.constant(np.array([1]))), made.constant(bounds[None, 1:]))
    learned = made.constant(normal.known.astype(np.float32)[None])
    chosen = made.add("Mul", made.add("Cast", made.add("And", above, below), to=1), learned)
    count = made.add("ReduceSum", chosen, made.constant(np.array([1])), keepdims=1)
    known = made.add("Greater", count, made.constant(np.float32(0.5)))
    missing = made.add("Sub", made.constant(np.float32(1.0)), count)
    centre, width, usual, spread = (made.add("MatMul", chosen, made.constant(table)) for table in tables)
    # Nothing is divided by 0 where no state is chosen.
    return _State(centre, made.add("Add", width, missing), usual, made.add("Add", spread, missing), known)


def _always(made: _Nodes) -> str:
    one = made.constant(np.ones((1, 1), np.float32))
    return made.add("Greater", one, made.constant(np.float32(0.0)))
