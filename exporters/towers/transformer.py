"""Vision transformers of the public layouts - DINOv2, with registers or without, SigLIP and SigLIP 2 - at one fixed size.

The layers are transformers' own; position embeddings are interpolated once, here, for the grid that will run.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from exporters.towers.backbone import Backbone


class Transformer(Backbone):
    """Patches and leading tokens (class, registers) through all layers; the map after a layer is of the patches alone.

    Args:
        model: transformers' vision model.
        height: of the frame, px; a multiple of the patch.
        width: likewise.
    """

    def __init__(self, model: Any, height: int, width: int) -> None:  # noqa: ANN401 - transformers' untyped model
        super().__init__()
        embeddings, encoder = model.embeddings, model.encoder
        self.patch = int(model.config.patch_size)
        self.rows, self.columns = height // self.patch, width // self.patch
        found = getattr(embeddings, "patch_embeddings", None)
        self.embed = _convolution(embeddings.patch_embedding if found is None else found.projection, self.patch)
        leading, positions = _places(embeddings, self.rows, self.columns)
        self.leading, self.positions = nn.Buffer(leading), nn.Buffer(positions)
        self.blocks: nn.ModuleList = encoder.layer if hasattr(encoder, "layer") else encoder.layers
        self.norm: nn.Module = model.layernorm if hasattr(model, "layernorm") else model.post_layernorm
        self.head: nn.Module | None = getattr(
            model, "head", None
        )  # SigLIP's attention pool; DINOv2 gives its class token

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def widths(self) -> tuple[int, ...]:
        """See the base class."""
        return (int(self.positions.shape[2]),) * (1 + self.layers)

    def states(self, pixels: Tensor, deepest: int) -> list[Tensor]:
        """Tokens [B, T, E] after each layer, the leading ones first."""
        patches = self.embed(pixels).flatten(2).transpose(1, 2) + self.positions
        states = [torch.cat([self.leading.expand(len(patches), -1, -1), patches], dim=1)]
        for block in self.blocks[:deepest]:
            states.append(block(states[-1], None))
        return states

    def grid(self, state: Tensor) -> Tensor:
        """See the base class."""
        patches = state[:, self.leading.shape[1] :].transpose(1, 2)
        return patches.reshape(len(state), -1, self.rows, self.columns)

    def pooled(self, last: Tensor) -> Tensor:
        """See the base class."""
        found: Tensor = self.norm(last)[:, 0] if self.head is None else self.head(self.norm(last))
        return found


def _convolution(embedding: nn.Conv2d | nn.Linear, patch: int) -> nn.Conv2d:
    """The patch embedding as a convolution; SigLIP 2 in NaFlex form has a linear layer over (row, column, channel)."""
    if isinstance(embedding, nn.Conv2d):
        return embedding
    weight = embedding.weight.detach().reshape(-1, patch, patch, 3).permute(0, 3, 1, 2).contiguous()
    found = nn.Conv2d(3, len(weight), kernel_size=patch, stride=patch)
    found.weight = nn.Parameter(weight, requires_grad=False)
    found.bias = nn.Parameter(embedding.bias.detach(), requires_grad=False)
    return found


def _places(embeddings: Any, rows: int, columns: int) -> tuple[Tensor, Tensor]:  # noqa: ANN401 - likewise
    """Leading tokens [1, L, E] with their positions, and the patches' positions [1, T, E] for the grid."""
    if hasattr(embeddings, "position_embedding"):
        weight: Tensor = embeddings.position_embedding.weight.detach()
        side = round(len(weight) ** 0.5)
        mode, antialias = (
            ("bilinear", True) if hasattr(embeddings, "resize_positional_embeddings") else ("bicubic", False)
        )
        grid = weight.reshape(1, side, side, -1)
        return weight.new_zeros(1, 0, weight.shape[1]), _resized(grid, rows, columns, mode=mode, antialias=antialias)
    whole: Tensor = embeddings.position_embeddings.detach()
    side = round((whole.shape[1] - 1) ** 0.5)
    grid = whole[:, 1:].reshape(1, side, side, -1)
    registers = getattr(embeddings, "register_tokens", None)
    antialias = registers is not None  # only the later checkpoints were trained with it
    leading = [embeddings.cls_token.detach() + whole[:, :1], *([] if registers is None else [registers.detach()])]
    return torch.cat(leading, dim=1), _resized(grid, rows, columns, mode="bicubic", antialias=antialias)


def _resized(grid: Tensor, rows: int, columns: int, *, mode: str, antialias: bool) -> Tensor:
    """Positions [1, side, side, E] for another grid [1, rows * columns, E]."""
    moved = grid.permute(0, 3, 1, 2).float()
    if tuple(moved.shape[2:]) != (rows, columns):
        moved = nn.functional.interpolate(
            moved, size=(rows, columns), mode=mode, align_corners=False, antialias=antialias
        )
    return moved.flatten(2).transpose(1, 2).contiguous()
