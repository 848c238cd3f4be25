"""Checkpoints of the true shapes with random weights: the family's public layout, a word a token, no download."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from accelerate import init_empty_weights

from exporters.families import gemma3, qwen35, smolvlm
from exporters.families.generative import GenerativeFamily
from exporters.model import Question
from tests.stand import tiny_checkpoints as tiny

SEED = 0
BLOCK = 1 << 20  # random numbers drawn once and repeated: drawing billions would be the benchmark

VISION_93M = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 512,
    "patch_size": 16,
}
VISION_SO400M = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 896,
    "patch_size": 14,
    "vision_use_head": False,
}


def llama(hidden: int, inner: int, layers: int, heads: int, groups: int) -> dict[str, Any]:
    """Text configuration of a SmolVLM."""
    return {
        "model_type": "llama", "vocab_size": 49280, "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": groups, "head_dim": 64, "pad_token_id": 2, "tie_word_embeddings": False,
    }  # fmt: skip


def gemma(hidden: int, inner: int, layers: int, heads: int, groups: int) -> dict[str, Any]:
    """Text configuration of a Gemma 3."""
    return {
        "vocab_size": 262208, "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": groups, "head_dim": 256, "sliding_window": 1024, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 1,
        "layer_types": ["full_attention" if (n + 1) % 6 == 0 else "sliding_attention" for n in range(layers)],
    }  # fmt: skip


QWEN35 = {
    "vocab_size": 248320, "hidden_size": 1024, "intermediate_size": 3584, "num_hidden_layers": 24, "num_attention_heads": 8,
    "num_key_value_heads": 2, "head_dim": 256, "linear_num_key_heads": 16, "linear_num_value_heads": 16, "linear_key_head_dim": 128,
    "linear_value_head_dim": 128, "rope_parameters": {
        "rope_type": "default", "rope_theta": 1e7, "partial_rotary_factor": 0.25, "mrope_section": [11, 11, 10], "mrope_interleaved": True,
    },
}  # fmt: skip
QWEN_VISION = {
    "depth": 12, "hidden_size": 768, "intermediate_size": 3072, "num_heads": 12, "patch_size": 16, "spatial_merge_size": 2,
    "temporal_patch_size": 2, "out_hidden_size": 1024, "num_position_embeddings": 2304,
}  # fmt: skip
FAMILIES: dict[str, GenerativeFamily] = {"smolvlm": smolvlm.FAMILY, "gemma3": gemma3.FAMILY, "qwen35": qwen35.FAMILY}
SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "smolvlm-256m": (
        "smolvlm",
        {"text_config": llama(576, 1536, 30, 9, 3), "vision_config": VISION_93M, "scale_factor": 4},
    ),
    "smolvlm-500m": (
        "smolvlm",
        {"text_config": llama(960, 2560, 32, 15, 5), "vision_config": VISION_93M, "scale_factor": 4},
    ),
    "gemma3-4b": (
        "gemma3",
        {"text_config": gemma(2560, 10240, 34, 8, 4), "vision_config": VISION_SO400M, "mm_tokens_per_image": 256},
    ),
    "gemma3-12b": (
        "gemma3",
        {"text_config": gemma(3840, 15360, 48, 16, 8), "vision_config": VISION_SO400M, "mm_tokens_per_image": 256},
    ),
    "qwen35-0.8b": ("qwen35", {"text_config": QWEN35, "vision_config": QWEN_VISION}),
}
PARTS = ("housing", "shaft", "gear", "bearing", "cover", "flange", "weld", "seal")
FAULTS = ("scratch", "crack", "dent", "missing bolt")
WORDED = tuple(f"Is there a {fault} on the {part}?" for part in PARTS for fault in FAULTS)


def questions(count: int) -> list[Question]:
    """The first of the worded questions, one phrasing each."""
    return [Question(str(number), (words,), ()) for number, words in enumerate(WORDED[:count])]


def configuration(size: str) -> Any:  # noqa: ANN401 - a transformers config
    """The true shape, with the special tokens of the fixture's tokenizer."""
    family, values = SIZES[size]
    if family == "smolvlm":
        return transformers.Idefics3Config(**values, image_token_id=3)
    if family == "gemma3":
        return transformers.Gemma3Config(**values, image_token_id=3, boi_token_id=4, eoi_token_id=5)
    return transformers.Qwen3_5Config(
        **values, image_token_id=5, video_token_id=6, vision_start_token_id=3, vision_end_token_id=4
    )


def shapes_of(size: str) -> dict[str, tuple[int, ...]]:
    """Every tensor of the true shape, by name, without a weight in memory."""
    with init_empty_weights():
        model = transformers.AutoModelForImageTextToText.from_config(configuration(size))
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def make_checkpoint(size: str, folder: Path) -> Path:
    """A checkpoint of the true shape with random float16 weights: the fixture's tokenizer and processor, our own weights."""
    family, values = SIZES[size]
    getattr(tiny, family)(folder)
    (folder / "model.safetensors").unlink()
    configuration(size).save_pretrained(folder)
    rule = json.loads((folder / "preprocessor_config.json").read_text())
    edge = values["vision_config"].get("image_size", 448)
    rule["size"] = {"longest_edge": edge} if family == "smolvlm" else {"height": edge, "width": edge}
    if family == "smolvlm":
        rule["max_image_size"] = {"longest_edge": edge}
    if family == "qwen35":
        rule |= {"size": {"shortest_edge": 256, "longest_edge": 1 << 24}, "patch_size": 16}
    (folder / "preprocessor_config.json").write_text(json.dumps(rule))
    _words_as_tokens(folder)
    write_random(shapes_of(size), folder / "model.safetensors")
    return folder


def _words_as_tokens(folder: Path) -> None:
    """Every word of the questions one token, as in a real vocabulary; the fixture's small one would spell them out."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    words = {word for question in WORDED for word in question.removesuffix("?").split()}
    tokenizer.add_tokens([f" {word}" for word in sorted(words)] + ["User", "Assistant"])
    tokenizer.save_pretrained(folder)


def write_random(shapes: dict[str, tuple[int, ...]], target: Path) -> None:
    """Random float16 tensors in the safetensors format, written one after the other."""
    block = np.random.default_rng(SEED).standard_normal(BLOCK).astype(np.float32)
    header, start = {}, 0
    for name, shape in shapes.items():
        end = start + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
        start = end
    encoded = json.dumps(header).encode()
    with target.open("wb") as stream:
        stream.write(struct.pack("<Q", len(encoded)) + encoded)
        for number, shape in enumerate(shapes.values()):
            scale = 1.0 / math.sqrt(math.prod(shape[1:])) if len(shape) > 1 else 0.02
            # Turned a little further for every tensor: equal tensors would be merged by the optimizers, which real ones never are.
            piece = (
                (np.roll(block, 7919 * number) * scale + (1.0 if len(shape) == 1 else 0.0)).astype(np.float16).tobytes()
            )
            left = 2 * math.prod(shape)
            while left > 0:
                stream.write(piece[:left])
                left -= len(piece)
