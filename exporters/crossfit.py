"""A head in folds: several heads, each fitted without one share of the groups, judge together.

So every group serves twice. All members but one are fitted on it, and that one, which never saw it, gives the scores that thresholds are made of.
What is published is the mean of the members. It is steadier than any one of them, so thresholds made of one member's scores err towards fewer
alarms. That is measured (`benchmarks/results/magnetic_tile.md`), not proven: the members are fitted on pictures that calibrate the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exporters import head
from exporters.recipe import Head


class Members(nn.Module):
    """Heads over the same features -> evidence of each [B, F, K]."""

    sees_frame = True

    def __init__(self, heads: Sequence[head.PatchHead | head.Council]) -> None:
        super().__init__()
        self.depths = heads[0].depths
        self.heads = nn.ModuleList(heads)

    def forward(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """See the class; the frame comes last."""
        return torch.stack([member(pooled, *seen) for member in self.heads], dim=1)


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is fitted on: features under each flip, frames, labels and masks as `head.fit` takes them, and the fold of each picture [n]."""

    views: Sequence[Sequence[Tensor]]
    frames: NDArray[np.uint8]
    labels: NDArray[np.bool_]
    masks: NDArray[np.uint8] | None
    folds: NDArray[np.int64]

    def only(self, chosen: NDArray[np.bool_]) -> Pictures:
        """Some of them."""
        rows = np.flatnonzero(chosen)
        return Pictures(
            [[part[rows] for part in view] for view in self.views],
            self.frames[rows],
            self.labels[rows],
            None if self.masks is None else self.masks[rows],
            self.folds[rows],
        )


def fit(pictures: Pictures, rule: Head, *, half: bool, say: Callable[[str], None]) -> Members:
    """Fit one member for each fold on the pictures of the other folds.

    Args:
        pictures: all that may be fitted on.
        rule: the recipe's head section.
        half: as for `head.fit`.
        say: takes a line of progress now and then.
    """
    heads = []
    for fold in range(rule.folds):
        mine = pictures.only(pictures.folds != fold)
        say(f"member {fold + 1} of {rule.folds}: fitted on {len(mine.frames)} images")
        own = rule.model_copy(update={"seed": rule.seed + fold})
        heads.append(head.fit(mine.views, mine.frames, mine.labels, mine.masks, own, half=half, say=say))
    councils = [one for one in heads if isinstance(one, head.Council)]
    if councils:
        _share_units(councils, pictures)
    return Members(heads).eval().requires_grad_(requires_grad=False)


def _share_units(councils: Sequence[head.Council], pictures: Pictures) -> None:
    """All councils measure in one unit, taken from normal pictures that each never saw.

    Units of their own, from a fold of few groups each, would fit those groups: thresholds came out too low (up to a tenth of free pictures
    flagged at a bound of a twentieth).
    """
    found = []
    for fold, council in enumerate(councils):
        normal = pictures.only((pictures.folds == fold) & ~pictures.labels.any(axis=1))
        found.append(council.judge(normal.views[0], normal.frames))
    said = torch.cat(found, dim=1)
    for council in councils:
        council.set_units(said)
