"""Vision towers and decoders of the generative families, their own submodules called for one picture of a fixed size.

Each family's published forward pass works for any number and size of pictures, which no exporter traces; with one fixed grid all that
arithmetic is a constant, and what is left is a straight line through the checkpoint's own layers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from exporters.families.base import PixelSpec
from exporters.onepass.graph import Decoder

if TYPE_CHECKING:
    from exporters.onepass.graph import Angles


class SmolVlmTower(nn.Module):
    """SigLIP patches with the position table read at this resolution, then the connector: [1, 3, H, W] -> [[n, D]]."""

    def __init__(self, vision: Any, connector: nn.Module, spec: PixelSpec) -> None:  # noqa: ANN401 - transformers' untyped model
        super().__init__()
        self.patches = vision.embeddings.patch_embedding
        self.table = vision.embeddings.position_embedding
        self.layers = vision.encoder.layers
        self.norm = vision.post_layernorm
        self.connector = connector
        patch = int(vision.embeddings.patch_size)
        per_side = int(vision.embeddings.num_patches_per_side)
        self.register_buffer("places", grid_places(per_side, spec.height // patch, spec.width // patch))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Image tokens of one picture."""
        hidden = self.patches(pixels).flatten(2).transpose(1, 2) + self.table(cast("Tensor", self.places))
        for layer in self.layers:
            hidden = layer(hidden, None)
        return [self.connector(self.norm(hidden))[0]]


def grid_places(per_side: int, rows: int, columns: int) -> Tensor:
    """[1, rows x columns] rows of the position table for a grid that may be coarser than the table's own.

    The family puts patch i of n at the table row that i/n falls into, in float32; the same arithmetic here, so that rounding agrees.
    """
    boundaries = torch.arange(1 / per_side, 1.0, 1 / per_side)

    def along(count: int) -> Tensor:
        fractions = torch.arange(count, dtype=torch.float32) * (1.0 / torch.tensor(count))
        return torch.bucketize(fractions.clamp(max=1.0 - 1e-6), boundaries, right=True)

    return (along(rows)[:, None] * per_side + along(columns)[None, :]).reshape(1, -1)


def plain_decoder(text: Any) -> Decoder:  # noqa: ANN401 - transformers' untyped model
    """A Llama-like decoder: every layer looks at everything before it, one set of angles."""

    def rope(positions: Tensor) -> Angles:
        return {"full": text.rotary_emb(torch.zeros(1, 1, 1), positions[0])}

    return Decoder(layers=tuple(text.layers), kinds=("full",) * len(text.layers), norm=text.norm, rope=rope)
