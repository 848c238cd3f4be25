"""The interface of every image tower: patch feature maps after any of its layers, and one pooled vector a picture.

A tower is a stem and a row of layers. Layer 0 is the stem's output and layer n that of the n-th block, so a depth means the same in a
convolutional tower and in a transformer. Maps of different grids are laid on the finest one that is read.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Backbone(nn.Module, abc.ABC):
    """One architecture with its weights: normalised pixels in, maps and a pooled vector out."""

    @property
    @abc.abstractmethod
    def layers(self) -> int:
        """Number of layers; those that may be read are 0 (the stem) to this."""

    @abc.abstractmethod
    def widths(self) -> tuple[int, ...]:
        """Channels of the map after each of the layers 0 to `layers`."""

    @abc.abstractmethod
    def states(self, pixels: Tensor, deepest: int) -> list[Tensor]:
        """The output of the layers 0 to ``deepest``, in the architecture's own form.

        Args:
            pixels: float32 [B, 3, H, W], normalised as the tower was trained.
            deepest: the last layer that anyone reads; what lies above it is not computed.
        """

    @abc.abstractmethod
    def pooled(self, last: Tensor) -> Tensor:
        """The picture's vector [B, D] from the last layer's output, as the tower was trained to give it."""

    def grid(self, state: Tensor) -> Tensor:
        """A layer's state as a map [B, C, h, w]."""
        return state

    def maps(self, pixels: Tensor, deepest: int) -> list[Tensor]:
        """Maps [B, C, h, w] after the layers 0 to ``deepest``; arguments as for `states`."""
        return [self.grid(state) for state in self.states(pixels, deepest)]


class FrameTower(nn.Module):
    """uint8 [B, H, W, 3] -> unit-length pooled [B, D], then patch features [B, T, E] of each wanted layer.

    Args:
        backbone: the tower.
        mean: per channel, of pixel values divided by 255.
        std: likewise.
        layers: the layers to read, 0 to ``depth``; none for the pooled vector alone.
        depth: the last layer that is computed; none: all of them, and the tower's own pooled vector.
            A tower that is cut pools by the mean over places.
        scale: the frame's size over the tower's; it is averaged down first.
        common_grid: whether all layers come on the grid of the finest that is read, or each on its own.
    """

    def __init__(
        self,
        backbone: Backbone,
        mean: Sequence[float],
        std: Sequence[float],
        layers: Sequence[int] = (),
        *,
        depth: int | None = None,
        scale: int = 1,
        common_grid: bool = True,
    ) -> None:
        super().__init__()
        self.backbone, self.scale = backbone, scale
        self.wanted = tuple(layers)
        self.depth, self.common_grid = depth, common_grid
        self.mean = nn.Buffer(torch.tensor(mean, dtype=torch.float32)[:, None, None] * 255)
        self.inverse_std = nn.Buffer(1 / (torch.tensor(std, dtype=torch.float32)[:, None, None] * 255))

    def see(self, frame: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Frames uint8 [B, H, W, 3] -> unit-length pooled [B, D], and the maps [B, C, h, w] of the wanted layers on their own grids."""
        pixels = frame.permute(0, 3, 1, 2).to(torch.float32)
        pixels = nn.functional.avg_pool2d(pixels, self.scale) if self.scale > 1 else pixels
        states = self.backbone.states(
            (pixels - self.mean) * self.inverse_std, self.backbone.layers if self.depth is None else self.depth
        )
        return self.read(states, self.backbone.pooled(states[-1]) if self.depth is None else None)

    def read(self, states: Sequence[Tensor], whole: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """What is taken from the states after all layers, and from the tower's own pooled vector [B, D] where it is not cut."""
        maps = [self.backbone.grid(states[layer]) for layer in self.wanted]
        whole = self.backbone.grid(states[-1]).mean(dim=(2, 3)) if whole is None else whole
        return nn.functional.normalize(whole, dim=-1), maps

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        pooled, maps = self.see(frame)
        return (pooled, *tokens(aligned(maps) if self.common_grid else maps))


def tokens(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps [B, C, h, w] as patch features [B, T, C], row by row."""
    return [part.flatten(2).transpose(1, 2) for part in maps]


def aligned(maps: Sequence[Tensor]) -> list[Tensor]:
    """The maps [B, C, h, w] on the grid of the finest of them; coarser ones are interpolated bilinearly."""
    if not maps:
        return []
    rows, columns = max((int(part.shape[2]), int(part.shape[3])) for part in maps)
    return [
        part
        if tuple(part.shape[2:]) == (rows, columns)
        else nn.functional.interpolate(part, size=(rows, columns), mode="bilinear", align_corners=False)
        for part in maps
    ]
