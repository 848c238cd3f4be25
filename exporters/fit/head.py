"""Fits a small head on frozen patch features and on the frame's pixels, as part of the same graph.

Each patch is judged by a two-layer network that sees its features at several depths, plain texture statistics of its pixels, and how both
differ from the picture's mean; an image's evidence is the soft maximum over its patches, so it learns from picture labels alone (multiple
instances), and from masks where there are any. The texture statistics are there because a tower trained to name things forgets fine grain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exporters.fit import linear, pixel_net
from exporters.fit.grids import as_map, on_finest, side_of
from exporters.recipe import Head

BATCH = 32  # pictures per step
DROPOUT = 0.3
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
COVERED = 0.05  # share of a patch that the mask must cover to make it a fault patch
LEAST_STEPS = 400  # a small set is passed over oftener, or nothing is learned
RARE_WEIGHT_MAX = 10.0  # a rare fault weighs more, but not without limit
FLIPS: tuple[tuple[int, ...], ...] = ((), (1,), (0,), (0, 1))  # axes of the patch grid; surfaces have no up or down


class Texture(nn.Module):
    """Frame [B, H, W, 3] in 0..255 -> contrast statistics of each of side x side patches, [B, side * side, S].

    Horizontal and vertical slope and the Laplacian at up to three scales: strongest, weakest and mean size within the patch, as multiples of
    the picture's own typical size, so that exposure cancels; and the patch's brightness and roughness against the picture's.
    """

    def __init__(self, side: int, patch: int) -> None:
        super().__init__()
        self.side, self.patch = side, patch
        self.scales = next(count for count in (3, 2, 1) if patch % 2 ** (count - 1) == 0)
        slopes = [
            [[0, 0, 0], [-1, 0, 1], [0, 0, 0]],
            [[0, -1, 0], [0, 0, 0], [0, 1, 0]],
            [[0, -1, 0], [-1, 4, -1], [0, -1, 0]],
        ]
        self.slopes = nn.Buffer(torch.tensor(slopes, dtype=torch.float32)[:, None])

    @property
    def width(self) -> int:
        """Statistics per patch: S."""
        return 9 * self.scales + 2

    def forward(self, frame: Tensor) -> Tensor:
        """See the class."""
        pixels = self.side * self.patch
        grey = frame[:, :pixels, :pixels].to(torch.float32).mean(dim=3)[:, None] / 255
        found = []
        for scale in range(self.scales):
            seen = nn.functional.avg_pool2d(grey, 2**scale) if scale else grey
            slope = nn.functional.conv2d(nn.functional.pad(seen, (1, 1, 1, 1), mode="replicate"), self.slopes)
            slope = slope / ((slope * slope).mean(dim=(2, 3), keepdim=True).sqrt() + 1e-3)
            cell = self.patch // 2**scale
            found += [nn.functional.max_pool2d(slope, cell), nn.functional.max_pool2d(-slope, cell)]
            found.append(nn.functional.avg_pool2d(slope.abs(), cell))
        mean = nn.functional.avg_pool2d(grey, self.patch)
        rough = (nn.functional.avg_pool2d(grey * grey, self.patch) - mean * mean).clamp(min=0)
        middle = grey.mean(dim=(2, 3), keepdim=True)
        spread = ((grey - middle).pow(2).mean(dim=(2, 3), keepdim=True) + 1e-4).sqrt()
        found += [(mean - middle) / spread, (rough + 1e-6).sqrt() / spread]
        return torch.cat(found, dim=1).flatten(2).transpose(1, 2)


class PatchHead(nn.Module):
    """Pooled [B, D], patch features [B, T, E] per depth, and the frame [B, H, W, 3] -> evidence [B, K]."""

    sees_frame = True

    def __init__(
        self, *, depths: Sequence[float], widths: Sequence[int], texture: Texture, pooled: int, hidden: int, faults: int
    ) -> None:
        super().__init__()
        self.depths = tuple(depths)
        self.texture = texture
        width = sum(widths) + texture.width
        self.mean = nn.Buffer(torch.zeros(width))
        self.inverse_std = nn.Buffer(torch.ones(width))
        self.first = nn.Linear(2 * width, hidden)
        self.dropout = nn.Dropout(DROPOUT)
        self.last = nn.Linear(hidden, faults)
        self.scale = nn.Parameter(torch.ones(faults))
        self.bias = nn.Parameter(torch.zeros(faults))
        self.whole = nn.Linear(pooled, faults, bias=False) if widths else None
        nn.init.constant_(self.last.bias, -3.0)  # most patches are in order
        if self.whole is not None:
            nn.init.zeros_(self.whole.weight)

    def patches(self, *layers: Tensor) -> Tensor:
        """Patch features per depth, texture last -> evidence of each patch [B, T, K]."""
        seen = (torch.cat(layers, dim=-1) - self.mean) * self.inverse_std
        seen = torch.cat([seen, seen - seen.mean(dim=1, keepdim=True)], dim=-1)
        judged: Tensor = self.last(self.dropout(nn.functional.gelu(self.first(seen))))
        return judged

    def where(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """Evidence of each place [B, K, side, side]; layers come on one grid, the frame last."""
        del pooled
        *layers, frame = seen
        return as_map(self.patches(*layers, self.texture(frame)))

    def combine(self, pooled: Tensor, judged: Tensor) -> Tensor:
        """Soft maximum over patches, plus the evidence of the whole picture's embedding."""
        evidence = torch.logsumexp(judged, dim=1) * self.scale + self.bias
        return evidence if self.whole is None else evidence + self.whole(pooled)

    def forward(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """See the class; the frame comes last."""
        *layers, frame = seen
        return self.combine(pooled, self.patches(*on_finest(layers), self.texture(frame)))


class Ensemble(nn.Module):
    """A head over features and networks over the frame's pixels -> evidence [B, K]: the mean of each one's evidence, in units of its own spread."""

    sees_frame = True

    def __init__(
        self, first: PatchHead | linear.LinearHead, nets: Sequence[nn.Module], share: float, faults: int
    ) -> None:
        super().__init__()
        self.depths = first.depths
        self.first_sees_frame = first.sees_frame
        self.members = nn.ModuleList([first, *nets])
        shares = [share, *[(1 - share) / len(nets)] * len(nets)]
        self.share = nn.Buffer(torch.tensor(shares)[:, None])
        self.mean = nn.Buffer(torch.zeros(len(self.members), faults))
        self.inverse_std = nn.Buffer(torch.ones(len(self.members), faults))

    def outputs(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """Each member's evidence [members, B, K]."""
        first, *nets = self.members
        return torch.stack([first(pooled, *self._own(seen)), *(member(seen[-1]) for member in nets)])

    def where(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """Evidence of each place [B, K, side, side], as the members share it, each in units of its own spread over the picture."""
        first, *nets = self.members
        maps: list[Tensor] = [first.where(pooled, *self._own(seen))]  # type: ignore[operator] # heads have maps
        side = maps[0].shape[2]
        maps += [nn.functional.adaptive_max_pool2d(net.cells(seen[-1]), side) for net in nets]  # type: ignore[operator] # a PixelNet
        units = [part / (part.std(dim=(2, 3), keepdim=True) + 1e-4) for part in maps]
        shared: Tensor = (torch.stack(units) * self.share[:, :, None, None, None]).sum(dim=0)
        return shared

    def _own(self, seen: Sequence[Tensor]) -> Sequence[Tensor]:
        """What the first member reads of layers and frame."""
        return seen if self.first_sees_frame else seen[:-1]

    def outputs_of(self, view: Sequence[Tensor], frames: NDArray[np.uint8]) -> Tensor:
        """Each member's evidence on many pictures: unflipped features as for `fit`, frames [n, H, W, 3] -> [members, n, K]."""
        parts = []
        with torch.inference_mode():
            for start in range(0, len(frames), BATCH):
                seen = [part[start : start + BATCH].float() for part in view[: 1 + len(self.depths)]]
                parts.append(self.outputs(*seen, torch.from_numpy(frames[start : start + BATCH])))
        return torch.cat(parts, dim=1)

    def set_units(self, outputs: Tensor) -> None:
        """Take the spread of each member's evidence on normal pictures [members, n, K] as its unit."""
        self.mean.copy_(outputs.mean(dim=1))
        self.inverse_std.copy_(1.0 / (outputs.std(dim=1) + 1e-4))

    def forward(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """See the class."""
        outputs = (self.outputs(pooled, *seen) - self.mean[:, None]) * self.inverse_std[:, None]
        evidence: Tensor = (outputs * self.share[:, None]).sum(dim=0)
        return evidence


Fitted = PatchHead | Ensemble | linear.LinearHead


def fit(
    views: Sequence[Sequence[Tensor]],
    frames: NDArray[np.uint8],
    labels: NDArray[np.bool_],
    masks: NDArray[np.uint8] | None,
    rule: Head,
    *,
    half: bool = False,
    log: Callable[[str], None],
) -> Fitted:
    """Fit a head on some pictures; all heads are fitted on each of `FLIPS`.

    Args:
        views: per flip, features as `Model.features` gives them: pooled [n, D], then patches [n, T, E] per depth, for patch heads on one grid.
        frames: the same pictures unflipped, uint8 [n, H, W, 3].
        labels: bool [n, K].
        masks: uint8 [n, H, W], 255 where the fault is, or None.
        rule: the recipe's head section.
        half: fit the networks over pixels in bfloat16, which is fast on processors with AMX.
        log: takes a line of progress now and then.
    """
    first = (
        _fit_patches(views, frames, labels, masks, rule, log=log)
        if rule.hidden
        else linear.fit(views, labels, masks, rule)
    )
    if not rule.grain:
        return first
    nets = [
        pixel_net.fit(frames, labels, masks, passes=rule.grain_epochs, seed=rule.seed + member, half=half, log=log)
        for member in range(rule.grain)
    ]
    ensemble = Ensemble(first, nets, rule.patch_share, labels.shape[1])
    normal = np.flatnonzero(~labels.any(axis=1))
    ensemble.set_units(ensemble.outputs_of([part[normal] for part in views[0]], frames[normal]))
    return ensemble.eval().requires_grad_(requires_grad=False)


def _fit_patches(
    views: Sequence[Sequence[Tensor]],
    frames: NDArray[np.uint8],
    labels: NDArray[np.bool_],
    masks: NDArray[np.uint8] | None,
    rule: Head,
    *,
    log: Callable[[str], None],
) -> PatchHead:
    torch.manual_seed(rule.seed)
    pooled, *layers = views[0]
    side = side_of(layers[0])
    texture = Texture(side, frames.shape[1] // side)
    if not rule.layers:  # the grid was asked for to know the patches; its features were not
        views, layers = [view[:1] for view in views], []
    patches = side * side
    views = [[*view, _textures(texture, flipped(frames, axes))] for view, axes in zip(views, FLIPS, strict=True)]
    head = PatchHead(
        depths=rule.layers,
        widths=[layer.shape[-1] for layer in layers],
        texture=texture,
        pooled=pooled.shape[-1],
        hidden=rule.hidden,
        faults=labels.shape[1],
    )
    flat = torch.cat([layer.float().flatten(0, 1) for layer in views[0][1:]], dim=-1)
    head.mean.copy_(flat.mean(dim=0))
    head.inverse_std.copy_(1.0 / (flat.std(dim=0) + 1e-4))
    wanted = torch.from_numpy(labels.astype(np.float32))
    covered = None if masks is None else _coverage(masks, patches)
    _train(head, views, wanted, covered, rule=rule, log=log)
    return head.eval().requires_grad_(requires_grad=False)


def _textures(texture: Texture, frames: NDArray[np.uint8]) -> Tensor:
    """Texture statistics of many frames, in float16 like the other features."""
    with torch.inference_mode():
        parts = [texture(torch.from_numpy(frames[start : start + BATCH])) for start in range(0, len(frames), BATCH)]
    return torch.cat(parts).half()


def flipped(frames: NDArray[np.uint8], axes: tuple[int, ...]) -> NDArray[np.uint8]:
    """Frames [N, H, W, 3] mirrored along rows (0) and columns (1)."""
    return np.ascontiguousarray(np.flip(frames, tuple(1 + axis for axis in axes)))


def _train(
    head: PatchHead,
    views: Sequence[Sequence[Tensor]],
    wanted: Tensor,
    covered: Tensor | None,
    *,
    rule: Head,
    log: Callable[[str], None],
) -> None:
    count = len(wanted)
    rare = ((count - wanted.sum(0)) / wanted.sum(0).clamp(min=1)).clamp(max=RARE_WEIGHT_MAX)
    optimiser = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    batches = math.ceil(count / BATCH)
    epochs = max(rule.epochs, math.ceil(LEAST_STEPS / batches))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=epochs * batches)
    head.train()
    for epoch in range(epochs):
        total = 0.0
        order = torch.randperm(count)
        for start in range(0, count, BATCH):
            rows = order[start : start + BATCH]
            axes = int(torch.randint(len(views), ()))
            pooled, *layers = (part[rows].float() for part in views[axes])
            judged = head.patches(*layers)
            evidence = head.combine(pooled, judged)
            loss = nn.functional.binary_cross_entropy_with_logits(evidence, wanted[rows], pos_weight=rare)
            if covered is not None:
                loss = loss + _patch_loss(judged, wanted[rows], covered[rows], FLIPS[axes])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(rows)
        if epoch % max(1, epochs // 8) == 0 or epoch + 1 == epochs:
            log(f"pass {epoch + 1} of {epochs}, loss {total / count:.3f}")


def _patch_loss(judged: Tensor, wanted: Tensor, covered: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Patches under the mask show the picture's faults, patches clear of it none; patches at its rim are left out."""
    share = covered.flip([1 + axis for axis in axes]).flatten(1)
    inside = (share > COVERED).float()
    target = inside[:, :, None] * wanted[:, None, :]
    known = (inside.any(1) | ~wanted.any(1)).float()[:, None, None]  # a faulty picture without a mask has no places
    weight = ((share > COVERED) | (share == 0)).float()[:, :, None] * (1 + 4 * target) * known
    return nn.functional.binary_cross_entropy_with_logits(judged, target, weight=weight)


def _coverage(masks: NDArray[np.uint8], patches: int) -> Tensor:
    """Share of each patch that the mask covers: [n, side, side]."""
    side = math.isqrt(patches)
    inside = torch.from_numpy((masks > 127).astype(np.float32))[:, None]
    return nn.functional.adaptive_avg_pool2d(inside, side)[:, 0]
