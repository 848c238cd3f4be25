"""A linear head in closed form, from few pictures or many: mean and spread of the layers over the picture, and single patches where masks show faults.

Mean and spread tell what changes the ground all over, a texture or a scale, by ridge regression in the space of the pictures. Directions that tell
the patches under a mask from all others (Fisher) tell what is small; the hottest patches count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exporters.fit.grids import as_map, on_finest, side_of
from exporters.fit.moments import Moments, discriminants, total
from exporters.fit.unnamed import HOTTEST_PATCHES, standing_out, summary
from exporters.recipe import Head

RIDGE = 0.3  # of the mean square of a picture's scaled features; chosen on the open halves of X-SDD and BSData, where a tenth of it costs 0.4 %
PATCH_RIDGE = 0.1  # of a patch feature's variance
LEAST_SPREAD = 1e-4  # of a feature's over that of all
EVIDENCE = 6.0  # regression knows 0 and 1; this puts them at log odds of -3 and 3
COVERED = 0.05  # share of a patch that the mask must cover to make it a fault patch
BATCH = 32  # pictures whose patches are held in float32 at once
FAR = -1e4  # evidence of a place that is not asked


class Places(nn.Module):
    """Patch features per depth -> how far the hottest patches stand out for each fault [B, K], in units of its spread over normal pictures.

    A fault whose pictures include all of another's, such as any fault, takes the highest of both.
    """

    def __init__(self, directions: Tensor, within: NDArray[np.bool_]) -> None:
        super().__init__()
        own, apart = directions.chunk(2)
        self.directions, self.apart = nn.Buffer(own + apart), nn.Buffer(apart)
        self.outside = nn.Buffer(torch.from_numpy(np.where(within, 0.0, FAR).astype(np.float32)))
        faults = directions.shape[1]
        self.mean, self.inverse_std = nn.Buffer(torch.zeros(faults)), nn.Buffer(torch.ones(faults))

    def patches(self, *layers: Tensor) -> Tensor:
        """The evidence of each patch [B, T, K]; layers come on one grid."""
        seen = torch.cat(layers, dim=-1)
        return seen @ self.directions - seen.mean(dim=1, keepdim=True) @ self.apart

    def hottest(self, *layers: Tensor) -> Tensor:
        """Mean of the hottest patches [B, K], without units."""
        evidence = self.patches(*on_finest(layers))
        found: Tensor = evidence.topk(min(HOTTEST_PATCHES, evidence.shape[1]), dim=1).values.mean(dim=1)
        return found

    def forward(self, *layers: Tensor) -> Tensor:
        """See the class."""
        return self._judged(self.hottest(*layers))

    def where(self, *layers: Tensor) -> Tensor:
        """How far each patch stands out [B, T, K], by the rule for the hottest: any fault's place is that of the fault that tells most."""
        return self._judged(self.patches(*layers))

    def _judged(self, evidence: Tensor) -> Tensor:
        """Evidence [..., K] in units, each fault's the highest of its own and of those whose pictures all show it."""
        scaled = (evidence - self.mean) * self.inverse_std
        found: Tensor = (scaled[..., None, :] + self.outside).amax(dim=-1)
        return found


class LinearHead(nn.Module):
    """Pooled [B, D] and patch features [B, T, E] per depth -> evidence [B, K]; the pooled vector is not read."""

    sees_frame = False

    def __init__(
        self, depths: Sequence[float], *, mean: Tensor, weights: Tensor, bias: Tensor, places: Places | None = None
    ) -> None:
        super().__init__()
        self.depths = tuple(depths)
        self.mean, self.weights, self.bias = nn.Buffer(mean), nn.Buffer(weights), nn.Buffer(bias)
        self.places = places

    def forward(self, pooled: Tensor, *layers: Tensor) -> Tensor:
        """See the class."""
        del pooled
        whole = (_seen(layers) - self.mean) @ self.weights + self.bias
        return whole if self.places is None else whole + self.places(*layers)

    def where(self, pooled: Tensor, *layers: Tensor) -> Tensor:
        """The evidence of each place [B, K, side, side], or what it adds to mean and spread, to first order; layers come on one grid."""
        del pooled
        if self.places is not None:
            return as_map(self.places.where(*layers))
        evidence = torch.zeros(1)
        parts = torch.split(self.weights, [2 * layer.shape[2] for layer in layers])
        for layer, weights in zip(layers, parts, strict=True):
            apart = standing_out(layer)
            spread = (apart * apart).mean(dim=1, keepdim=True).sqrt() + LEAST_SPREAD
            of_mean, of_spread = weights.chunk(2)
            evidence = evidence + apart @ of_mean + (apart * apart / spread - spread) @ of_spread / 2
        return as_map(evidence)


def _seen(layers: Sequence[Tensor]) -> Tensor:
    """Mean and spread of each layer over the picture [B, 2 * sum of E]; each on its own grid."""
    return torch.cat([summary(layer) for layer in layers], dim=-1)


def fit(
    views: Sequence[Sequence[Tensor]], labels: NDArray[np.bool_], masks: NDArray[np.uint8] | None, rule: Head
) -> LinearHead:
    """Fit on all pictures under every flip, and on the patches of the unflipped ones.

    Args:
        views: per flip, features as `Model.features` gives them: pooled [n, D], then patches [n, T, E] per depth.
        labels: bool [n, K].
        masks: uint8 [n, H, W], 255 where the fault is, or None.
        rule: the recipe's head section.
    """
    rows = torch.cat([_seen([layer.float() for layer in view[1:]]) for view in views]).double()
    wanted = torch.from_numpy(np.tile(labels, (len(views), 1))).double()
    mean, spread = rows.mean(dim=0), rows.std(dim=0)
    spread = spread + LEAST_SPREAD * spread.mean()
    scaled = (rows - mean) / spread
    width = scaled.shape[1]
    products = scaled @ scaled.T / width
    base = wanted.mean(dim=0)
    solved = torch.linalg.solve(products + RIDGE * torch.eye(len(rows), dtype=torch.float64), wanted - base)
    weights = scaled.T @ solved / width / spread[:, None]
    head = LinearHead(
        rule.layers,
        mean=mean.float(),
        weights=EVIDENCE * weights.float(),
        bias=(EVIDENCE * (base - 0.5)).float(),
        places=None if masks is None or not masks.any() else _fit_places(views[0][1:], labels, masks),
    )
    return head.eval().requires_grad_(requires_grad=False)


def _fit_places(layers: Sequence[Tensor], labels: NDArray[np.bool_], masks: NDArray[np.uint8]) -> Places:
    """Directions from normal pictures' patches to those under each fault's masks, and their units over normal pictures."""
    side = max(side_of(layer) for layer in layers)
    inside = torch.from_numpy((masks > 127).astype(np.float32))[:, None]
    covered = nn.functional.adaptive_avg_pool2d(inside, side).flatten(1) > COVERED
    normal = np.flatnonzero(~labels.any(axis=1))
    width = 2 * sum(layer.shape[2] for layer in layers)
    ground = total([Moments.none(width), *(Moments.of(both) for both in _patches(layers, normal))])
    shown = []
    for column in labels.T:
        own = np.flatnonzero(column)
        marked = (both[covered[rows]] for rows, both in zip(_batches(own), _patches(layers, own), strict=True))
        shown.append(total([Moments.none(width), *map(Moments.of, marked)]))
    # Row i, column k: whether every picture of fault k shows fault i too.
    within = ~(labels[:, None, :] & ~labels[:, :, None]).any(axis=0)
    within &= labels.sum(axis=0)[None] > 0
    np.fill_diagonal(within, val=True)
    places = Places(discriminants(ground, shown, PATCH_RIDGE), within)
    with torch.inference_mode():
        evidence = torch.cat([places.hottest(*(layer[rows].float() for layer in layers)) for rows in _batches(normal)])
    places.mean.copy_(evidence.mean(dim=0))
    places.inverse_std.copy_(1 / (evidence.std(dim=0) + LEAST_SPREAD))
    return places


def _batches(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]


def _patches(layers: Sequence[Tensor], rows: NDArray[np.int64]) -> Iterator[Tensor]:
    """Patches with all their features, and against their picture's mean: float32 [b, T, 2 E] of a few pictures at a time."""
    for some in _batches(rows):
        patches = torch.cat(on_finest([layer[some].float() for layer in layers]), dim=-1)
        yield torch.cat([patches, standing_out(patches)], dim=-1)
