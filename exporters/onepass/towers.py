"""Vision towers and decoders of the generative families: their own submodules called for one picture of a fixed size.

Each family's published forward pass works for any number and size of pictures, which no exporter traces; with one fixed grid all that
arithmetic is a constant, and what is left is a straight line through the checkpoint's own layers.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from exporters.model import PixelSpec
from exporters.onepass.experts import with_mixture
from exporters.onepass.form import Angles, Decoder
from exporters.onepass.recurrent import GatedDelta


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
    """A Llama-like decoder: one set of angles; every layer looks at everything before it, or all through the same sliding window."""
    window = getattr(text.config, "sliding_window", None)
    kind = "full" if window is None else "sliding"

    def rope(positions: Tensor) -> Angles:
        return {kind: text.rotary_emb(torch.zeros(1, 1, 1), positions[0])}

    return Decoder(tuple(text.layers), (kind,) * len(text.layers), text.norm, rope, window)


def mixed_decoder(text: Any) -> Decoder:  # noqa: ANN401 - transformers' untyped model
    """Gemma 3: full and sliding layers take turns, each kind with its own angles."""
    names = {"full_attention": "full", "sliding_attention": "sliding"}
    types = tuple(text.config.layer_types)

    def rope(positions: Tensor) -> Angles:
        return {names[kind]: text.rotary_emb(torch.zeros(1, 1, 1), positions[0], kind) for kind in sorted(set(types))}

    return Decoder(
        tuple(text.layers), tuple(names[kind] for kind in types), text.norm, rope, text.config.sliding_window
    )


def axes_decoder(text: Any) -> Decoder:  # noqa: ANN401 - transformers' untyped model
    """Qwen3-VL: positions along time, height and width."""

    def rope(positions: Tensor) -> Angles:
        return {"full": text.rotary_emb(torch.zeros(1, 1, 1), positions)}

    return Decoder(tuple(text.layers), ("full",) * len(text.layers), text.norm, rope)


def recurrent_decoder(text: Any) -> Decoder:  # noqa: ANN401 - transformers' untyped model
    """Qwen3.5: gated delta layers with full attention in between, positions along time, height and width; experts where it has them."""
    types = tuple(text.config.layer_types)
    traced = [with_mixture(layer) if hasattr(layer.mlp, "experts") else layer for layer in text.layers]
    layers = tuple(
        GatedDelta(layer) if kind == "linear_attention" else layer for layer, kind in zip(traced, types, strict=True)
    )
    kinds = tuple("linear" if kind == "linear_attention" else "full" for kind in types)

    def rope(positions: Tensor) -> Angles:
        return {"full": text.rotary_emb(torch.zeros(1, 1, 1), positions)}

    return Decoder(layers, kinds, text.norm, rope)


class GemmaTower(nn.Module):
    """SigLIP at its own resolution, then Gemma's pooling projector: [1, 3, H, W] -> [[n, D]]."""

    def __init__(self, vision: Any, projector: nn.Module) -> None:  # noqa: ANN401 - transformers' untyped model
        super().__init__()
        self.patches = vision.embeddings.patch_embedding
        self.table = vision.embeddings.position_embedding
        self.layers = vision.encoder.layers
        self.norm = vision.post_layernorm
        self.projector = projector

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Image tokens of one picture."""
        hidden = self.patches(pixels).flatten(2).transpose(1, 2) + self.table.weight
        for layer in self.layers:
            hidden = layer(hidden, None)
        return [self.projector(self.norm(hidden))[0]]


class QwenTower(nn.Module):
    """Qwen's tower for one still picture: patches in merge order, axial rotary angles, deepstack mergers where the family has them."""

    def __init__(self, vision: Any, spec: PixelSpec) -> None:  # noqa: ANN401 - transformers' untyped model
        super().__init__()
        from transformers.vision_utils import (  # noqa: PLC0415 - heavy
            get_vision_interpolation_indices_and_weights,
            get_vision_position_ids,
        )

        self.projection = vision.patch_embed.proj
        self.table = vision.pos_embed
        self.blocks = vision.blocks
        self.merger = vision.merger
        self.deep = tuple(getattr(vision, "deepstack_visual_indexes", ()))
        self.deep_mergers = getattr(vision, "deepstack_merger_list", nn.ModuleList())
        self.patch, self.merge = int(vision.patch_size), int(vision.spatial_merge_size)
        grid = torch.tensor([[1, spec.height // self.patch, spec.width // self.patch]])
        taps, shares = get_vision_interpolation_indices_and_weights(
            grid,
            num_grid_per_side=vision.num_grid_per_side,
            mode=vision.interpolation_mode,
            align_corners=vision.interpolation_align_corners,
            spatial_merge_size=self.merge,
        )
        cosine, sine = vision.rotary_pos_emb(torch.zeros(1), get_vision_position_ids(grid, self.merge))
        self.register_buffer("taps", taps)
        self.register_buffer("shares", shares[:, :, None].clone())
        self.register_buffer("cosine", cosine[None].clone())
        self.register_buffer("sine", sine[None].clone())

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Image tokens, then deepstack features."""
        places = (self.table(cast("Tensor", self.taps)) * cast("Tensor", self.shares)).sum(1)
        hidden = self._patches(pixels) + places
        deep = []
        for index, block in enumerate(self.blocks):
            hidden = hidden + self._attend(block.attn, block.norm1(hidden))
            hidden = hidden + block.mlp(block.norm2(hidden))
            if index in self.deep:
                deep.append(self.deep_mergers[self.deep.index(index)](hidden))
        return [self.merger(hidden), *deep]

    def _patches(self, pixels: Tensor) -> Tensor:
        """[n, E] in the order of the merger: the patches of one image token are adjacent."""
        _, _, height, width = pixels.shape
        # A still picture is a clip of equal frames, so the kernel's frames can be summed beforehand.
        kernel = self.projection.weight.sum(dim=2)
        grid = nn.functional.conv2d(pixels, kernel, self.projection.bias, stride=self.patch)
        rows, columns = height // self.patch // self.merge, width // self.patch // self.merge
        blocks = grid.reshape(-1, rows, self.merge, columns, self.merge).permute(1, 3, 2, 4, 0)
        return blocks.reshape(rows * columns * self.merge * self.merge, -1)

    def _attend(self, attention: Any, hidden: Tensor) -> Tensor:  # noqa: ANN401 - transformers' untyped module
        """All patches of the one picture see each other. [n, E] -> [n, E]."""
        count, heads = hidden.shape[0], int(attention.num_heads)
        # With a batch axis of one, as every other attention has it: that is how `exporters.graph.fuse` knows one.
        parts = attention.qkv(hidden).reshape(1, count, 3, heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        query, key = (x * cast("Tensor", self.cosine) + _turn(x) * cast("Tensor", self.sine) for x in (query, key))
        weights = torch.softmax((query @ key.transpose(-1, -2)) * attention.scaling, dim=-1)
        return cast("Tensor", attention.proj((weights @ value).transpose(1, 2).reshape(1, count, -1))[0])


class PixtralTower(nn.Module):
    """Pixtral for one picture, then Mistral's patch merger and projector: [1, 3, H, W] -> [[n, D]]."""

    def __init__(self, vision: Any, projector: Any, layers: int, spec: PixelSpec) -> None:  # noqa: ANN401 - transformers' untyped model
        super().__init__()
        self.patches = vision.patch_conv
        self.norm = vision.ln_pre
        self.layers = vision.transformer.layers[:layers]
        self.projector = projector
        self.merge = int(projector.patch_merger.spatial_merge_size)
        self.rows, self.columns = spec.height // int(vision.patch_size), spec.width // int(vision.patch_size)
        places = torch.cartesian_prod(torch.arange(self.rows), torch.arange(self.columns))
        cosine, sine = vision.patch_positional_embedding(torch.zeros(1), places)
        self.register_buffer("cosine", cosine)
        self.register_buffer("sine", sine)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Image tokens of one picture."""
        hidden = self.norm(self.patches(pixels).flatten(2).transpose(1, 2))
        for layer in self.layers:
            hidden = layer(hidden, None, position_embeddings=(self.cosine, self.sine))
        hidden = self.projector.norm(hidden[0])
        rows, columns = self.rows // self.merge, self.columns // self.merge
        blocks = hidden.reshape(rows, self.merge, columns, self.merge, -1).permute(0, 2, 4, 1, 3)
        hidden = self.projector.patch_merger.merging_layer(blocks.reshape(rows * columns, -1))
        return [self.projector.linear_2(self.projector.act(self.projector.linear_1(hidden)))]


def _turn(x: Tensor) -> Tensor:
    """The second half negated before the first: the imaginary part of the rotation."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)
