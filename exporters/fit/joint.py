"""Joins named faults and the unnamed one over the same features: one pass through the tower, one row of evidence, mixed where that is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exporters.fit.unnamed import Unnamed

LEAST_SPREAD = 1e-4  # of evidence; one picture has none


class Joint(nn.Module):
    """Pooled [B, D], patch features per depth and the frame where a head takes it -> evidence [B, K + 1], the unnamed last.

    Of named heads in folds, whose evidence is [B, F, K], the unnamed evidence is the same for every member: [B, F, K + 1].
    """

    def __init__(self, named: nn.Module | None, unnamed: Unnamed) -> None:
        super().__init__()
        self.named, self.unnamed = named, unnamed
        own: Sequence[float] = () if named is None else getattr(named, "depths", ())
        self.depths = union(own, unnamed.depths)
        self.named_places = tuple(self.depths.index(depth) for depth in own)
        self.unnamed_places = tuple(self.depths.index(depth) for depth in unnamed.depths)
        self.sees_frame = bool(getattr(named, "sees_frame", False))

    def forward(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """See the class."""
        layers, frame = seen[: len(self.depths)], seen[len(self.depths) :]
        unnamed: Tensor = self.unnamed(pooled, *(layers[place] for place in self.unnamed_places))
        if self.named is None:
            return unnamed
        named: Tensor = self.named(pooled, *(layers[place] for place in self.named_places), *frame)
        if named.ndim == 3:
            unnamed = unnamed[:, None].expand(-1, named.shape[1], -1)
        return torch.cat([named, unnamed], dim=-1)


@dataclass(frozen=True, slots=True)
class Mixture:
    """What each channel takes of the named evidence and of the unnamed one: own [K + 1], unnamed [K + 1], and a constant [K + 1]."""

    own: NDArray[np.float32]
    unnamed: NDArray[np.float32]
    constant: NDArray[np.float32]

    @staticmethod
    def of(normal: NDArray[np.float32], share: float) -> Mixture:
        """Named channels become a mean of both, each in units of its own spread over normal pictures.

        Args:
            normal: evidence of normal pictures [n, K + 1] by weights that never saw them, the unnamed channel last.
            share: of the unnamed channel in the named ones, 0..1.
        """
        middle, spread = normal.mean(axis=0), normal.std(axis=0) + LEAST_SPREAD
        own, unnamed = (1 - share) / spread, np.full(normal.shape[1], share) / spread[-1]
        constant = -own * middle - unnamed * middle[-1]
        own[-1], unnamed[-1], constant[-1] = 1.0, 0.0, 0.0
        return Mixture(own.astype(np.float32), unnamed.astype(np.float32), constant.astype(np.float32))

    def __call__(self, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
        """Evidence [..., K + 1] -> the same, mixed."""
        mixed: NDArray[np.float32] = evidence * self.own + evidence[..., -1:] * self.unnamed + self.constant
        return mixed.astype(np.float32)


class Mixed(nn.Module):
    """A joint head whose named channels take a share of the unnamed evidence: what no picture taught still counts."""

    def __init__(self, joint: Joint, mixture: Mixture) -> None:
        super().__init__()
        self.joint = joint
        self.depths, self.sees_frame = joint.depths, joint.sees_frame
        self.own, self.unnamed, self.constant = (
            nn.Buffer(torch.from_numpy(part)) for part in (mixture.own, mixture.unnamed, mixture.constant)
        )

    def forward(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """As of the joint head."""
        evidence: Tensor = self.joint(pooled, *seen)
        return evidence * self.own + evidence[..., -1:] * self.unnamed + self.constant


def union(first: Sequence[float], second: Sequence[float]) -> tuple[float, ...]:
    """All depths, each once: which grid the features come on depends on all that are read together."""
    return tuple(dict.fromkeys((*first, *second)))
