"""Tiny checkpoints with random weights in the public Hugging Face layout, made in a second, for each dual-encoder family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SIDE = 32  # px
PATCH = 8
WORDS = [
    "a",
    "the",
    "part",
    "no",
    "crack",
    "cracked",
    "surface",
    "dent",
    "flawless",
    "smooth",
    "deep",
    "normal",
    "steel",
]

TEXT = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 16,
}
VISION = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "patch_size": PATCH,
}


def make_checkpoint(kind: str, folder: Path) -> Path:
    """Write a checkpoint: ``siglip``, ``siglip2`` (NaFlex) or ``clip``."""
    import torch

    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    model, processor = {"siglip": _siglip, "siglip2": _siglip2, "clip": _clip}[kind](folder)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:  # default initialisation is so flat that all scores are alike
                torch.nn.init.normal_(parameter, std=0.15 if "embedding" in name else 0.25)
        model.logit_scale.fill_(2.5)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return folder


def _siglip(folder: Path) -> tuple[Any, dict[str, Any]]:
    import sentencepiece
    from transformers import SiglipConfig, SiglipModel, SiglipTokenizer

    sentences = [f"{first} {second} {third}" for first in WORDS for second in WORDS for third in WORDS[:4]]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_prefix=str(folder / "spiece"), vocab_size=60, model_type="unigram",
        pad_id=1, unk_id=2, eos_id=0, bos_id=-1, minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    tokenizer = SiglipTokenizer(vocab_file=str(folder / "spiece.model"), model_max_length=16)
    tokenizer.save_pretrained(folder)
    text = {**TEXT, "vocab_size": len(tokenizer), "pad_token_id": 1, "eos_token_id": 0, "bos_token_id": 0}
    config = SiglipConfig(text_config=text, vision_config={**VISION, "image_size": SIDE})
    size = {"height": SIDE, "width": SIDE}
    return SiglipModel(config), _processor("SiglipImageProcessor", size, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def _siglip2(folder: Path) -> tuple[Any, dict[str, Any]]:
    from transformers import Siglip2Config, Siglip2Model, Siglip2Tokenizer

    vocabulary = {
        token: index for index, token in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *_letters()])
    }
    tokenizer = Siglip2Tokenizer(vocab=vocabulary, merges=[], model_max_length=16, padding_side="right")
    tokenizer.save_pretrained(folder)
    text = {**TEXT, "vocab_size": len(vocabulary), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    config = Siglip2Config(text_config=text, vision_config={**VISION, "num_patches": 9})
    processor = _processor("Siglip2ImageProcessor", None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    return Siglip2Model(config), {**processor, "patch_size": PATCH, "max_num_patches": (SIDE // PATCH) ** 2}


def _clip(folder: Path) -> tuple[Any, dict[str, Any]]:
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    pieces = [*_letters(), *(letter + "</w>" for letter in _letters())]
    tokens = ["<|startoftext|>", "<|endoftext|>", *pieces]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=16)
    tokenizer.save_pretrained(folder)
    text = {**TEXT, "vocab_size": len(vocabulary), "pad_token_id": 1, "eos_token_id": 1, "bos_token_id": 0}
    config = CLIPConfig(text_config=text, vision_config={**VISION, "image_size": SIDE}, projection_dim=24)
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    processor = _processor("CLIPImageProcessor", {"shortest_edge": SIDE}, mean, std)
    return CLIPModel(config), {**processor, "do_center_crop": True, "crop_size": {"height": SIDE, "width": SIDE}}


def _letters() -> list[str]:
    return [chr(code) for code in range(ord("a"), ord("z") + 1)] + ["▁"]


def _processor(name: str, size: Any, mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, Any]:
    return {
        "image_processor_type": name,
        "do_resize": True,
        "size": size,
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
    }
