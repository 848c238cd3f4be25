"""Gated delta layers (Qwen3.5) in ONNX operators: the chunked rule with its triangular system inverted block by block.

The library solves a unit triangular system for every chunk, which ONNX lacks, or walks row by row, which does not trace in reasonable time.
Here the inverse is built from blocks of 1, 2, 4 ... rows: with T the inverse of the diagonal blocks and L the part of the system that joins
two neighbours, the inverse of the joined blocks is T - T L T. That is forward substitution, so it is as stable; a power series is not
(for like keys its terms grow as binomials and cancel).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from exporters.onepass.module import Recording, Shared

CHUNK = 64  # most rows of one triangular system


class GatedDelta(nn.Module):
    """One decoder layer of the recurrent kind, its own submodules called for a sequence behind a recorded prefix or behind nothing."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401 - transformers' untyped module
        super().__init__()
        self.before, self.mixer, self.between, self.mlp = (
            layer.input_layernorm,
            layer.linear_attn,
            layer.post_attention_layernorm,
            layer.mlp,
        )

    def forward(self, hidden: Tensor, *, past_key_values: Recording | Shared, **_: object) -> Tensor:
        """[B, N, D] -> [B, N, D]; masks and angles are not looked at."""
        hidden = hidden + self._mix(self.before(hidden), past_key_values)
        return cast("Tensor", hidden + self.mlp(self.between(hidden)))

    def _mix(self, hidden: Tensor, past: Recording | Shared) -> Tensor:
        mixer = self.mixer
        batch, length, _ = hidden.shape
        columns = past.behind(mixer.in_proj_qkv(hidden).transpose(1, 2), mixer.layer_idx, mixer.conv_kernel_size - 1)
        mixed = nn.functional.conv1d(columns, mixer.conv1d.weight, mixer.conv1d.bias, groups=columns.shape[1])
        mixed = nn.functional.silu(mixed).transpose(1, 2)
        query, key, value = torch.split(mixed, [mixer.key_dim, mixer.key_dim, mixer.value_dim], dim=-1)
        query, key = (x.reshape(batch, length, -1, mixer.head_k_dim) for x in (query, key))
        value = value.reshape(batch, length, -1, mixer.head_v_dim)
        repeat = mixer.num_v_heads // mixer.num_k_heads
        query, key = (x.repeat_interleave(repeat, dim=2) if repeat > 1 else x for x in (query, key))
        strength = mixer.in_proj_b(hidden).sigmoid()
        decay = -mixer.A_log.exp() * nn.functional.softplus(mixer.in_proj_a(hidden) + mixer.dt_bias)
        out, state = delta_rule(query, key, value, decay=decay, strength=strength, state=past.state(mixer.layer_idx))
        past.keep_state(mixer.layer_idx, state)
        gate = mixer.in_proj_z(hidden).reshape(-1, mixer.head_v_dim)
        out = mixer.norm(out.reshape(-1, mixer.head_v_dim), gate)
        return cast("Tensor", mixer.out_proj(out.reshape(batch, length, -1)))


def delta_rule(
    query: Tensor, key: Tensor, value: Tensor, *, decay: Tensor, strength: Tensor, state: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The gated delta rule by chunks.

    Args:
        query: [B, N, H, K], not normalised.
        key: likewise.
        value: [B, N, H, V].
        decay: [B, N, H], logarithm of what is kept of the state at each step, at most 0.
        strength: [B, N, H], share of a key's old value that is overwritten.
        state: [B, H, K, V] before the first step, or None for zeros.

    Returns:
        [B, N, H, V] what the queries read, and the state after the last step.
    """
    length = query.shape[1]
    chunks = -(-length // CHUNK)
    size = -(-length // chunks)
    query, key, value = (_chunked(x, chunks, size) for x in (_unit(query) * query.shape[-1] ** -0.5, _unit(key), value))
    decay, strength = (_chunked(x.unsqueeze(-1), chunks, size) for x in (decay, strength))
    kept = decay.cumsum(dim=-2)  # [B, H, chunks, size, 1], logarithm of what is kept since the chunk's beginning
    ahead = torch.ones(size, size, dtype=torch.bool).triu(1)
    between = (kept - kept.transpose(-1, -2)).masked_fill(ahead, -1e9).exp()  # [..., i, j]: kept from step j to step i
    weighted = key * strength
    inverse = unit_triangular_inverse((weighted @ key.transpose(-1, -2)) * between)
    written = inverse @ (value * strength)
    read = inverse @ (weighted * kept.exp())
    within = (query @ key.transpose(-1, -2)) * between
    asked = query * kept.exp()
    last = kept[..., -1:, :]
    added = (key * (last - kept).exp()).transpose(-1, -2)
    found = []
    for chunk in range(chunks):
        fresh = written[:, :, chunk]
        if state is not None:
            fresh = fresh - read[:, :, chunk] @ state
        out = within[:, :, chunk] @ fresh
        found.append(out if state is None else out + asked[:, :, chunk] @ state)
        update = added[:, :, chunk] @ fresh
        state = update if state is None else state * last[:, :, chunk].exp() + update
    whole = torch.stack(found, dim=2).flatten(2, 3)[:, :, :length]
    return whole.transpose(1, 2), cast("Tensor", state)


def unit_triangular_inverse(system: Tensor) -> Tensor:
    """Inverse of I + the strictly lower part of `system` [..., n, n]; the diagonal and what is above it are ignored."""
    size = system.shape[-1]
    place = torch.arange(size)
    inverse = torch.eye(size)
    block = 1
    while block < size:
        same = (place[:, None] // (2 * block)) == (place[None, :] // (2 * block))
        joint = same & ((place[:, None] // block) > (place[None, :] // block))
        inverse = inverse - inverse @ (system * joint.to(system.dtype)) @ inverse
        block *= 2
    return inverse


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt((x * x).sum(dim=-1, keepdim=True) + 1e-6)


def _chunked(x: Tensor, chunks: int, size: int) -> Tensor:
    """[B, N, H, W] -> [B, H, chunks, size, W], filled up with zeros: no decay and nothing written."""
    x = x.transpose(1, 2)
    short = chunks * size - x.shape[2]
    if short:
        x = nn.functional.pad(x, (0, 0, 0, short))
    return x.reshape(x.shape[0], x.shape[1], chunks, size, x.shape[3])
