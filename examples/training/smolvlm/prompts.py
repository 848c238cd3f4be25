"""Questions as one packed sequence that all pictures of a batch share: the layout that the compiled graph has, used for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples.training.smolvlm.tokens import IMAGE_ID
from exporters.families.smolvlm import FAMILY
from exporters.onepass import layout as lay
from exporters.onepass.generative import PROBES
from exporters.onepass.prompts import INSTRUCTION_FIRST, render


@dataclass(frozen=True, slots=True)
class Packed:
    """Questions packed behind their shared beginning.

    ``tokens`` int64 (worded length,), ``positions`` int64 (length,), ``mask`` float (1, 1, length, length) to be added, ``ends`` int64 (questions,),
    ``image`` (first, past the last) place of the image tokens, ``prefix`` how many tokens all questions share.
    ``bags`` int64 and ``starts`` int64 (one-token questions,): which tokens' mean asks each of those that come last, as `torch.nn.EmbeddingBag` takes them.
    """

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    ends: Tensor
    image: tuple[int, int]
    prefix: int
    bags: Tensor
    starts: Tensor


def pack(tokenizer: Any, turns: Sequence[str], side: int, short: Sequence[Sequence[str]] = ()) -> Packed:  # noqa: ANN401 - transformers ships no types
    """Pack the users' turns (instruction and question) about a picture of ``side`` x ``side`` image tokens.

    Each of ``short`` is yes/no questions in words whose tokens' mean asks them all in one token, right behind the instruction: where the toolchain
    puts a one-token question, and what its fit starts from (`exporters.onepass.soft`). One of ``turns`` must be a yes/no question then.
    """
    layout = lay.split(_tokens(tokenizer, turns, side))
    tree = lay.grow(layout.suffixes)
    before, length = len(layout.prefix), len(layout.prefix) + len(tree.tokens)
    mask, positions = lay.tree_mask(before, tree), lay.places(before, tree)
    bags: list[list[int]] = []
    if short:
        shared = lay.split(_yes_no(tokenizer, PROBES, side)).prefix
        sequences = iter(_yes_no(tokenizer, [words for group in short for words in group], side))
        bags = [[token for _ in group for token in next(sequences)[len(shared) :]] for group in short]
        mask = np.pad(mask, (0, len(short)))
        mask[length:, :length] = _seen(shared, layout, tree, mask[:length, :length])
        np.fill_diagonal(mask, val=True)
        positions = np.concatenate([positions, np.full(len(short), len(shared))])
    hidden = torch.from_numpy(~mask)
    return Packed(
        tokens=torch.tensor([*layout.prefix, *tree.tokens]),
        positions=torch.from_numpy(positions),
        mask=torch.zeros(hidden.shape).masked_fill(hidden, torch.finfo(torch.float32).min)[None, None],
        ends=torch.from_numpy(np.concatenate([before + np.asarray(tree.ends), np.arange(length, len(mask))])),
        image=lay.runs(layout.prefix, IMAGE_ID)[0],
        prefix=before,
        bags=torch.tensor([token for bag in bags for token in bag], dtype=torch.int64),
        starts=torch.tensor([sum(map(len, bags[:index])) for index in range(len(bags))], dtype=torch.int64),
    )


def _tokens(tokenizer: Any, turns: Sequence[str], side: int) -> list[list[int]]:  # noqa: ANN401 - as above
    image = FAMILY.image_text(side, side)
    texts = [render(tokenizer, turn, image=True).replace("<image>", image) for turn in turns]
    return [list(tokens) for tokens in tokenizer(texts, add_special_tokens=False)["input_ids"]]


def _yes_no(tokenizer: Any, asked: Sequence[str], side: int) -> list[list[int]]:  # noqa: ANN401 - as above
    return _tokens(tokenizer, [INSTRUCTION_FIRST.format(question=words) for words in asked], side)


def _seen(shared: Sequence[int], layout: lay.Layout, tree: lay.Tree, mask: lay.Mask) -> lay.Mask:
    """What a one-token question sees of the packed sequence: the image and the instruction, wherever the instruction lies in it."""
    before = len(layout.prefix)
    if len(shared) <= before:
        return np.asarray(np.arange(len(mask)) < len(shared), np.bool_)
    nodes = {step: node for node, step in enumerate(zip(tree.parents, tree.tokens, strict=True))}
    node = -1
    for token in shared[before:]:
        node = nodes[node, token]
    return np.asarray(mask[before + node], np.bool_)
