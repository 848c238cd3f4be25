"""The model is cut to this job: evidence becomes calibrated scores, and everything the faults do not need is left behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Scale:
    """Score = sigmoid(gain * evidence + bias), per fault; float32 [K] each."""

    gain: NDArray[np.float32]
    bias: NDArray[np.float32]

    def scores(self, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """Evidence [N, K] to scores [N, K] in 0..1."""
        logits = evidence.astype(np.float64) * self.gain + self.bias
        return (1.0 / (1.0 + np.exp(-np.clip(logits, -60.0, 60.0)))).astype(np.float32)


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


def specialise(evidence: nn.Module, scale: Scale) -> nn.Module:
    """The module to export."""
    return FrameToScores(evidence, scale).eval().requires_grad_(requires_grad=False)


def plain_scale(faults: int) -> Scale:
    """Without site images: the fault's words against the normal words, even odds at score 0.5."""
    return Scale(np.ones(faults, np.float32), np.zeros(faults, np.float32))
