"""How large a one-pass graph will be and how much it computes, from the weight headers alone; pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
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
    return Geometry(matmul, others, flop, _products(decoder))


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
        cpu_seconds: processor time of the export on the machine that the constants below were measured on, s.
        runtime_bytes: what ONNX Runtime holds to run it.
    """

    parameters: int
    output_bytes: int
    peak_bytes: int
    cpu_seconds: float
    runtime_bytes: int

    @property
    def idle_bytes(self) -> int:
        """What the process holds before and after it writes."""
        return TOOLCHAIN_BYTES


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
    tower, decoder = split_shapes(shapes)
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
    return StreamPlan(parameters, output, int(peak), seconds, int(output + RUNTIME_BYTES))


def _layers(names: Iterable[str]) -> set[str]:
    """What stands before and with the number of a layer, each once."""
    found = (re.match(r"(.*\.(?:layers|blocks)\.\d+)\.", name) for name in names)
    return {match.group(1) for match in found if match}
