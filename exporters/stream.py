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
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import onnx_ir as ir
import onnxscript.optimizer
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.errors import ExportError
from exporters.fuse import CONTRIB, OPSET, fuse
from exporters.settle import Scheme, lazy, settle

if TYPE_CHECKING:
    from exporters.families.base import Checkpoint
    from exporters.onepass.generative import Generative
    from exporters.onepass.prompts import Prompts

SMALL = 1024  # numbers; parameters up to this size are read at once: norms and biases, which the tracer may fold


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

    def slice(self, name: str, start: int, end: int) -> Tensor:
        """[end - start, D] neighbouring rows of a table as float32."""
        with _open(self._files[name]) as opened:
            rows: Tensor = opened.get_slice(name)[start:end].float()
            return rows


def stream(
    family: Generative,
    checkpoint: Checkpoint,
    prompts: Prompts,
    target: Path,
    *,
    scheme: Scheme = "float32",
    wrap: Callable[[nn.Module], nn.Module] | None = None,
    output_name: str = "logits",
    soft: Tensor | None = None,
) -> Written:
    """Write the one-pass graph of a generative checkpoint, its weights never all in memory.

    Args:
        family: the checkpoint's family.
        checkpoint: its folder, read.
        prompts: the questions as tokens.
        target: the graph's file; its weights go to ``<target>.data`` beside it.
        scheme: how products with large weights are written; "decoder-int4" is 4 bits in the decoder and int8 in the tower.
        wrap: what stands behind the logits in the graph.
        output_name: of the graph.
        soft: [K, D] one-token questions, if they were fitted.

    Raises:
        ExportError: the model does not trace, or its parameters are not in the checkpoint.
    """
    weights = Weights(checkpoint.folder)
    skeleton, names = hollow(checkpoint.folder, weights)
    module = family.assemble(
        checkpoint,
        skeleton,
        prompts,
        None,
        rows=lambda table, rows: weights.rows(names[id(table)], rows),
        soft=soft,
    )
    tower = {id(parameter) for parameter in module.get_submodule("front").parameters()}
    module = module if wrap is None else wrap(module).eval()
    spec = family.pixels(checkpoint)
    frame = torch.zeros((1, spec.height, spec.width, 3), dtype=torch.uint8)
    graph = trace(module, frame, input_name="frame", output_name=output_name, optimised=False)
    large: dict[str, Scheme] = {}
    for name, parameter in module.named_parameters():
        if id(parameter) not in names:
            continue
        shape = tuple(parameter.shape)
        value = graph.graph.initializers[name]
        value.const_value = lazy(name, weights_of(weights, names[id(parameter)], shape), ir.DataType.FLOAT, shape)
        if parameter.numel() > SMALL:
            large[name] = "dynamic-int8" if scheme == "decoder-int4" and id(parameter) in tower else scheme
    quantized = sum(settle(graph.graph, graph.graph.initializers[name], one) for name, one in large.items())
    if scheme == "decoder-int4":
        graph.opset_imports[CONTRIB] = 1
    # Only now, with true values behind every name, may constants be folded; the folder leaves what is large alone.
    onnxscript.optimizer.optimize(graph)
    fuse(graph)
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


def _open(file: Path) -> Any:  # noqa: ANN401 - safetensors' own handle
    from safetensors import safe_open  # noqa: PLC0415 - kept beside its use

    return safe_open(file, framework="pt")
