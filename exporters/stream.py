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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import onnx_ir as ir
import onnxscript.optimizer
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.errors import EdgeError, ExportError
from exporters.families.base import loading, weight_files
from exporters.families.whole import refuse_missing, refuse_shape, refuse_unsound
from exporters.fuse import CONTRIB, OPSET, fuse
from exporters.naming import match
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
    """The tensors of a checkpoint's safetensors files, read one at a time; each is looked at for values that are no numbers while it passes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, Path] = {}
        for file in weight_files(folder):
            with self._open(file) as opened:
                for name in opened.keys():  # noqa: SIM118 - safetensors' own handle, no mapping
                    self._files[name] = file
                    self.shapes[name] = tuple(opened.get_slice(name).get_shape())

    def read(self, name: str) -> NDArray[np.float32]:
        """A whole tensor as float32. Raises ExportError."""
        with self._open(self._files[name]) as opened:
            return cast("NDArray[np.float32]", self._sound(name, opened.get_tensor(name)).numpy())

    def rows(self, name: str, wanted: Sequence[int]) -> Tensor:
        """[len(wanted), D] rows of a table as float32, without reading the rest. Raises ExportError."""
        with self._open(self._files[name]) as opened:
            table = opened.get_slice(name)
            return self._sound(name, torch.cat([table[row : row + 1] for row in wanted]))

    def slice(self, name: str, start: int, end: int) -> Tensor:
        """[end - start, D] neighbouring rows of a table as float32. Raises ExportError."""
        with self._open(self._files[name]) as opened:
            return self._sound(name, opened.get_slice(name)[start:end])

    def _sound(self, name: str, value: Tensor) -> Tensor:
        value = value.float()
        refuse_unsound(self.folder, name, value.numpy())
        return value

    @contextlib.contextmanager
    def _open(self, file: Path) -> Iterator[Any]:
        from safetensors import safe_open  # noqa: PLC0415 - kept beside its use

        with loading(self.folder, file.name), safe_open(file, framework="pt") as opened:
            yield opened


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
        ExportError: the model does not trace, or its parameters are not in the checkpoint, or are no numbers.
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
        value.const_value = lazy(name, partial(weights.read, names[id(parameter)]), ir.DataType.FLOAT, shape)
        if parameter.numel() > SMALL:
            large[name] = "dynamic-int8" if scheme == "decoder-int4" and id(parameter) in tower else scheme
    quantized = sum(settle(graph.graph, graph.graph.initializers[name], one) for name, one in large.items())
    if scheme == "decoder-int4":
        graph.opset_imports[CONTRIB] = 1
    data = target.with_name(target.name + ".data")
    data.unlink(missing_ok=True)
    with _writing():
        # Only now, with true values behind every name, may constants be folded; the folder leaves what is large alone.
        onnxscript.optimizer.optimize(graph)
        fuse(graph)
        ir.save(graph, target, external_data=data.name, size_threshold_bytes=1024)
    return Written(target, target.stat().st_size + data.stat().st_size, len(large), quantized)


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


def hollow(folder: Path, weights: Weights) -> tuple[Any, dict[int, str]]:
    """The model without its weights: small parameters read, large ones one number seen through their shape.

    Returns:
        the model, and for the id of each parameter the name of its tensor.

    Raises:
        ExportError: the checkpoint lacks tensors, or its configuration does not describe them.
    """
    import transformers  # noqa: PLC0415 - heavy
    from accelerate import init_empty_weights  # noqa: PLC0415 - heavy

    with loading(folder, "model"), init_empty_weights(include_buffers=False):
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
        model = transformers.AutoModelForImageTextToText.from_config(
            config, attn_implementation="eager", dtype=torch.float32
        )
    if getattr(config, "quantization_config", None) is not None:
        raise ExportError(
            f"{folder} is quantized already, and its scales would be lost: take the unquantized checkpoint."
        )
    model.tie_weights()
    called: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        called.setdefault(id(parameter), []).append(name)
    sources, missing = match(list(called.values()), list(weights.shapes))
    refuse_missing(folder, missing)
    names: dict[int, str] = {}
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if id(parameter) not in made:
                source = sources[called[id(parameter)][0]]
                refuse_shape(folder, source, weights.shapes[source], tuple(parameter.shape))
                small = parameter.numel() <= SMALL
                value = torch.from_numpy(weights.read(source)) if small else torch.zeros(1).expand(parameter.shape)
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
