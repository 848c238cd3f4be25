"""Cuts the model to this job: evidence becomes calibrated scores, and what the faults do not need is left out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from exporters.model import Scale


class FrameToScores(nn.Module):
    """The graph that runs on the device: uint8 [1, H, W, 3] -> scores [1, K]."""

    def __init__(self, evidence: nn.Module, scale: Scale) -> None:
        super().__init__()
        self.evidence = evidence
        self.gain = nn.Buffer(torch.from_numpy(scale.gain.copy()))
        self.bias = nn.Buffer(torch.from_numpy(scale.bias.copy()))

    def forward(self, frame: Tensor) -> Tensor:
        """See the class."""
        return torch.sigmoid(self.evidence(frame) * self.gain + self.bias)


class FrameToMembers(FrameToScores):
    """The same for a head in folds, whose evidence is [1, F, K]: scores [1, K] of the members' mean, and each member's own [1, F * K].

    The members' are what thresholds are made of: a picture that a head was fitted on must be judged by one that never saw it.
    """

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override] # one more output
        """See the class."""
        evidence = self.evidence(frame)
        scores = torch.sigmoid(evidence.mean(dim=1) * self.gain + self.bias)
        return scores, torch.sigmoid(evidence * self.gain + self.bias).flatten(1)


def specialise(evidence: nn.Module, scale: Scale, *, in_folds: bool = False) -> nn.Module:
    """The module to export."""
    kind = FrameToMembers if in_folds else FrameToScores
    return kind(evidence, scale).eval().requires_grad_(requires_grad=False)


def plain_scale(faults: int) -> Scale:
    """Without site images: the fault's words against the normal words, even odds at score 0.5."""
    return Scale(np.ones(faults, np.float32), np.zeros(faults, np.float32))
