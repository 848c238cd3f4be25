"""Measures how unlike the normal pictures a picture is: patch features against fixed weights, for faults without a name.

Three things are looked at. Each patch is compared with its own picture along directions that painted faults take (`procedural`); each small
neighbourhood is projected onto the subspace of normal ones, and what is left over is its strangeness; and the same is done with mean and spread
of the whole picture, for what is wrong everywhere. Evidence is their mean, each in units of its own spread over normal pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from exporters.fit.grids import resized, side_of
from exporters.fit.moments import Subspace

LEAST_SIDE = 8  # patches; on a smaller grid neighbourhoods are single patches
MOST_SIDE = 16  # patches; finer grids cost more than the tower leaves
HOTTEST_PATCHES = 2  # a fault of one patch must do, but not a single glint
HOTTEST_SHARE = 0.05  # of the neighbourhoods
OWN_LEVEL = 0.5  # how much of a picture's usual strangeness is taken off its strangest: a rough part is rough all over
PARTS = 3
TINY = 1e-6  # keeps the logarithm of a residual finite


class Residual(nn.Module):
    """What of a vector [..., E] lies outside a subspace: the logarithm of its squared length over the usual one."""

    def __init__(self, subspace: Subspace) -> None:
        super().__init__()
        self.mean = nn.Buffer(subspace.mean.clone())
        self.inverse_std = nn.Buffer(subspace.inverse_std.clone())
        self.basis = nn.Buffer(subspace.basis.clone())
        self.usual = subspace.usual

    def forward(self, vectors: Tensor) -> Tensor:
        """See the class."""
        scaled = (vectors - self.mean) * self.inverse_std
        inside = scaled @ self.basis
        outside = (scaled * scaled).sum(dim=-1) - (inside * inside).sum(dim=-1)
        return (outside.clamp(min=0) / self.usual + TINY).log()


class Unnamed(nn.Module):
    """Pooled [B, D] and patch features [B, T, E] per depth -> evidence [B, 1] of a fault without a name."""

    sees_frame = False

    def __init__(self, *, depths: Sequence[float], directions: Tensor, near: Subspace, whole: Subspace) -> None:
        super().__init__()
        self.depths = tuple(depths)
        self.directions = nn.Buffer(directions.clone())
        self.near, self.whole = Residual(near), Residual(whole)
        kinds = directions.shape[1]
        self.kind_mean, self.kind_inverse_std = nn.Buffer(torch.zeros(kinds)), nn.Buffer(torch.ones(kinds))
        self.part_mean, self.part_inverse_std = nn.Buffer(torch.zeros(PARTS)), nn.Buffer(torch.ones(PARTS))

    def forward(self, pooled: Tensor, *layers: Tensor) -> Tensor:
        """See the class; the pooled vector is not read."""
        del pooled
        kinds, odd = self.look(*layers)
        return self.judge(kinds, odd)

    def look(self, *layers: Tensor) -> tuple[Tensor, Tensor]:
        """Raw values of a picture: by painted kind [B, kinds], and strangeness near and whole [B, 2]."""
        around = neighbourhoods(layers)
        strange = self.near(around)
        count = strange.shape[1]
        ordered = strange.topk(max(1, count // 2), dim=1).values
        hottest = ordered[:, : max(1, round(count * HOTTEST_SHARE))].mean(dim=1)
        near = hottest - OWN_LEVEL * ordered[:, -1]
        return self.along(layers), torch.stack([near, self.whole(summary(around))], dim=1)

    def along(self, layers: Sequence[Tensor]) -> Tensor:
        """How far the hottest patches stand out of their picture along each direction: [B, kinds].

        Directions are applied on each layer's own grid, before it is laid on the finest: the same for a hundredth of the numbers.
        """
        side = fine_side(layers)
        parts = torch.split(self.directions, [layer.shape[2] for layer in layers])
        laid = [resized(layer @ part, side) for layer, part in zip(layers, parts, strict=True)]
        evidence = standing_out(sum(laid[1:], start=laid[0]))
        hottest: Tensor = evidence.topk(min(HOTTEST_PATCHES, evidence.shape[1]), dim=1).values
        return hottest.mean(dim=1)

    def judge(self, kinds: Tensor, odd: Tensor) -> Tensor:
        """Raw values as `look` gives them -> evidence [B, 1]."""
        scaled: Tensor = (self.parts(kinds, odd) - self.part_mean) * self.part_inverse_std
        return scaled.mean(dim=1, keepdim=True)

    def parts(self, kinds: Tensor, odd: Tensor) -> Tensor:
        """The most telling kind, in units of normal pictures, beside the two strangenesses: [B, 3]."""
        telling = ((kinds - self.kind_mean) * self.kind_inverse_std).amax(dim=1, keepdim=True)
        return torch.cat([telling, odd], dim=1)

    def set_units(self, kinds: Tensor, odd: Tensor) -> None:
        """Take mean and spread of what normal pictures showed [n, kinds], [n, 2] as zero and one."""
        self.kind_mean.copy_(kinds.mean(dim=0))
        self.kind_inverse_std.copy_(1 / _spread(kinds))
        parts = self.parts(kinds, odd)
        self.part_mean.copy_(parts.mean(dim=0))
        self.part_inverse_std.copy_(1 / _spread(parts))

    def where(self, *layers: Tensor) -> Tensor:
        """How strange each neighbourhood is, in the same logarithm: [B, side, side]."""
        strange: Tensor = self.near(neighbourhoods(layers))
        side = math.isqrt(strange.shape[1])
        return strange.reshape(-1, side, side)


def _spread(values: Tensor) -> Tensor:
    """Standard deviation of each column; one picture has none, and rounding must not be stretched into one."""
    found = values.std(dim=0) if len(values) > 1 else torch.zeros(values.shape[1])
    return found + 0.05


def fine_side(layers: Sequence[Tensor]) -> int:
    """Side of the grid on which single patches are looked at: the finest of the layers', halved until it is at most `MOST_SIDE`."""
    side = max(side_of(layer) for layer in layers)
    while side > MOST_SIDE and side % 2 == 0:
        side //= 2
    return side


def patches(layers: Sequence[Tensor]) -> Tensor:
    """Single patches with all their features [B, T, E]."""
    side = fine_side(layers)
    return torch.cat([resized(layer, side) for layer in layers], dim=-1)


def neighbourhoods(layers: Sequence[Tensor]) -> Tensor:
    """Layers side by side [B, T, E] on the coarsest of their grids, averaged two by two until it would be too small or is odd."""
    side = min(side_of(layer) for layer in layers)
    while side >= LEAST_SIDE and side % 2 == 0:
        side //= 2
    return torch.cat([resized(layer, side) for layer in layers], dim=-1)


def standing_out(patches: Tensor) -> Tensor:
    """Patches [B, T, E] against their own picture's mean."""
    return patches - patches.mean(dim=1, keepdim=True)


def summary(around: Tensor) -> Tensor:
    """Mean and spread of neighbourhoods [B, T, E] over the picture: [B, 2 E]."""
    middle = around.mean(dim=1)
    centred = around - middle[:, None]
    return torch.cat([middle, ((centred * centred).mean(dim=1) + TINY).sqrt()], dim=1)
