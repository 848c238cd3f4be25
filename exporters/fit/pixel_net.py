"""Small convolutional networks that learn a site's faults from the frame's own pixels, finer than a checkpoint's patches.

Each judges cells of 8 x 8 px by what lies around them; a picture's evidence is the soft maximum over its cells, so it learns from picture
labels alone, and far better from masks. Several, started differently and shown other variants, are averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

CELL = 8  # px
WIDTHS = (32, 48, 64, 96)
BATCH = 16
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
DROPOUT = 0.2
COVERED = 0.06  # share of a cell that the mask must cover to make it a fault cell
CELL_WEIGHT, LABEL_WEIGHT = (
    3.0,
    0.5,
)  # of the masks' loss and the labels' loss; labels alone would push all cells down first
FAULT_CELL_WEIGHT_MAX = 50.0  # fault cells are few and weigh more, but not without limit
OFTENER_MAX = 4.0  # a picture of a rare fault is shown at most this much oftener
GRAFTED = 0.5  # share of normal pictures that bear a fault of another picture
GRAFT_MOST = 0.15  # faults over more of a picture stay where they are
CONTRAST_MAX = 6.0  # a glint is no more than this many times the picture's usual contrast


def _layer(
    before: int, after: int, size: int = 3, *, stride: int = 1, spread: int = 1, rim: int | None = None
) -> nn.Module:
    rim = size // 2 * spread if rim is None else rim
    convolution = nn.Conv2d(before, after, size, stride, rim, dilation=spread, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after), nn.ReLU())


class PixelNet(nn.Module):
    """Frame [B, H, W, 3] in 0..255 -> evidence [B, K]; a frame's remainder beyond a multiple of 16 px is left out.

    Its input is grey levels (or colours) against the picture's own mean and spread, and against their near surroundings, so that exposure cancels.
    """

    def __init__(self, faults: int, *, cells: int, grey: bool) -> None:
        super().__init__()
        self.grey = grey
        first, second, third, fourth = WIDTHS
        self.fine = nn.Sequential(
            _layer(2 if grey else 6, first, 6, stride=4, rim=1),
            _layer(first, second),
            _layer(second, third, stride=2),
            _layer(third, third),
        )
        self.wide = nn.Sequential(
            _layer(third, fourth, stride=2), _layer(fourth, fourth), _layer(fourth, fourth, spread=2)
        )
        self.mix = _layer(third + 2 * fourth, third, 1)
        self.dropout = nn.Dropout(DROPOUT)
        self.last = nn.Conv2d(third, faults, 1)
        # Most cells are in order, and most pictures too: -4 + log(cells) + bias = -2.
        self.last.bias = nn.Parameter(torch.full((faults,), -4.0))
        self.scale = nn.Parameter(torch.ones(faults))
        self.bias = nn.Parameter(torch.full((faults,), -math.log(cells) + 2.0))

    def cells(self, frame: Tensor) -> Tensor:
        """Evidence of each cell [B, K, H / 8, W / 8]."""
        rows, columns = frame.shape[1] // 16 * 16, frame.shape[2] // 16 * 16
        pixels = frame[:, :rows, :columns].to(torch.float32).permute(0, 3, 1, 2) / 255
        pixels = pixels.mean(dim=1, keepdim=True) if self.grey else pixels
        fine = self.fine(torch.cat([_standing_out(pixels), _standing_out_locally(pixels)], dim=1))
        wide = self.wide(fine)
        whole = wide.mean(dim=(2, 3), keepdim=True).expand(-1, -1, *fine.shape[2:])
        wide = nn.functional.interpolate(wide, scale_factor=2.0, mode="nearest")
        judged: Tensor = self.last(self.dropout(self.mix(torch.cat([fine, wide, whole], dim=1))))
        return judged.float()

    def combine(self, judged: Tensor) -> Tensor:
        """Soft maximum over cells."""
        return torch.logsumexp(judged.flatten(2), dim=2) * self.scale + self.bias

    def forward(self, frame: Tensor) -> Tensor:
        """See the class."""
        return self.combine(self.cells(frame))


def _standing_out(pixels: Tensor) -> Tensor:
    centred = pixels - pixels.mean(dim=(2, 3), keepdim=True)
    return centred / ((centred * centred).mean(dim=(2, 3), keepdim=True).sqrt() + 0.02)


def _standing_out_locally(pixels: Tensor) -> Tensor:
    around = nn.functional.interpolate(nn.functional.avg_pool2d(pixels, 8), scale_factor=8.0, mode="bilinear")
    contrast = pixels - around
    usual = (contrast * contrast).mean(dim=(2, 3), keepdim=True).sqrt() + 0.004
    return (contrast / usual).clamp(-CONTRAST_MAX, CONTRAST_MAX)


@dataclass(frozen=True)
class Pictures:
    """What one is fitted on: frames uint8 [N, H, W, 3], labels float [N, K], masks uint8 [N, H, W] (255: fault) or None."""

    frames: Tensor
    labels: Tensor
    masks: Tensor | None

    @cached_property
    def donors(self) -> Tensor:
        """Rows whose fault is small enough to be laid on another part."""
        if self.masks is None:
            return torch.zeros(0, dtype=torch.int64)
        covered = torch.cat([(part > 127).flatten(1).float().mean(1) for part in torch.split(self.masks, 64)])
        return torch.nonzero((covered > 0) & (covered < GRAFT_MOST))[:, 0]

    def cell_weights(self) -> Tensor:
        """How much more a fault cell weighs than one in order, per fault [K]: the root of its rarity."""
        if self.masks is None:
            return torch.ones(self.labels.shape[1])
        covered = torch.cat([_covered(part).float().flatten(1).mean(1) for part in torch.split(self.masks, 64)])
        share = (covered[:, None] * self.labels).mean(0)
        return (1 / share.clamp(min=1e-6)).sqrt().clamp(max=FAULT_CELL_WEIGHT_MAX)


def _covered(masks: Tensor) -> Tensor:
    """Which cells a mask uint8 or float [B, H, W] covers: bool [B, H / 8, W / 8]."""
    return nn.functional.avg_pool2d((masks[:, None] > 127).float(), CELL)[:, 0] > COVERED


def fit(
    frames: NDArray[np.uint8],
    labels: NDArray[np.bool_],
    masks: NDArray[np.uint8] | None,
    *,
    passes: int,
    seed: int,
    half: bool,
    log: Callable[[str], None],
) -> PixelNet:
    """Fit one network.

    Args:
        frames: uint8 [n, H, W, 3].
        labels: bool [n, K].
        masks: uint8 [n, H, W], 255 where the fault is, or None; a faulty picture with an empty mask teaches by its label alone.
        passes: over the pictures.
        seed: of the start, the order and the variants.
        half: products in bfloat16, several times faster on processors with AMX.
        log: takes a line of progress now and then.
    """
    torch.manual_seed(seed)
    pictures = Pictures(
        torch.from_numpy(frames),
        torch.from_numpy(labels.astype(np.float32)),
        None if masks is None else torch.from_numpy(masks),
    )
    cells = (frames.shape[1] // CELL) * (frames.shape[2] // CELL)
    network = PixelNet(labels.shape[1], cells=cells, grey=bool((frames == frames[..., :1]).all()))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch leaves this overload out
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = math.ceil(len(frames) / BATCH) * passes
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    chance, weights = _chances(pictures.labels), pictures.cell_weights()
    network.train()
    for step in range(steps):
        rows = torch.multinomial(chance, min(BATCH, len(frames)), replacement=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = _loss(network, pictures, rows, weights)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        optimiser.step()
        schedule.step()
        if (step + 1) % max(1, steps // 5) == 0:
            log(f"seed {seed}, step {step + 1} of {steps}, loss {float(loss.detach()):.3f}")
    return network.eval().requires_grad_(requires_grad=False)


def _chances(labels: Tensor) -> Tensor:
    """How often each picture is drawn: pictures of rare faults oftener, by the root of their rarity."""
    rarity = (len(labels) / labels.sum(0).clamp(min=1)).sqrt() / 1.5
    return (labels * rarity).amax(1).clamp(1.0, OFTENER_MAX)


def _loss(network: PixelNet, pictures: Pictures, rows: Tensor, weights: Tensor) -> Tensor:
    chosen, labels, masks = _grafted(pictures, rows)
    marked = torch.ones(len(rows)) if masks is None else ((masks.flatten(1) > 127).any(1) | ~labels.any(1)).float()
    frames, moved = varied(chosen, masks)
    judged = network.cells(frames)
    each = nn.functional.binary_cross_entropy_with_logits(network.combine(judged), labels, reduction="none")
    loss = each.mean(0).sum()
    if moved is None:
        return loss
    loss = loss * LABEL_WEIGHT
    rows16, columns16 = judged.shape[2] * CELL, judged.shape[3] * CELL
    share = nn.functional.avg_pool2d((moved[:, None, :rows16, :columns16] > 127).float(), CELL)
    wanted = (share > COVERED).float() * labels[:, :, None, None]
    clear = ((share > COVERED) | (share == 0)).float() * marked[:, None, None, None]  # a cell at the rim is no evidence
    found = nn.functional.binary_cross_entropy_with_logits(judged, wanted, reduction="none")
    found = found * clear * (1 + weights[:, None, None] * wanted)
    return loss + CELL_WEIGHT * found.mean(dim=(0, 2, 3)).sum()


def _grafted(pictures: Pictures, rows: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """The pictures of some rows with labels and masks; half of the normal ones bear a fault cut out of another picture, so few faults are seen on many parts."""
    frames, labels = pictures.frames[rows], pictures.labels[rows]
    if pictures.masks is None:
        return frames, labels, None
    masks = pictures.masks[rows].clone()
    frames, labels = frames.clone(), labels.clone()
    normal = torch.nonzero(~labels.any(1) & (torch.rand(len(rows)) < GRAFTED))[:, 0]
    for row in normal if len(pictures.donors) else ():
        donor = pictures.donors[torch.randint(len(pictures.donors), ())]
        axes = [axis for axis in (0, 1) if torch.rand(()) < 0.5]
        mask = pictures.masks[donor].flip(axes)
        grafted = _graft(frames[row].float(), pictures.frames[donor].flip(axes).float(), mask)
        if grafted is not None:
            frames[row], masks[row], labels[row] = grafted, mask, pictures.labels[donor]
    return frames, labels, masks


def _graft(ground: Tensor, source: Tensor, mask: Tensor) -> Tensor | None:
    """What lies under the mask, laid on other ground [H, W, 3] in that ground's light, with soft rims; None where it has no surroundings."""
    wide = nn.functional.max_pool2d((mask > 127).float()[None, None], 7, 1, 3)
    soft = nn.functional.avg_pool2d(wide, 7, 1, 3)[0, 0]
    rim = (soft > 0.02) & (soft < 0.6) & (mask <= 127)
    if int(rim.sum()) < 8:
        return None
    here, there = ground[rim], source[rim]
    gain = ((here.std() + 4) / (there.std() + 4)).clamp(0.5, 2)
    laid = (source - there.mean(0)) * gain + here.mean(0)
    share = soft[..., None]
    return (ground * (1 - share) + laid * share).clamp(0, 255).to(torch.uint8)


def varied(frames: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Other views of the same parts: mirrored, a little turned, stretched and shifted, in other light and noise; masks move along.

    Args:
        frames: uint8 [B, H, W, 3].
        masks: uint8 [B, H, W] or None.
    """
    count, height, width = frames.shape[:3]
    mirror = torch.where(torch.rand(count, 2) < 0.5, -1.0, 1.0)
    stretch = torch.exp(0.12 * torch.randn(count, 2)) * mirror
    angle = torch.deg2rad(3.0 * torch.randn(count))
    cosine, sine, shift = angle.cos(), angle.sin(), 0.06 * torch.randn(count, 2)
    first = torch.stack([stretch[:, 0] * cosine, -stretch[:, 0] * sine, shift[:, 0]], dim=1)
    second = torch.stack([stretch[:, 1] * sine, stretch[:, 1] * cosine, shift[:, 1]], dim=1)
    places = nn.functional.affine_grid(torch.stack([first, second], 1), [count, 1, height, width], align_corners=False)

    def moved(layers: Tensor, beyond: str) -> Tensor:
        return nn.functional.grid_sample(layers, places, padding_mode=beyond, align_corners=False)

    gamma, gain = (torch.exp(spread * torch.randn(count, 1, 1, 1)) for spread in (0.25, 0.1))
    light = moved(frames.permute(0, 3, 1, 2).float() / 255, "reflection").clamp(1e-3, 1) ** gamma * gain
    noise = torch.randn(count, 1, height, width) * (3 / 255) * torch.rand(count, 1, 1, 1)
    seen = ((light + noise).clamp(0, 1) * 255).permute(0, 2, 3, 1)
    return seen, None if masks is None else moved(masks[:, None].float(), "zeros")[:, 0]
