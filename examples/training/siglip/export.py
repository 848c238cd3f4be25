"""Writes the trained model as a checkpoint folder in the public Hugging Face layout, and reads it back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from transformers import SiglipImageProcessor, SiglipModel, SiglipProcessor, SiglipTokenizer

from examples.training.common.samples import IMAGE_SIZE
from examples.training.siglip.tokens import LENGTH


def export(model: SiglipModel, tokenizer: SiglipTokenizer, out: Path) -> None:
    """Write config.json, model.safetensors in float16, tokenizer and processor files to ``out``, file by file, each whole."""
    out.mkdir(parents=True, exist_ok=True)
    half = SiglipModel(model.config)
    half.load_state_dict(model.state_dict())
    half.to(torch.float16)
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    images = SiglipImageProcessor(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        half.save_pretrained(folder)
        images.save_pretrained(folder)
        SiglipProcessor(image_processor=images, tokenizer=tokenizer).save_pretrained(folder)
        for path in sorted(Path(folder).iterdir()):
            path.chmod(0o644)
            shutil.move(path, out / path.name)


def tokenise_with(tokenizer: SiglipTokenizer) -> Callable[[list[str]], Tensor]:
    """A function from texts to token ids int64 (n, LENGTH), padded to full length as SigLIP expects; remembers texts it has seen."""
    known: dict[str, Tensor] = {}

    def one(text: str) -> Tensor:
        if text not in known:
            known[text] = torch.tensor(
                tokenizer(text, padding="max_length", truncation=True, max_length=LENGTH)["input_ids"]
            )
        return known[text]

    return lambda texts: torch.stack([one(text) for text in texts])
