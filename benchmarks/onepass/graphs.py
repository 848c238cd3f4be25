"""The graphs that the ratios are taken of, SmolVLM-256M's shape, all from one checkpoint of random weights: made once, kept in a folder.

Ours are streamed, dynamic int8. The peer's are what generation with a cached image prefix runs on: tower, prefix, question and one-token step,
exported from the same modules with the whole vocabulary head and quantized in the same way.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.onepass import shapes
from exporters.checkpoint.folder import read_checkpoint
from exporters.checkpoint.whole import load_whole
from exporters.families.generative import GenerativeFamily
from exporters.graph.fuse import OPSET, fuse
from exporters.graph.quantize import quantize
from exporters.model import Checkpoint
from exporters.onepass import layout as lay
from exporters.onepass.assembly import make_inputs, stream
from exporters.onepass.form import Form
from exporters.onepass.module import OnePass, Pixels
from exporters.onepass.prompts import Prompts

SIZE = "smolvlm-256m"
COUNTS = (1, 8, 32)
NATIVE_PX = 512
SMALLER_PX = (384, 256, 192)  # 224 px is 3.5 image tokens of this shape's 64 px
FAMILY: GenerativeFamily = shapes.FAMILIES["smolvlm"]
PLACEHOLDERS = range(300, 340)  # tokens that stand for fitted ones: one embedding row each is all that a branch needs


@dataclass(frozen=True)
class Made:
    """Where the graphs lie."""

    folder: Path

    @property
    def checkpoint(self) -> Path:
        """The folder of the random checkpoint."""
        return self.folder / SIZE

    def ours(self, kind: str, count: int, edge: int = NATIVE_PX, form: Form = "tree") -> Path:
        """A one-pass graph."""
        return self.folder / f"{kind}-{count}-{edge}-{form}.onnx"

    def part(self, name: str) -> Path:
        """One of the peer's graphs, or our decoder alone."""
        return self.folder / f"part-{name}.onnx"


def main(arguments: argparse.Namespace) -> None:
    """Make what is not there yet."""
    made = Made(arguments.folder)
    if not made.checkpoint.exists():
        made.checkpoint.mkdir(parents=True)
        shapes.make_checkpoint(SIZE, made.checkpoint)
    checkpoint = read_checkpoint(made.checkpoint)
    for count in COUNTS:
        _ours(made, checkpoint, "worded", count)
        _ours(made, checkpoint, "token", count)
    _ours(made, checkpoint, "worded", 32, form="prefix")
    for edge in SMALLER_PX:
        _ours(made, checkpoint, "worded", 8, edge=edge)
    _parts(made, checkpoint)


def prompts(checkpoint: Checkpoint, kind: str, count: int, edge: int = NATIVE_PX) -> Prompts:
    """Worded questions, or one token each behind the same prefix."""
    family = replace(FAMILY, resolution_px=edge)
    worded = family.compile(checkpoint, shapes.questions(max(count, 2)))
    if kind == "worded":
        return replace(worded, sequences=worded.sequences[:count])
    prefix = instruction(worded)
    return replace(worded, sequences=tuple((*prefix, token) for token in PLACEHOLDERS[:count]))


def instruction(worded: Prompts) -> tuple[int, ...]:
    """What stands before any question: the shared tokens without the words that these questions happen to begin with alike."""
    return lay.split(worded.sequences).prefix[:-3]  # " Is there a"


def _ours(
    made: Made, checkpoint: Checkpoint, kind: str, count: int, *, edge: int = NATIVE_PX, form: Form = "tree"
) -> None:
    target = made.ours(kind, count, edge, form)
    if not target.exists():
        family = replace(FAMILY, resolution_px=edge, form=form)
        stream(family, checkpoint, prompts(checkpoint, kind, count, edge), target, scheme="dynamic-int8")
        print(target.name, flush=True)


class Kept:
    """Stands in for a cache: given pairs go before the new ones, and what comes out is kept for the next step."""

    def __init__(self, past: Sequence[Tensor]) -> None:
        self.past = past
        self.present: list[Tensor] = []

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Keys and values [1, heads, T + S, width]."""
        if self.past:
            keys = torch.cat([self.past[2 * layer], keys], dim=2)
            values = torch.cat([self.past[2 * layer + 1], values], dim=2)
        self.present += [keys, values]
        return keys, values


class Step(nn.Module):
    """Embeddings [1, S, D], angles [1, S, W], then the pairs so far -> logits of the last token [1, V], then the pairs."""

    def __init__(self, model: Any, *, head: bool) -> None:  # noqa: ANN401 - transformers' untyped model
        super().__init__()
        text = model.model.text_model
        self.layers, self.norm = text.layers, text.norm
        self.head = model.lm_head if head else None

    def forward(self, hidden: Tensor, cosine: Tensor, sine: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        kept, length = Kept(past), hidden.shape[1]
        mask = None
        if length > 1:
            before = past[0].shape[2] if past else 0
            seen = torch.ones(length, before + length).tril(before)
            mask = ((1 - seen) * -60.0)[None, None]
        for layer in self.layers:
            hidden = layer(hidden, attention_mask=mask, past_key_values=kept, position_embeddings=(cosine, sine))
        if self.head is None:
            return tuple(kept.present)
        return (self.head(self.norm(hidden[:, -1])), *kept.present)


class Given(nn.Module):
    """In the tower's place: image tokens [n, D] are the graph's input."""

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """See the class."""
        return [tokens]


def _parts(made: Made, checkpoint: Checkpoint) -> None:
    names = ("tower", "ours-worded", "ours-token", "prefix", "question", "step")
    if all(made.part(name).exists() for name in names):
        return
    model = load_whole(made.checkpoint, "AutoModelForImageTextToText")
    worded = prompts(checkpoint, "worded", 32)
    spec = FAMILY.pixels(checkpoint)
    parts = FAMILY.parts(model, spec)
    frame = torch.zeros((1, spec.height, spec.width, 3), dtype=torch.uint8)
    _write(made.part("tower"), _First(Pixels(spec.mean, spec.std, parts.tower)), (frame,), 0)
    image = torch.zeros((64, parts.head.shape[1]))
    for kind in ("worded", "token"):
        inputs = make_inputs(FAMILY, checkpoint, prompts(checkpoint, kind, 32), parts)
        alone = OnePass(front=Given(), decoder=parts.decoder, inputs=inputs, form="tree").eval()
        _write(made.part(f"ours-{kind}"), alone, (image,), 0)
    prefix, length = lengths(worded)
    pairs = [torch.zeros(1, 3, prefix, 64)] * (2 * len(parts.decoder.layers))
    _write(made.part("prefix"), Step(model, head=False), _step(prefix), 0)
    _write(made.part("question"), Step(model, head=True), (*_step(length), *pairs), 0)
    _write(made.part("step"), Step(model, head=True), (*_step(1), *pairs), len(pairs))


def lengths(worded: Prompts) -> tuple[int, int]:
    """Tokens of the prefix that generation would cache, which is all that the questions share, and of the shortest question behind it."""
    found = lay.split(worded.sequences)
    return len(found.prefix), min(len(suffix) for suffix in found.suffixes)


def _step(length: int) -> tuple[Tensor, Tensor, Tensor]:
    return torch.zeros(1, length, 576), torch.ones(1, length, 64), torch.zeros(1, length, 64)


class _First(nn.Module):
    def __init__(self, front: nn.Module) -> None:
        super().__init__()
        self.front = front

    def forward(self, frame: Tensor) -> Tensor:
        return cast("Tensor", self.front(frame)[0])


def _write(target: Path, module: nn.Module, examples: tuple[Tensor, ...], growing: int) -> None:
    """Export and quantize; the last `growing` inputs are pairs whose length is left open."""
    if target.exists():
        return
    names = [f"in{index}" for index in range(len(examples))]
    shapes_open: Any = None
    if growing:
        fixed = [None] * (len(examples) - growing)
        length = torch.export.Dim("length", min=2, max=4096)
        shapes_open = (*fixed, tuple({2: length} for _ in range(growing)))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), examples, dynamo=True, opset_version=OPSET, input_names=names, dynamic_shapes=shapes_open,
            verbose=False,
        )  # fmt: skip
    assert program is not None
    program.optimize()
    if not growing:
        fuse(program.model)
    plain = target.with_suffix(".float.onnx")
    program.save(plain)
    blank = np.zeros((1, 1, 1, 3), dtype=np.uint8)  # only static ranges look at frames
    quantize("dynamic-int8", plain, target, frames=blank, input_name=names[0], reduce_range=True)
    plain.unlink()
    print(target.name, flush=True)
