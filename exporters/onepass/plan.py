"""Estimates a one-pass graph's size and work from the weight headers alone; pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from exporters.checkpoint.naming import stacked
from exporters.model import Checkpoint, Geometry, StreamPlan

FIXED_TOKENS = 24  # a chat template and the instruction, beside the image
QUESTION_TOKENS = 14  # a worded question that shares its beginning with others
TOWER_WORDS = ("vision", "visual", "connector", "projector")
EXPERTS = ".experts."
OUTSIDE = (
    "embed_tokens",
    "lm_head",
    "position_embedding",
    "pos_embed",
    "mtp.",
)  # tables, of which a few rows become constants; a draft head


def estimate(checkpoint: Checkpoint, *, patches: int, image_tokens: int, faults: int, question_tokens: int) -> Geometry:
    """Weights of matrix products and all others in the graph, and the work of one frame.

    Args:
        checkpoint: headers of its weights.
        patches: that the tower sees.
        image_tokens: that the decoder sees.
        faults: questions.
        question_tokens: of one question, behind what all share.
    """
    tower, decoder = split_shapes(stacked(checkpoint.shapes))
    tokens = image_tokens + FIXED_TOKENS + faults * question_tokens
    matmul = _products(tower) + _products(decoder)
    others = sum(map(math.prod, tower.values())) + sum(map(math.prod, decoder.values())) - matmul
    flop = 2.0 * patches * _products(tower) + 2.0 * tokens * _active(decoder, checkpoint.config)
    flop += _attention(checkpoint.config.get("vision_config", {}), patches)
    flop += _attention(checkpoint.config.get("text_config", checkpoint.config), tokens)
    return Geometry(matmul, others, flop, _products(decoder))


def split_shapes(
    shapes: Mapping[str, tuple[int, ...]],
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Tensors of the tower and of the decoder, without the tables of which the graph keeps a few rows only."""
    kept = {name: shape for name, shape in shapes.items() if not any(word in name for word in OUTSIDE)}
    tower = {name: shape for name, shape in kept.items() if any(word in name for word in TOWER_WORDS)}
    return tower, {name: shape for name, shape in kept.items() if name not in tower}


def _products(shapes: Mapping[str, tuple[int, ...]]) -> int:
    return sum(math.prod(shape) for name, shape in shapes.items() if len(shape) == 2 or EXPERTS in name)


def _active(decoder: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> float:
    """Weights that one token is multiplied with: of a mixture only the experts that it chooses."""
    text = config.get("text_config", config)
    share = int(text.get("num_experts_per_tok", 1)) / int(text.get("num_experts", 1))
    routed = sum(math.prod(shape) for name, shape in decoder.items() if EXPERTS in name)
    return _products(decoder) - routed * (1.0 - share)


def _attention(config: Mapping[str, Any], tokens: int) -> float:
    """Work of the products between tokens: 4 x tokens^2 x width a layer."""
    layers = int(config.get("num_hidden_layers", config.get("depth", 0)))
    heads = int(config.get("num_attention_heads", config.get("num_heads", 1)))
    width = heads * int(config.get("head_dim") or int(config.get("hidden_size", 0)) // heads)
    return 4.0 * tokens * tokens * width * layers


# Fitted to the four sizes of benchmarks/results/onepass_sizes.md: torch, transformers and onnxscript alone, then what every traced layer adds.
TOOLCHAIN_BYTES = 322 * 2**20
LAYER_BYTES = 3.0 * 2**20
RECURRENT_LAYER_BYTES = 5.4 * 2**20
TOOLCHAIN_SECONDS = 8.0
LAYER_SECONDS = 0.55
RECURRENT_LAYER_SECONDS = 4.5
SECONDS_PER_NUMBER = 42e-9  # read, turned, quantized, written
COPIES = 6.5  # of the largest tensor in float32: as read, turned, divided, rounded, with what the allocator keeps
RUNTIME_BYTES = 475 * 2**20  # ONNX Runtime and one frame's tensors at 1,024 patches


def plan_stream(shapes: Mapping[str, tuple[int, ...]], scheme: str, *, passes: int = 1) -> StreamPlan:
    """Predict a streamed export from tensor shapes alone, so for any size of any family.

    Args:
        shapes: the checkpoint's tensors.
        scheme: "float32" or "dynamic-int8".
        passes: how often the decoder's layers are traced: 1 as a tree, 2 in the prefix form.
    """
    tower, decoder = split_shapes(stacked(shapes))
    kept = tower | decoder
    matmul = _products(tower) + _products(decoder)
    parameters = sum(map(math.prod, kept.values()))
    width = 4 if scheme == "float32" else 1
    output = matmul * width + (parameters - matmul) * 4
    largest = max(math.prod(shape) for shape in kept.values())
    recurrent = len(_layers(name for name in decoder if ".linear_attn." in name))
    plain = len(_layers(tower)) + passes * (len(_layers(decoder)) - recurrent)
    recurrent *= passes
    peak = TOOLCHAIN_BYTES + plain * LAYER_BYTES + recurrent * RECURRENT_LAYER_BYTES + largest * 4 * COPIES
    seconds = TOOLCHAIN_SECONDS + plain * LAYER_SECONDS + recurrent * RECURRENT_LAYER_SECONDS
    seconds += parameters * SECONDS_PER_NUMBER
    return StreamPlan(parameters, output, int(peak), seconds, int(output + RUNTIME_BYTES), TOOLCHAIN_BYTES)


def _layers(names: Iterable[str]) -> set[str]:
    """The layers' names up to and with their number, each once."""
    found = (re.match(r"(.*\.(?:layers|blocks)\.\d+)\.", name) for name in names)
    return {match.group(1) for match in found if match}
