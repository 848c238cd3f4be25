"""Resamples the feature maps of a tower's layers to one common grid: the finest of them, or the coarsest."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from edge.errors import ExportError


def side_of(layer: Tensor) -> int:
    """Patches along an edge of a square grid [B, T, E]. Raises ExportError for another shape."""
    count = int(layer.shape[1])
    side = math.isqrt(count)
    if side * side != count:
        raise ExportError(
            f"{count} patches are no square: heads need a square frame; set the same height and width in preprocessor_config.json."
        )
    return side


def resized(layer: Tensor, side: int) -> Tensor:
    """Patches [B, T, E] on a grid of another side: means where patches fall together, bilinear else. It treats every feature alike."""
    old = side_of(layer)
    if old == side:
        return layer
    if old % side == 0:
        step = old // side
        return layer.reshape(-1, side, step, side, step, layer.shape[2]).mean(dim=(2, 4)).flatten(1, 2)
    grid = layer.transpose(1, 2).reshape(-1, layer.shape[2], old, old)
    laid: Tensor = nn.functional.interpolate(grid, size=(side, side), mode="bilinear", align_corners=False)
    return laid.flatten(2).transpose(1, 2)


def on_finest(layers: Sequence[Tensor]) -> list[Tensor]:
    """All layers on the grid of the finest of them."""
    side = max((side_of(layer) for layer in layers), default=0)
    return [resized(layer, side) for layer in layers]


def on_coarsest(layers: Sequence[Tensor]) -> list[Tensor]:
    """All layers on the grid of the coarsest of them."""
    side = min((side_of(layer) for layer in layers), default=0)
    return [resized(layer, side) for layer in layers]


def as_map(patches: Tensor) -> Tensor:
    """Patches [B, T, K] as maps [B, K, side, side]."""
    side = side_of(patches)
    return patches.transpose(1, 2).reshape(-1, patches.shape[2], side, side)
