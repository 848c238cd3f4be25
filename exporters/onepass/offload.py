"""transformers' own forward pass of a checkpoint larger than memory: a layer's weights are loaded only while it runs.

The model is empty (`exporters.checkpoint.lazy`). Its layers read their weights before they run and drop them after; the vocabulary's table
and head are read by the rows that are needed. Slow, because every pass reads the checkpoint, but it is the published code, so it is the reference.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edge.errors import ExportError
from exporters.checkpoint.lazy import SMALL, Weights, empty_model
from exporters.model import Checkpoint
from exporters.onepass.assembly import assemble
from exporters.onepass.compiled import GenerativeModel
from exporters.onepass.form import Form
from exporters.onepass.generative import Generative
from exporters.onepass.prompts import Prompts

HEAD_ROWS = 16_384  # of the vocabulary's head at a time


@dataclass(frozen=True)
class OffloadedModel(GenerativeModel):
    """A generative checkpoint whose weights stay on disk; its graph is written by `GenerativeModel.stream`."""

    weights: Weights | None = None
    names: Mapping[int, str] | None = None

    def one_pass(self, prompts: Prompts, form: Form | None = None) -> nn.Module:
        """The module as it is traced: its constants are true, its large weights empty."""
        return assemble(self.family, self.checkpoint, self.model, prompts, form, rows=self._rows)

    def formed(self, *_: object) -> tuple[OffloadedModel, tuple[str, ...]]:
        """As it is: a trial of each form would write the whole checkpoint."""
        return self, ()

    def _rows(self, table: Any, rows: Any) -> Tensor:  # noqa: ANN401 - as `graph.Rows` has it
        if self.weights is None or self.names is None:
            raise ExportError("this model was not loaded by load_streamed.")
        return self.weights.rows(self.names[id(table)], rows)


def load_streamed(family: Generative, checkpoint: Checkpoint) -> OffloadedModel:
    """The checkpoint without its weights, ready to answer by transformers' own forward pass."""
    family.check(checkpoint)
    weights = Weights(checkpoint.folder)
    model, names = empty_model(checkpoint.folder, weights)
    offload(model, names, weights)
    return OffloadedModel(family, checkpoint, model, None, weights, names)


def offload(model: Any, names: Mapping[int, str], weights: Weights) -> None:  # noqa: ANN401 - transformers' untyped model
    """Let every part of a empty model read its weights before it runs and drop them after."""
    embed, head = model.get_input_embeddings(), model.get_output_embeddings()
    _read_rows(embed, names[id(embed.weight)], weights)
    _head_by_pieces(head, names[id(head.weight)], weights)
    covered = {id(embed), id(head)}
    for module in model.modules():
        if isinstance(module, nn.ModuleList):  # layers: some use their children's weights without calling them
            for layer in module:
                _offload(layer, list(layer.modules()), names, weights)
                covered |= {id(part) for part in layer.modules()}
    for module in model.modules():
        if id(module) not in covered and any(True for _ in module.parameters(recurse=False)):
            _offload(module, [module], names, weights)


def _offload(owner: nn.Module, parts: list[nn.Module], names: Mapping[int, str], weights: Weights) -> None:
    large = [
        (part, name, parameter, names[id(parameter)])
        for part in parts
        for name, parameter in part.named_parameters(recurse=False)
        if parameter.numel() > SMALL
    ]
    if not large:
        return

    def take(_module: nn.Module, _given: object) -> None:
        for part, name, parameter, source in large:
            value = torch.from_numpy(weights.read(source)).reshape(parameter.shape)
            part._parameters[name] = nn.Parameter(value, requires_grad=False)  # noqa: SLF001 - swapped for one pass

    def give_back(_module: nn.Module, _given: object, _found: object) -> None:
        for part, name, parameter, _ in large:
            part._parameters[name] = parameter  # noqa: SLF001 - as above

    owner.register_forward_pre_hook(take)
    owner.register_forward_hook(give_back)


def _read_rows(embed: nn.Module, source: str, weights: Weights) -> None:
    """The embedding of a few tokens, by whatever else the family's embedding does (Gemma scales), on a table of their rows."""
    plain = type(embed).forward

    def forward(tokens: Tensor) -> Tensor:
        wanted, places = torch.unique(tokens, return_inverse=True)
        compact = copy.copy(embed)
        table = nn.Parameter(weights.rows(source, wanted.tolist()), requires_grad=False)
        compact._parameters = {"weight": table}  # noqa: SLF001 - a shallow copy's own dict
        found: Tensor = plain(compact, places)
        return found

    embed.forward = forward


def _head_by_pieces(head: nn.Module, source: str, weights: Weights) -> None:
    """All logits, the head read a piece at a time."""
    count = int(head.weight.shape[0])  # type: ignore[index] # a linear layer's

    def forward(hidden: Tensor) -> Tensor:
        starts = range(0, count, HEAD_ROWS)
        pieces = [weights.slice(source, start, min(start + HEAD_ROWS, count)) for start in starts]
        return torch.cat([hidden @ piece.T for piece in pieces], dim=-1)

    head.forward = forward
