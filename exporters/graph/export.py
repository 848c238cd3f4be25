"""Exports a torch module as one ONNX file of fixed shape, without traces of the machine that made it."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from edge.errors import ExportError
from exporters.graph import experts, fuse

OPSET = 18  # the exporter's own; quantized graphs of this opset load everywhere, opset 21 with s8 activations does not
INPUT = "frame"
OUTPUT = "scores"
MEMBERS = "members"  # evidence of each member of a head in folds, beside the scores
GRAPH_FILE = "model.onnx"  # its name in a bundle


def weights_beside(graph: Path) -> Path:
    """Where a streamed graph keeps its weights."""
    return graph.with_name(graph.name + ".data")


def size_bytes(graph: Path) -> int:
    """Of a graph with the weights that lie beside it."""
    return sum(file.stat().st_size for file in (graph, weights_beside(graph)) if file.exists())


def export(
    module: nn.Module, height: int, width: int, target: Path, *, in_folds: bool = False, fused: bool = False
) -> Path:
    """Trace ``uint8 [1, height, width, 3] -> float32 [1, K]`` to ``target``; no dynamic shape, no metadata of this machine.

    Args:
        module: what to trace.
        height: of the frame, px.
        width: of the frame, px.
        target: file to write.
        in_folds: whether the module also gives each member's scores.
        fused: write attention as ONNX Runtime's own operator, which its CPU has (`exporters.graph.fuse`); a few other providers lack it.

    Raises:
        ExportError: the module does not trace.
    """
    example = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8))
    return trace(module, (example,), [INPUT], [OUTPUT, MEMBERS] if in_folds else [OUTPUT], target, fused=fused)


def trace(
    module: nn.Module,
    examples: tuple[torch.Tensor, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    target: Path,
    *,
    fused: bool = False,
) -> Path:
    """Trace any module whose tensors have the shapes of the examples.

    Raises:
        ExportError: it does not trace.
    """
    with exporting():
        program = torch.onnx.export(
            module,
            examples,
            dynamo=True,
            opset_version=fuse.OPSET if fused else OPSET,
            input_names=inputs,
            output_names=outputs,
        )
        assert program is not None  # noqa: S101 - dynamo=True always returns a program; tells the type checker
        experts.inline(program.model)
        program.optimize()
        if fused:
            fuse.fuse(program.model)
        program.save(target)
    _strip(target)
    return target


@contextlib.contextmanager
def exporting() -> Iterator[None]:
    """Keep the exporter's own remarks off the terminal: what matters is checked by numbers afterwards. What fails is an ExportError."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
            yield
    except Exception as error:
        raise ExportError(f"the model does not export to ONNX: {str(error).strip().splitlines()[0][:500]}") from error
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _strip(file: Path) -> None:
    """Drop stack traces and source paths, which name the building machine, and check the result."""
    model = onnx.load(file)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, file)
