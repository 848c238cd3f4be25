"""A head in folds: several heads, each fitted without one fold of the groups, whose evidence is averaged.

So every group serves twice. All members but one are fitted on it, and that one, which never saw it, gives the scores that thresholds are made of.
What is published is the mean of the members. It is steadier than any one of them, so thresholds made of one member's scores err towards fewer
alarms. That is measured (`benchmarks/results/set_magnetic_tile.md`), not proven: the members are fitted on pictures that calibrate the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exporters.fit import head
from exporters.recipe import Head


class Members(nn.Module):
    """Heads over the same features -> evidence of each [B, F, K]."""

    def __init__(self, heads: Sequence[head.Fitted]) -> None:
        super().__init__()
        self.depths, self.sees_frame = heads[0].depths, heads[0].sees_frame
        self.heads = nn.ModuleList(heads)

    def forward(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """See the class; the frame comes last, if a member sees it."""
        return torch.stack([member(pooled, *seen) for member in self.heads], dim=1)

    def where(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """Mean of the members' maps [B, K, side, side]."""
        return torch.stack([member.where(pooled, *seen) for member in self.heads]).mean(dim=0)  # type: ignore[operator] # heads have maps


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


def fit(pictures: Pictures, rule: Head, *, half: bool, log: Callable[[str], None]) -> Members:
    """Fit one member for each fold on the pictures of the other folds.

    Args:
        pictures: all that may be fitted on.
        rule: the recipe's head section.
        half: as for `head.fit`.
        log: takes a line of progress now and then.
    """
    heads = []
    for fold in range(rule.folds):
        mine = pictures.only(pictures.folds != fold)
        log(f"member {fold + 1} of {rule.folds}: fitted on {len(mine.frames)} images")
        own = rule.model_copy(update={"seed": rule.seed + fold})
        heads.append(head.fit(mine.views, mine.frames, mine.labels, mine.masks, own, half=half, log=log))
    ensembles = [one for one in heads if isinstance(one, head.Ensemble)]
    if ensembles:
        _share_units(ensembles, pictures)
    return Members(heads).eval().requires_grad_(requires_grad=False)


def _share_units(ensembles: Sequence[head.Ensemble], pictures: Pictures) -> None:
    """All ensembles measure in one unit, taken from normal pictures that each never saw.

    Units of their own, from a fold of few groups each, would fit those groups: thresholds came out too low (up to a tenth of free pictures
    flagged at a bound of a twentieth).
    """
    found = []
    for fold, ensemble in enumerate(ensembles):
        normal = pictures.only((pictures.folds == fold) & ~pictures.labels.any(axis=1))
        found.append(ensemble.outputs_of(normal.views[0], normal.frames))
    outputs = torch.cat(found, dim=1)
    for ensemble in ensembles:
        ensemble.set_units(outputs)
