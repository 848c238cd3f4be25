"""Builds the one-pass module from a family's facts, a checkpoint's parts and the prompts, or its graph tensor by tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from edge.errors import ExportError
from exporters.checkpoint.lazy import Weights, empty_model
from exporters.graph import stream as graph_stream
from exporters.model import Checkpoint
from exporters.onepass import layout as lay
from exporters.onepass.form import Form, Parts, Rows
from exporters.onepass.generative import Generative
from exporters.onepass.module import HIDDEN, UNSEEN, Inputs, OnePass, Pixels
from exporters.onepass.prompts import Prompts


def make_inputs(
    family: Generative, checkpoint: Checkpoint, prompts: Prompts, parts: Parts, rows: Rows | None = None
) -> Inputs:
    """The constants of the graph.

    Raises:
        ExportError: the questions part before the image ends.
    """
    layout = lay.split(prompts.sequences)
    token = family.image_token(checkpoint)
    lines, columns = family.grid(checkpoint)
    place = np.asarray(layout.prefix, dtype=np.int64) == token
    if int(place.sum()) != lines * columns:
        raise ExportError(
            f"{checkpoint.folder}: {int(place.sum())} of {lines * columns} image tokens are in the part that all questions share; "
            "the chat template must put the image before the question."
        )
    return Inputs.of(
        prompts,
        layout,
        embed=parts.embed,
        head=parts.head,
        rows=rows,
        source=np.where(place, np.cumsum(place) - 1, -1),
        positions=family.positions(layout.prefix, token, columns),
        blocks=lay.runs(layout.prefix, token) if family.two_way_image else (),
    )


def assemble(
    family: Generative,
    checkpoint: Checkpoint,
    model: Any,  # noqa: ANN401 - transformers' untyped model
    prompts: Prompts,
    form: Form | None = None,
    *,
    rows: Rows | None = None,
    soft: Tensor | None = None,
) -> OnePass:
    """uint8 [1, H, W, 3] -> logits [Q, 2] of every prompt: yes, no.

    Args:
        family: whose facts give the positions of the tokens.
        checkpoint: where the model came from.
        model: transformers' own, loaded or empty.
        prompts: the questions as tokens.
        form: tree or prefix; None: the family's own, else its first.
        rows: reads rows of a table parameter; None: they are in the parameter itself.
        soft: [K, D] one-token questions; they take the place of whatever the prompts do not share.

    Raises:
        ExportError: the family cannot take that form, or the questions part before the image ends.
    """
    chosen = form or family.form or family.forms[0]
    if chosen not in family.forms:
        raise ExportError(f"{family.name} cannot take the {chosen} form; it has: {', '.join(family.forms)}.")
    spec = family.pixels(checkpoint)
    parts = family.parts(model, spec)
    inputs = make_inputs(family, checkpoint, prompts, parts, rows)
    if soft is not None:
        inputs = inputs.softened(soft)
    front = Pixels(spec.mean, spec.std, parts.tower)
    unseen = HIDDEN if family.hidden else UNSEEN
    module = OnePass(front=front, decoder=parts.decoder, inputs=inputs, form=chosen, unseen=unseen)
    module.eval()
    return module


def stream(
    family: Generative,
    checkpoint: Checkpoint,
    prompts: Prompts,
    target: Path,
    *,
    scheme: str = "float32",
    wrap: Callable[[nn.Module], nn.Module] | None = None,
    output_name: str = "logits",
    soft: Tensor | None = None,
) -> graph_stream.Written:
    """Write the one-pass graph of a checkpoint, its weights never all in memory.

    Args:
        family: the checkpoint's family.
        checkpoint: its folder, read.
        prompts: the questions as tokens.
        target: the graph's file; its weights go to ``<target>.data`` beside it.
        scheme: how products with large weights are written; "decoder-int4" is 4 bits in the decoder and int8 in the tower.
        wrap: what follows the logits in the graph.
        output_name: of the graph.
        soft: [K, D] one-token questions, if they were fitted.

    Raises:
        ExportError: the model does not trace, or its parameters are not in the checkpoint, or are no numbers.
    """
    weights = Weights(checkpoint.folder)
    empty, names = empty_model(checkpoint.folder, weights)
    logits = assemble(
        family, checkpoint, empty, prompts, rows=lambda table, rows: weights.rows(names[id(table)], rows), soft=soft
    )
    spec = family.pixels(checkpoint)
    return graph_stream.stream(
        logits if wrap is None else wrap(logits).eval(),
        (spec.height, spec.width),
        target,
        weights=weights,
        names=names,
        tower=logits.front,
        scheme=scheme,
        output_name=output_name,
    )
