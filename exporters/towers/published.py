"""The published forward pass of each architecture, as a check of our own graph.

Nothing is folded, cut or interpolated ahead here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from exporters.towers.facts import STRIDES, Variant


def efficientnet(tensors: Mapping[str, Tensor], variant: Variant, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
    """EfficientNet as its paper writes it: convolution, batch normalisation, activation.

    Args:
        tensors: under timm's names.
        variant: what the shapes leave open.
        pixels: normalised [B, 3, H, W].

    Returns:
        Pooled [B, D] (of a tower that is cut, the mean of its last map), and the maps [B, C, h, w] after the stem and after each block.
    """
    whole = {name: tensor.float() for name, tensor in tensors.items()}

    def step(state: Tensor, name: str, norm: str, stride: int = 1, *, act: bool = True) -> Tensor:
        weight = whole[f"{name}.weight"]
        size, groups = int(weight.shape[2]), len(weight) if weight.shape[1] == 1 else 1
        rims = [
            _rim(int(length), size, stride, same=variant.same_padding) for length in (state.shape[3], state.shape[2])
        ]
        padded = nn.functional.pad(state, (*rims[0], *rims[1]))
        found = nn.functional.conv2d(padded, weight, None, stride, groups=groups)
        mean, variance = whole[f"{norm}.running_mean"], whole[f"{norm}.running_var"]
        scale, shift = whole[f"{norm}.weight"], whole[f"{norm}.bias"]
        found = nn.functional.batch_norm(found, mean, variance, scale, shift, training=False, eps=variant.epsilon)
        return (nn.functional.relu6(found) if variant.lite else nn.functional.silu(found)) if act else found

    def excite(state: Tensor, name: str) -> Tensor:
        seen = state.mean(dim=(2, 3), keepdim=True)
        seen = nn.functional.conv2d(seen, whole[f"{name}.conv_reduce.weight"], whole[f"{name}.conv_reduce.bias"])
        seen = nn.functional.silu(seen)
        seen = nn.functional.conv2d(seen, whole[f"{name}.conv_expand.weight"], whole[f"{name}.conv_expand.bias"])
        return state * torch.sigmoid(seen)

    maps = [step(pixels, "conv_stem", "bn1", 2)]
    for stage, first in enumerate(STRIDES):
        place = 0
        while f"blocks.{stage}.{place}.conv_dw.weight" in whole:
            name, stride, state = f"blocks.{stage}.{place}", first if place == 0 else 1, maps[-1]
            widens = f"{name}.conv_pwl.weight" in whole
            state = step(state, f"{name}.conv_pw", f"{name}.bn1") if widens else state
            state = step(state, f"{name}.conv_dw", f"{name}.bn{2 if widens else 1}", stride)
            state = excite(state, f"{name}.se") if f"{name}.se.conv_reduce.weight" in whole else state
            last = ("conv_pwl", "bn3") if widens else ("conv_pw", "bn2")
            state = step(state, f"{name}.{last[0]}", f"{name}.{last[1]}", act=False)
            maps.append(state + maps[-1] if stride == 1 and state.shape == maps[-1].shape else state)
            place += 1
    seen = step(maps[-1], "conv_head", "bn2") if "conv_head.weight" in whole else maps[-1]
    return seen.mean(dim=(2, 3)), maps


def transformers_model(model: Any, layers: nn.ModuleList, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:  # noqa: ANN401 - transformers' untyped model
    """A whole forward pass of transformers' own model.

    Args:
        model: of a vision tower, that takes pictures.
        layers: its layers, in order, whose outputs are wanted.
        pixels: normalised [B, 3, H, W].

    Returns:
        Pooled [B, D], and what the layers gave: tokens [B, T, E] or maps [B, C, h, w]. The first is what the first layer was given.
    """
    outputs: list[Tensor] = []
    hooks = [layers[0].register_forward_pre_hook(lambda _, given: outputs.append(given[0]))]
    hooks += [layer.register_forward_hook(lambda _, _given, found: outputs.append(_tensor(found))) for layer in layers]
    try:
        pooled = model(**_given(model, pixels)).pooler_output
    finally:
        for hook in hooks:
            hook.remove()
    return pooled, outputs


def _given(model: Any, pixels: Tensor) -> dict[str, Any]:  # noqa: ANN401 - likewise
    """The keyword arguments of its forward pass; SigLIP 2 in NaFlex form takes flattened patches, a mask and the grid."""
    if model.config.model_type == "siglip_vision_model":
        return {"pixel_values": pixels, "interpolate_pos_encoding": True}
    if model.config.model_type != "siglip2_vision_model":
        return {"pixel_values": pixels}
    side = int(model.config.patch_size)
    count, _, height, width = pixels.shape
    rows, columns = height // side, width // side
    patches = pixels.reshape(count, 3, rows, side, columns, side).permute(0, 2, 4, 3, 5, 1)
    return {
        "pixel_values": patches.reshape(count, rows * columns, -1),
        "pixel_attention_mask": torch.ones(count, rows * columns, dtype=torch.int64),
        "spatial_shapes": torch.tensor([[rows, columns]] * count),
    }


def _tensor(found: Tensor | tuple[Tensor, ...]) -> Tensor:
    return found if isinstance(found, Tensor) else found[0]


def _rim(length: int, size: int, stride: int, *, same: bool) -> tuple[int, int]:
    if not same:
        return size // 2, size // 2
    total = max((math.ceil(length / stride) - 1) * stride + size - length, 0)
    return total // 2, total - total // 2
