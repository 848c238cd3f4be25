"""A checkpoint larger than memory becomes an ONNX graph: traced on shapes alone, its weights written one by one, quantized on the way.

The model is built without weights; in its place every large parameter is one number seen through a shape (stride 0), so tracing needs no
memory for them. The traced graph's initializers are then tied to tensors of the checkpoint's safetensors files, and saved as external data:
each is read, turned, quantized, written, and forgotten. Peak memory is the tracer plus the largest tensor, not the model.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import onnx_ir as ir
import onnxscript.optimizer
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.errors import ExportError

if TYPE_CHECKING:
    from exporters.families.base import Checkpoint
    from exporters.onepass.generative import Generative
    from exporters.onepass.prompts import Prompts

OPSET = 18  # as exporters.export
SMALL = 1024  # numbers; parameters up to this size are read at once: norms and biases, which the tracer may fold
Scheme = Literal["float32", "dynamic-int8"]


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the graph's file, its external data's bytes, and how many tensors were streamed and quantized."""

    graph: Path
    bytes: int
    streamed: int
    quantized: int


class Weights:
    """The tensors of a checkpoint's safetensors files, read one at a time and found by the names that the model's modules use."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Path] = {}
        for file in sorted(folder.glob("*.safetensors")):
            with _open(file) as opened:
                self._files.update(dict.fromkeys(opened.keys(), file))
        if not self._files:
            raise ExportError(f"{folder} has no .safetensors file.")

    def find(self, parameter: str) -> str:
        """The tensor that holds a module's parameter; published names may carry other prefixes than the modules have.

        Raises:
            ExportError: none fits, or several do equally well.
        """
        if parameter in self._files:
            return parameter
        wanted = parameter.split(".")

        def likeness(name: str) -> tuple[int, int]:
            parts = name.split(".")
            tail = 0
            while tail < min(len(parts), len(wanted)) and parts[-1 - tail] == wanted[-1 - tail]:
                tail += 1
            return tail, len(set(parts) & set(wanted))

        ranked = sorted(((likeness(name), name) for name in self._files), reverse=True)
        if ranked[0][0][0] < 2 or (len(ranked) > 1 and ranked[0][0] == ranked[1][0]):
            raise ExportError(
                f"no tensor of the checkpoint is clearly {parameter!r}: nearest are {[name for _, name in ranked[:2]]}."
            )
        return ranked[0][1]

    def read(self, name: str) -> NDArray[np.float32]:
        """A whole tensor as float32."""
        with _open(self._files[name]) as opened:
            return cast("NDArray[np.float32]", opened.get_tensor(name).float().numpy())

    def rows(self, name: str, wanted: Sequence[int]) -> Tensor:
        """[len(wanted), D] rows of a table as float32, without reading the rest."""
        with _open(self._files[name]) as opened:
            table = opened.get_slice(name)
            return torch.cat([table[row : row + 1] for row in wanted]).float()


def stream(
    family: Generative, checkpoint: Checkpoint, prompts: Prompts, target: Path, *, scheme: Scheme = "float32"
) -> Written:
    """Write the one-pass graph of a generative checkpoint, its weights never all in memory.

    Args:
        family: the checkpoint's family.
        checkpoint: its folder, read.
        prompts: the questions as tokens.
        target: the graph's file; its weights go to ``<target>.data`` beside it.
        scheme: how products with large weights are written.

    Raises:
        ExportError: the model does not trace, or its parameters are not in the checkpoint.
    """
    weights = Weights(checkpoint.folder)
    skeleton, names = hollow(checkpoint.folder, weights)
    module = family.assemble(
        checkpoint, skeleton, prompts, None, rows=lambda table, rows: weights.rows(names[id(table)], rows)
    )
    spec = family.pixels(checkpoint)
    frame = torch.zeros((1, spec.height, spec.width, 3), dtype=torch.uint8)
    graph = trace(module, frame, input_name="frame", output_name="logits", optimised=False)
    large: list[str] = []
    for name, parameter in module.named_parameters():
        if id(parameter) not in names:
            continue
        shape = tuple(parameter.shape)
        value = graph.graph.initializers[name]
        value.const_value = lazy(name, weights_of(weights, names[id(parameter)], shape), ir.DataType.FLOAT, shape)
        if parameter.numel() > SMALL:
            large.append(name)
    quantized = sum(settle(graph.graph, graph.graph.initializers[name], scheme) for name in large)
    # Only now, with true values behind every name, may constants be folded; the folder leaves what is large alone.
    onnxscript.optimizer.optimize(graph)
    data = target.with_name(target.name + ".data")
    data.unlink(missing_ok=True)
    ir.save(graph, target, external_data=data.name, size_threshold_bytes=1024)
    return Written(target, target.stat().st_size + data.stat().st_size, len(large), quantized)


def hollow(folder: Path, weights: Weights) -> tuple[Any, dict[int, str]]:
    """The model without its weights: small parameters read, large ones one number seen through their shape.

    Returns:
        the model, and for the id of each parameter the name of its tensor.
    """
    import transformers  # noqa: PLC0415 - heavy
    from accelerate import init_empty_weights  # noqa: PLC0415 - heavy

    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    with init_empty_weights(include_buffers=False):
        model = transformers.AutoModelForImageTextToText.from_config(
            config, attn_implementation="eager", dtype=torch.float32
        )
    model.tie_weights()
    names: dict[int, str] = {}
    made: dict[int, nn.Parameter] = {}
    for module_name, module in model.named_modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) not in made:
                source = weights.find(f"{module_name}.{name}")
                if parameter.numel() <= SMALL:
                    value = torch.from_numpy(weights.read(source)).reshape(parameter.shape)
                else:
                    value = torch.zeros(1).expand(parameter.shape)
                made[id(parameter)] = nn.Parameter(value, requires_grad=False)
                names[id(made[id(parameter)])] = source
            setattr(module, name, made[id(parameter)])
    return model.eval(), names


def trace(module: nn.Module, example: Tensor, *, input_name: str, output_name: str, optimised: bool = True) -> ir.Model:
    """The module as an ONNX graph in memory; not optimised, every parameter is still an initializer of its own name.

    Raises:
        ExportError: it does not trace.
    """
    quiet = logging.getLogger("torch.onnx")
    before = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter warns of its own deprecations; parity is checked by numbers
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=[input_name],
                output_names=[output_name],
                optimize=optimised,
            )
    except Exception as error:
        raise ExportError(f"the model does not export to ONNX: {str(error).strip().splitlines()[0][:500]}") from error
    finally:
        quiet.setLevel(before)
    assert program is not None  # noqa: S101 - dynamo=True always returns a program; tells the type checker
    model: ir.Model = program.model
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
    return model


def weights_of(weights: Weights, source: str, shape: tuple[int, ...]) -> Callable[[], NDArray[np.float32]]:
    """A reader of one tensor that checks its shape when it is called."""

    def read() -> NDArray[np.float32]:
        value = weights.read(source)
        if value.shape != shape:
            raise ExportError(f"tensor {source!r} has shape {value.shape}, the model needs {shape}.")
        return value

    return read


def settle(graph: ir.Graph, weight: ir.Value, scheme: Scheme) -> int:
    """Give every product with a large weight the form that it is run in: int8, or float32 with the weight already turned.

    Returns:
        how many products were quantized.
    """
    quantized = 0
    value = weight.const_value
    assert value is not None  # noqa: S101 - tied before; tells the type checker
    shape = tuple(int(edge) for edge in value.shape)

    def read() -> NDArray[np.float32]:
        return cast("NDArray[np.float32]", value.numpy())

    for product in _products(weight):
        if scheme == "dynamic-int8":
            _quantize(graph, product, read, shape)
            quantized += 1
        elif product.turned is not None:
            turned = _initializer(graph, f"{weight.name}_turned", lambda: read().T, ir.DataType.FLOAT, shape[::-1])
            product.node.replace_input_with(1, turned)
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


def _quantize(
    graph: ir.Graph, product: _Product, read: Callable[[], NDArray[np.float32]], shape: tuple[int, ...]
) -> None:
    """Put the operators of dynamic int8 in a product's place: activations u8 per tensor, weights s8 per output channel in 7 bits."""
    inner, outer = (shape[1], shape[0]) if product.transposed else shape
    name = product.node.outputs[0].name

    def both() -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        value = read()
        return quantize_columns(value.T if product.transposed else value)

    weight = _initializer(graph, f"{name}_int8", lambda: both()[0], ir.DataType.INT8, (inner, outer))
    scale = _initializer(graph, f"{name}_scale", lambda: both()[1], ir.DataType.FLOAT, (outer,))
    zero = _initializer(graph, f"{name}_zero", lambda: np.zeros(outer, np.int8), ir.DataType.INT8, (outer,))
    source = product.node.inputs[0]
    dynamic = ir.node("DynamicQuantizeLinear", [source], num_outputs=3)
    integer = ir.node("MatMulInteger", [dynamic.outputs[0], weight, dynamic.outputs[2], zero])
    cast_back = ir.node("Cast", [integer.outputs[0]], attributes={"to": ir.DataType.FLOAT.value})
    scales = ir.node("Mul", [dynamic.outputs[1], scale])
    scaled = ir.node("Mul", [cast_back.outputs[0], scales.outputs[0]])
    nodes = [dynamic, integer, cast_back, scales, scaled]
    if product.node.op_type == "Gemm" and len(product.node.inputs) > 2:
        nodes.append(ir.node("Add", [scaled.outputs[0], product.node.inputs[2]]))
    old = product.node.outputs[0]
    nodes[-1].outputs[0].shape, nodes[-1].outputs[0].type = old.shape, old.type
    ir.convenience.replace_nodes_and_values(graph, product.node, [product.node], nodes, [old], [nodes[-1].outputs[0]])
    if product.turned is not None:
        graph.remove(product.turned, safe=True)


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


def _open(file: Path) -> Any:  # noqa: ANN401 - safetensors' own handle
    from safetensors import safe_open  # noqa: PLC0415 - kept beside its use

    return safe_open(file, framework="pt")
