"""Exports a module without weights to ONNX: traced on shapes alone, its weights written one by one, quantized on the way.

Every large parameter is replaced by one number seen through a shape (`exporters.checkpoint.lazy`), so tracing needs no memory for them.
The traced graph's initializers are then tied to tensors of the checkpoint's safetensors files, and saved as external data: each is read,
turned, quantized, written, and forgotten. Peak memory is the tracer plus the largest tensor, not the model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnx_ir as ir
import onnxscript.optimizer
import torch
from torch import Tensor, nn

from edge.errors import EdgeError, ExportError
from exporters.checkpoint.lazy import SMALL, Weights
from exporters.graph import experts
from exporters.graph.export import INPUT, exporting, size_bytes, weights_beside
from exporters.graph.fuse import CONTRIB, OPSET, fuse
from exporters.graph.lower_weights import lazy, lower, require_form
from exporters.model import INT4


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the graph's file, its external data's bytes, and how many tensors were streamed and quantized."""

    graph: Path
    bytes: int
    streamed: int
    quantized: int


def stream(
    module: nn.Module,
    frame: tuple[int, int],
    target: Path,
    *,
    weights: Weights,
    names: Mapping[int, str],
    tower: nn.Module,
    scheme: str,
    output_name: str,
) -> Written:
    """Write the graph of a module whose large parameters are empty, the weights never all in memory.

    Args:
        module: uint8 [1, height, width, 3] -> one output.
        frame: (height, width), px.
        target: the graph's file; its weights go to ``<target>.data`` beside it.
        weights: the checkpoint's tensors.
        names: for the id of each empty parameter the name of its tensor.
        tower: the part of the module whose products are int8 where the decoder's have 4 bits.
        scheme: how products with large weights are written; "decoder-int4" is 4 bits in the decoder and int8 in the tower.
        output_name: of the graph.

    Raises:
        ExportError: the module does not trace, its tensors are no numbers, or the scheme cannot be written so.
    """
    require_form(scheme)  # before the minutes that tracing takes
    in_tower = {id(parameter) for parameter in tower.parameters()}
    example = torch.zeros((1, *frame, 3), dtype=torch.uint8)
    graph = trace(module, example, input_name=INPUT, output_name=output_name, optimised=False)
    large: dict[str, str] = {}
    for name, parameter in module.named_parameters():
        if id(parameter) not in names:
            continue
        shape = tuple(parameter.shape)
        value = graph.graph.initializers[name]
        value.const_value = lazy(name, partial(weights.read, names[id(parameter)]), ir.DataType.FLOAT, shape)
        if parameter.numel() > SMALL:
            large[name] = "dynamic-int8" if scheme == INT4 and id(parameter) in in_tower else scheme
    quantized = sum(lower(graph.graph, graph.graph.initializers[name], one) for name, one in large.items())
    quantized += experts.lower(graph.graph, scheme)
    experts.inline(graph)
    if scheme == INT4:
        graph.opset_imports[CONTRIB] = 1
    data = weights_beside(target)
    data.unlink(missing_ok=True)
    with _writing():
        # Only now, with true values behind every name, may constants be folded; the folder leaves what is large alone.
        onnxscript.optimizer.optimize(graph)
        fuse(graph)
        ir.save(graph, target, external_data=data.name, size_threshold_bytes=1024)
    return Written(target, size_bytes(target), len(large), quantized)


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Tensors are read inside the optimiser and the writer, which wrap what we raise there: it is raised as it was."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, EdgeError):
            cause = cause.__cause__
        if cause is not None:
            raise cause from None
        raise ExportError(f"the graph cannot be written: {str(error).strip()[:500]}") from error


def trace(module: nn.Module, example: Tensor, *, input_name: str, output_name: str, optimised: bool = True) -> ir.Model:
    """The module as an ONNX graph in memory; not optimised, every parameter is still an initializer of its own name.

    Raises:
        ExportError: it does not trace.
    """
    with exporting(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[input_name],
            output_names=[output_name],
            optimize=optimised,
        )
    assert program is not None  # noqa: S101 - dynamo=True always returns a program; tells the type checker
    model: ir.Model = program.model
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
    return model
