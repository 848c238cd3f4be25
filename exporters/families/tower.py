"""The vision tower of a dual encoder as one fixed-shape torch module that takes raw uint8 frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exporters.model import PixelSpec


class Tower(nn.Module):
    """uint8 [B, H, W, 3] -> unit-length pooled embedding [B, D], then patch features [B, T, E] at each depth.

    The mean and standard deviation are folded into the patch embedding: conv(w, (x/255 - m)/s) = conv(w/(255 s), x) + (b - sum w m/s),
    which is exact because patches do not overlap and nothing is padded. It costs no operator and no copy of the picture.
    A frame of ``scale`` times the checkpoint's size is averaged down first.
    """

    def __init__(self, model: Any, spec: PixelSpec, patch: int, depths: Sequence[float], scale: int = 1) -> None:  # noqa: ANN401 - transformers' untyped model
        super().__init__()
        self.scale = scale
        vision = model.vision_model
        self.layers = vision.encoder.layers
        self.wanted = tuple(layer_index(depth, len(self.layers)) for depth in depths)
        self.patch_embedding = _folded(vision.embeddings.patch_embedding, spec, patch)
        self.class_token = getattr(vision.embeddings, "class_embedding", None)
        self.pre_norm = getattr(vision, "pre_layrnorm", None)  # transformers' own spelling
        self.post_norm = vision.post_layernorm
        pool = getattr(vision, "head", None)
        self.pool = None if pool is None else ProbePool(pool)
        self.projection = getattr(model, "visual_projection", None)
        self.positions = nn.Buffer(_positions(vision.embeddings, spec, patch))

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        pixels = frame.permute(0, 3, 1, 2).to(torch.float32)
        pixels = nn.functional.avg_pool2d(pixels, self.scale) if self.scale > 1 else pixels
        state = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            state = torch.cat([self.class_token.expand(frame.shape[0], 1, -1), state], dim=1)
        state = state + self.positions
        if self.pre_norm is not None:
            state = self.pre_norm(state)
        skip = 0 if self.class_token is None else 1
        states = [state]
        for layer in self.layers:
            state = layer(state, None)
            states.append(state)
        pooled = nn.functional.normalize(self._pooled(state), dim=-1)
        return (pooled, *(states[index][:, skip:] for index in self.wanted))

    def _pooled(self, state: Tensor) -> Tensor:
        if self.pool is not None:
            pooled: Tensor = self.pool(self.post_norm(state))
            return pooled
        pooled = self.post_norm(state[:, 0])
        return pooled if self.projection is None else self.projection(pooled)


class ProbePool(nn.Module):
    """SigLIP's attention pooling, with its one constant query multiplied into the key and value weights.

    With a constant query q, head h scores token x by q_h . (K_h x) = (K_h' q_h) . x - one vector per head instead of a matrix - and the
    weighted sum may be taken before the value matrix instead of after it. Exact, and per frame 2 T D D products become 2 T D heads.
    The keys' bias adds the same to every token of a head, which softmax ignores.
    """

    def __init__(self, pool: Any) -> None:  # noqa: ANN401 - transformers' untyped module
        super().__init__()
        attention = pool.attention
        width, self.heads = attention.embed_dim, attention.num_heads
        query_w, key_w, value_w = attention.in_proj_weight.detach().double().split(width)
        query_b, _, value_b = attention.in_proj_bias.detach().double().split(width)
        query = (pool.probe.detach().double()[0, 0] @ query_w.T + query_b).reshape(self.heads, -1)
        keys = torch.einsum("hd,hde->eh", query, key_w.reshape(self.heads, -1, width)) / math.sqrt(query.shape[1])
        self.keys = nn.Buffer(keys.float())  # [E, heads]
        self.values = nn.Buffer(value_w.reshape(self.heads, -1, width).transpose(1, 2).float())  # [heads, E, E / heads]
        self.value_bias = nn.Buffer(value_b.float())
        self.out = attention.out_proj
        self.norm = pool.layernorm
        self.mlp = pool.mlp

    def forward(self, state: Tensor) -> Tensor:
        """Tokens [B, T, E] -> pooled [B, E]."""
        weights = (state @ self.keys).transpose(1, 2).softmax(dim=-1)  # [B, heads, T]
        seen = weights @ state  # [B, heads, E]
        values = (seen[:, :, None] @ self.values).flatten(1) + self.value_bias
        mixed: Tensor = self.out(values)
        pooled: Tensor = mixed + self.mlp(self.norm(mixed))
        return pooled


class WordsHead(nn.Module):
    """Evidence of every fault by one product with the compiled text constants [D, K]."""

    def __init__(self, contrast: NDArray[np.float32]) -> None:
        super().__init__()
        self.contrast = nn.Buffer(torch.from_numpy(contrast.copy()))

    def forward(self, pooled: Tensor) -> Tensor:
        """Pooled [B, D] -> evidence [B, K]."""
        return pooled @ self.contrast


class FrameToEvidence(nn.Module):
    """Tower, then head: uint8 [B, H, W, 3] -> evidence [B, K]. A head with ``sees_frame`` gets the frame too."""

    def __init__(self, tower: Tower, head: nn.Module) -> None:
        super().__init__()
        self.tower = tower
        self.head = head

    def forward(self, frame: Tensor) -> Tensor:
        """See the class."""
        extra = (frame,) if getattr(self.head, "sees_frame", False) else ()
        evidence: Tensor = self.head(*self.tower(frame), *extra)
        return evidence


def layer_index(depth: float, layers: int) -> int:
    """Which hidden state belongs to a depth: 0 is the patch embedding, 1 the last layer's output."""
    return round(depth * layers)


def _folded(embedding: nn.Linear | nn.Conv2d, spec: PixelSpec, patch: int) -> nn.Conv2d:
    """The patch embedding as a convolution over raw 0..255 pixels."""
    weight: Tensor = embedding.weight.detach()
    if weight.ndim == 2:  # NaFlex: a linear layer over flattened (row, column, channel) patches
        weight = weight.reshape(-1, patch, patch, 3).permute(0, 3, 1, 2)
    bias = embedding.bias if embedding.bias is not None else torch.zeros(len(weight))
    mean, std = (torch.tensor(values, dtype=torch.float64)[None, :, None, None] for values in (spec.mean, spec.std))
    scaled = weight.double() / std
    folded = nn.Conv2d(3, len(weight), kernel_size=patch, stride=patch)
    folded.weight = nn.Parameter((scaled / 255).float(), requires_grad=False)
    shift = (scaled * mean).sum(dim=(1, 2, 3))
    folded.bias = nn.Parameter((bias.detach().double() - shift).float(), requires_grad=False)
    return folded


def _positions(embeddings: Any, spec: PixelSpec, patch: int) -> Tensor:  # noqa: ANN401 - transformers' untyped module
    """Position embeddings [1, T, E] for the fixed grid; NaFlex's are resized here once instead of in every frame."""
    weight: Tensor = embeddings.position_embedding.weight.detach()
    rows, columns = spec.height // patch, spec.width // patch
    if hasattr(embeddings, "resize_positional_embeddings"):
        side = embeddings.position_embedding_size
        grid = weight.reshape(side, side, -1)
        shape = torch.tensor([[rows, columns]])
        resized: Tensor = embeddings.resize_positional_embeddings(grid, shape, max_length=rows * columns)
        return resized
    return weight[None].clone()
