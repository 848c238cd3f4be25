"""How large a one-pass graph will be and how much it computes, from the weight headers alone; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from exporters.families.base import Checkpoint, Geometry

if TYPE_CHECKING:
    from exporters.onepass.generative import Generative

FIXED_TOKENS = 24  # a chat template and the instruction, beside the image
QUESTION_TOKENS = 14  # a worded question that shares its beginning with others
TOWER_WORDS = ("vision", "visual", "connector", "projector")
OUTSIDE = ("embed_tokens", "lm_head", "position_embedding", "pos_embed")  # tables: a few rows of them become constants


def estimate(family: Generative, checkpoint: Checkpoint, faults: int) -> Geometry:
    """Weights of matrix products and all others in the graph, and the work of one frame."""
    tower, decoder = split_shapes(checkpoint.shapes)
    spec = family.pixels(checkpoint)
    rows, columns = family.grid(checkpoint)
    patches = (spec.height // family.patch_px(checkpoint)) * (spec.width // family.patch_px(checkpoint))
    tokens = rows * columns + FIXED_TOKENS + faults * (1 if family.questions == "one-token" else QUESTION_TOKENS)
    matmul = _products(tower) + _products(decoder)
    others = sum(map(math.prod, tower.values())) + sum(map(math.prod, decoder.values())) - matmul
    flop = 2.0 * patches * _products(tower) + 2.0 * tokens * _products(decoder)
    flop += _attention(checkpoint.config.get("vision_config", {}), patches)
    flop += _attention(checkpoint.config.get("text_config", checkpoint.config), tokens)
    return Geometry(matmul, others, flop)


def split_shapes(
    shapes: Mapping[str, tuple[int, ...]],
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Tensors of the tower and of the decoder, without the tables of which the graph keeps a few rows only."""
    kept = {name: shape for name, shape in shapes.items() if not any(word in name for word in OUTSIDE)}
    tower = {name: shape for name, shape in kept.items() if any(word in name for word in TOWER_WORDS)}
    return tower, {name: shape for name, shape in kept.items() if name not in tower}


def _products(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for shape in shapes.values() if len(shape) == 2)


def _attention(config: Mapping[str, Any], tokens: int) -> float:
    """Work of the products between tokens: 4 x tokens^2 x width a layer."""
    layers = int(config.get("num_hidden_layers", config.get("depth", 0)))
    heads = int(config.get("num_attention_heads", config.get("num_heads", 1)))
    width = heads * int(config.get("head_dim") or int(config.get("hidden_size", 0)) // heads)
    return 4.0 * tokens * tokens * width * layers


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """What a streamed export (`exporters.stream`) will write and need.

    Attributes:
        parameters: numbers in the graph.
        output_bytes: graph with its external data.
        peak_bytes: largest resident memory of the process that exports.
        runtime_bytes: what ONNX Runtime will at least hold to run it.
    """

    parameters: int
    output_bytes: int
    peak_bytes: int
    runtime_bytes: int


TOOLCHAIN_BYTES = 750 * 2**20  # torch, transformers, onnxscript and a traced graph of some thousand nodes; measured
QUANTIZE_COPIES = 4.0  # of the largest tensor in float32: as read, turned, divided, rounded


def plan_stream(shapes: Mapping[str, tuple[int, ...]], scheme: str, *, stored_bytes: int = 2) -> StreamPlan:
    """Predict a streamed export from tensor shapes alone, so for any size of any family.

    Args:
        shapes: the checkpoint's tensors.
        scheme: "float32" or "dynamic-int8".
        stored_bytes: of a number in the checkpoint (2 for float16 and bfloat16); its files are mapped, and count while they are read.
    """
    tower, decoder = split_shapes(shapes)
    kept = tower | decoder
    matmul = _products(tower) + _products(decoder)
    parameters = sum(map(math.prod, kept.values()))
    width = 4 if scheme == "float32" else 1
    output = matmul * width + (parameters - matmul) * 4
    largest = max(math.prod(shape) for shape in kept.values())
    peak = TOOLCHAIN_BYTES + int(largest * (4 * QUANTIZE_COPIES + stored_bytes))
    return StreamPlan(parameters, output, peak, output + TOOLCHAIN_BYTES // 8)
