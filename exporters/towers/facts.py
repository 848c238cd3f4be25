"""A tower's facts from its configuration and tensor shapes alone, without torch, for `plan`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edge.errors import ExportError

Shapes = Mapping[str, tuple[int, ...]]
Kind = Literal["efficientnet", "transformer", "convnext"]
STRIDES = (
    1,
    2,
    2,
    2,
    1,
    2,
    1,
)  # of an EfficientNet: of the first block of each of the seven stages, in every published size
ARCHITECTURE = re.compile(
    r"(tf_)?efficientnet_(lite[0-4]|b[0-8])(\.\w+)?"
)  # timm's; what follows the dot names the training
MODEL_TYPES: Mapping[str, Kind] = {
    "dinov2": "transformer",
    "dinov2_with_registers": "transformer",
    "siglip_vision_model": "transformer",
    "siglip2_vision_model": "transformer",
    "convnext": "convnext",
    "convnextv2": "convnext",
}
_STAGED = re.compile(r"(?:encoder\.)?(?:blocks|stages)\.(\d+)\.(?:layers\.)?(\d+)\.")
_LAYER = re.compile(r"encoder\.layers?\.(\d+)\.")


@dataclass(frozen=True, slots=True)
class Variant:
    """What an EfficientNet's tensors leave open."""

    same_padding: bool  # as TensorFlow pads: the odd pixel goes to the right and bottom
    lite: bool  # ReLU6 and no squeeze-and-excite, instead of SiLU
    epsilon: float  # of the batch normalisation

    @classmethod
    def named(cls, architecture: str) -> Variant:
        """By timm's name of the architecture.

        Raises:
            ExportError: it is no EfficientNet of the published sizes.
        """
        found = ARCHITECTURE.fullmatch(architecture)
        if found is None:
            raise ExportError(
                f"architecture {architecture!r} is none of EfficientNet-B0 to B8 or Lite0 to Lite4 in timm's spelling "
                "(such as tf_efficientnet_lite0); take the config.json that was published with the weights."
            )
        tensorflow = found[1] is not None
        return cls(same_padding=tensorflow, lite=found[2].startswith("lite"), epsilon=1e-3 if tensorflow else 1e-5)


def kind_of(config: Mapping[str, Any]) -> Kind | None:
    """The kind of tower that a config.json describes; None for anything else."""
    if ARCHITECTURE.fullmatch(str(config.get("architecture", ""))):
        return "efficientnet"
    return MODEL_TYPES.get(str(config.get("model_type", "")))


def stages(shapes: Shapes, kind: Kind) -> tuple[int, ...]:
    """Number of blocks of each stage; a transformer is one stage.

    Raises:
        ExportError: there is none, so these are no tensors of a tower.
    """
    if kind == "transformer":
        last = max((int(hit[1]) for name in shapes if (hit := _LAYER.search(name))), default=-1)
        counts = [last + 1]
    else:
        places = [(int(hit[1]), int(hit[2])) for name in shapes if (hit := _STAGED.search(name))]
        counts = [
            1 + max((at for inside, at in places if inside == stage), default=-1)
            for stage in range(1 + max((stage for stage, _ in places), default=-1))
        ]
    if not counts or min(counts) < 1:
        raise ExportError(
            f"the weights hold no whole {kind} tower (blocks per stage: {counts}); get the checkpoint again."
        )
    return tuple(counts)


def usual_layers(counts: tuple[int, ...], kind: Kind) -> tuple[int, ...]:
    """The layers whose patch features serve best where nothing else was measured: parts and textures, not yet classes.

    Of a convolutional tower the ends of strides 8 and 16, of a transformer 7/12 and 9/12 of its depth.
    """
    if kind == "transformer":
        return tuple(sorted({max(1, round(counts[0] * share)) for share in (7 / 12, 9 / 12)}))
    fine, coarse = (3, 5) if kind == "efficientnet" else (2, 3)
    return (sum(counts[:fine]), sum(counts[:coarse]))


def multiplies(shapes: Shapes, kind: Kind, rows: int, columns: int) -> float:
    """Multiplications for one picture of rows x columns px, through all layers."""
    if kind == "transformer":
        return _of_transformer(shapes, rows, columns)
    return sum(
        math.prod(shapes[name]) * math.ceil(rows / stride) * math.ceil(columns / stride)
        for name, stride in _placed(shapes, kind)
    )


def _of_transformer(shapes: Shapes, rows: int, columns: int) -> float:
    embed = next(shape for name, shape in shapes.items() if re.search(r"patch_embedding.*weight$", name))
    patch = embed[2] if len(embed) == 4 else math.isqrt(embed[1] // 3)
    tokens, width = (rows // patch) * (columns // patch) + 1, embed[0]
    inside = [shape for name, shape in shapes.items() if _LAYER.search(name) and len(shape) == 2]
    count = stages(shapes, "transformer")[0]
    return float(tokens * (math.prod(embed) + sum(map(math.prod, inside))) + count * 2 * tokens * tokens * width)


def _placed(shapes: Shapes, kind: Kind) -> Iterator[tuple[str, int]]:
    """Every weight of more than one dimension of a convolutional tower, and the stride of the grid that it makes."""
    first = 2 if kind == "efficientnet" else 4
    steps = STRIDES if kind == "efficientnet" else (1, 2, 2, 2)
    for name, shape in shapes.items():
        if len(shape) < 2 or name.startswith(("classifier", "head.")):
            continue
        if name.startswith("student."):
            yield name, 16
            continue
        hit = _STAGED.search(name)
        if hit is None:
            inside = re.search(r"stages\.(\d+)\.downsampling", name)
            stage = int(inside[1]) if inside else (len(steps) - 1 if "conv_head" in name else -1)
        else:
            stage = int(hit[1])
        before = first * math.prod(steps[: max(stage, 0)])
        after = first * math.prod(steps[: stage + 1])
        widening = kind == "efficientnet" and hit is not None and hit[2] == "0" and name.endswith("conv_pw.weight")
        narrow = hit is not None and f"blocks.{hit[1]}.{hit[2]}.conv_pwl.weight" not in shapes
        yield name, before if widening and not narrow else after
