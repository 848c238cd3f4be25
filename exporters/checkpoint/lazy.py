"""Reads a checkpoint's tensors one at a time into a model with empty weights, for checkpoints larger than memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn

from edge.errors import ExportError
from exporters.checkpoint.folder import loading, weight_files
from exporters.checkpoint.naming import match, stacked, stacks
from exporters.checkpoint.whole import refuse_missing, refuse_shape, refuse_unsound

SMALL = 1024  # numbers; parameters up to this size are read at once: norms and biases, which the tracer may fold


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
        self._stacks = stacks(self.shapes)
        self.shapes = stacked(self.shapes)

    def read(self, name: str) -> NDArray[np.float32]:
        """A whole tensor as float32; experts that lie one by one in the files come stacked. Raises ExportError."""
        if name in self._stacks:
            return np.stack([np.concatenate([self.read(part) for part in parts]) for parts in self._stacks[name]])
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
        with loading(self.folder, file.name), safe_open(file, framework="pt") as opened:
            yield opened


def empty_model(folder: Path, weights: Weights) -> tuple[Any, dict[int, str]]:
    """The model without its weights: small parameters read, large ones one number seen through their shape.

    Returns:
        the model, and for the id of each parameter the name of its tensor.

    Raises:
        ExportError: the checkpoint lacks tensors, or its configuration does not describe them.
    """
    import transformers  # noqa: PLC0415 - heavy, and read only where the network is switched off (`exporters.load`)
    from accelerate import init_empty_weights  # noqa: PLC0415 - likewise

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
