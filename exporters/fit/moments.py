"""Count, sum and second moments of feature vectors: they add up over folds, so no vector is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Doubles = NDArray[np.float64]

LEAST_DEVIATION = 1e-3  # of a feature; one that never changes must not be divided by nothing


@dataclass(frozen=True, slots=True)
class Moments:
    """Of n vectors of width E: n, their sum [E] and the sum of their outer products [E, E]."""

    count: float
    total: Doubles
    products: Doubles

    @staticmethod
    def of(vectors: Tensor) -> Moments:
        """Of vectors [..., E]."""
        flat = vectors.reshape(-1, vectors.shape[-1]).float()
        return Moments(
            float(len(flat)), flat.sum(dim=0).double().numpy(), (flat.T @ flat).double().numpy()
        )  # sums of some thousand float32 values keep five digits, and the subspace needs three

    @staticmethod
    def none(width: int) -> Moments:
        """Of no vector."""
        return Moments(0.0, np.zeros(width), np.zeros((width, width)))

    def __add__(self, other: Moments) -> Moments:
        """Of both sets."""
        return Moments(self.count + other.count, self.total + other.total, self.products + other.products)

    @property
    def mean(self) -> Doubles:
        """[E]."""
        return self.total / max(self.count, 1.0)

    @property
    def covariance(self) -> Doubles:
        """[E, E]."""
        return self.products / max(self.count, 1.0) - np.outer(self.mean, self.mean)

    @property
    def deviation(self) -> Doubles:
        """Of each feature [E], with a floor."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0)) + LEAST_DEVIATION


def total(parts: Sequence[Moments]) -> Moments:
    """Of several sets together; at least one."""
    found = parts[0]
    for part in parts[1:]:
        found = found + part
    return found


@dataclass(frozen=True, slots=True)
class Subspace:
    """Where the vectors of a set vary: their mean and inverse deviation [E], a basis [E, k], and what lies outside of it on average."""

    mean: Tensor
    inverse_std: Tensor
    basis: Tensor
    usual: float


def subspaces(moments: Moments, shares: Sequence[float], least_std: Doubles | None = None) -> list[Subspace]:
    """For each share of the variance the smallest subspace that holds it.

    Args:
        moments: of the set.
        shares: of the variance of the scaled features, 0..1.
        least_std: floor of each feature's deviation [E]; few vectors estimate it badly.
    """
    deviation = moments.deviation if least_std is None else np.maximum(moments.deviation, least_std)
    scaled = torch.from_numpy(moments.covariance / np.outer(deviation, deviation))
    values, vectors = torch.linalg.eigh(scaled)
    values, vectors = values.flip(0).clamp(min=0).numpy(), vectors.flip(1)
    whole = max(float(values.sum()), 1e-9)
    found = []
    for share in shares:
        kept = int(np.searchsorted(np.cumsum(values) / whole, share)) + 1
        kept = min(kept, max(1, len(values) - 1))
        found.append(
            Subspace(
                torch.from_numpy(moments.mean).float(),
                torch.from_numpy(1.0 / deviation).float(),
                vectors[:, :kept].float().contiguous(),
                max(float(values[kept:].sum()), 1e-3 * whole),
            )
        )
    return found


def discriminants(ground: Moments, shown: Sequence[Moments], ridge: float) -> Tensor:
    """Directions that tell sets from the ground [E, K] (Fisher), each with a spread of 1 over the ground.

    Args:
        ground: of vectors around zero.
        shown: of each set; one without vectors gets a direction of zeros.
        ridge: added to the ground's scaled covariance, so that few vectors do not make it singular.
    """
    deviation = ground.deviation
    spread = ground.covariance / np.outer(deviation, deviation) + ridge * np.eye(len(deviation))
    means = np.stack([(one.mean - ground.mean * (one.count > 0)) / deviation for one in shown], axis=1)
    found = np.linalg.solve(spread, means)
    length = np.sqrt(np.maximum((found * (spread @ found)).sum(axis=0), 1e-12))
    return torch.from_numpy(found / length / deviation[:, None]).float()
