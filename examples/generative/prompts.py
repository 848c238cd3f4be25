"""Questions as one packed sequence that all pictures of a batch share: the layout that the compiled graph has, used for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from examples.generative.tokens import IMAGE_ID
from exporters.families.smolvlm import FAMILY
from exporters.onepass import layout as lay
from exporters.onepass.prompts import render


@dataclass(frozen=True, slots=True)
class Packed:
    """Questions packed behind their shared beginning.

    ``tokens`` and ``positions`` int64 (length,), ``mask`` float (1, 1, length, length) to be added, ``ends`` int64 (questions,),
    ``image`` (first, past the last) place of the image tokens, ``prefix`` how many tokens all questions share.
    """

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    ends: Tensor
    image: tuple[int, int]
    prefix: int


def pack(tokenizer: Any, turns: Sequence[str], side: int) -> Packed:  # noqa: ANN401 - transformers ships no types
    """Pack the users' turns (instruction and question) about a picture of ``side`` x ``side`` image tokens."""
    image = FAMILY.image_text(side, side)
    texts = [render(tokenizer, turn, image=True).replace("<image>", image) for turn in turns]
    layout = lay.split(tokenizer(texts, add_special_tokens=False)["input_ids"])
    tree = lay.grow(layout.suffixes)
    mask = torch.from_numpy(lay.tree_mask(len(layout.prefix), tree))
    return Packed(
        tokens=torch.tensor([*layout.prefix, *tree.tokens]),
        positions=torch.from_numpy(lay.places(len(layout.prefix), tree)),
        mask=torch.zeros(mask.shape).masked_fill(~mask, torch.finfo(torch.float32).min)[None, None],
        ends=torch.from_numpy(len(layout.prefix) + np.asarray(tree.ends)),
        image=lay.runs(layout.prefix, IMAGE_ID)[0],
        prefix=len(layout.prefix),
    )
