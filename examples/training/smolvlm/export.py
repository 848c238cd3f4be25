"""Writes the trained model as a checkpoint folder in SmolVLM's public Hugging Face layout."""

from __future__ import annotations

import copy
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import Idefics3ImageProcessorPil

from examples.training.smolvlm.model import TABLE_PX


def export(model: Any, tokenizer: Any, out: Path) -> None:  # noqa: ANN401 - transformers ships no types
    """Write config.json, model.safetensors in float16, tokenizer and processor files to ``out``, file by file, each whole."""
    out.mkdir(parents=True, exist_ok=True)
    half = copy.deepcopy(model).to(torch.float16)
    half.config.image_token_id = model.config.image_token_id
    images = Idefics3ImageProcessorPil(
        size={"longest_edge": TABLE_PX}, max_image_size={"longest_edge": TABLE_PX}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        half.save_pretrained(folder)
        images.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        for path in sorted(Path(folder).iterdir()):
            path.chmod(0o644)
            shutil.move(path, out / path.name)
