"""The checkpoint as its users see it: loaded from its folder by transformers, turning pictures and prompts into embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from examples.training.common.samples import Pixels
from examples.training.siglip.batches import pixel_tensor

Floats = NDArray[np.float64]


class Encoder:
    """A loaded checkpoint folder. Embeddings have unit length."""

    def __init__(self, folder: Path) -> None:
        self.model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._length = self.model.config.text_config.max_position_embeddings
        self.scale = self.model.logit_scale.exp().item()
        self.edge = int(self.model.config.vision_config.image_size)

    def texts(self, prompts: list[str]) -> Floats:
        """Embeddings (n, width) of prompts."""
        tokens = self._tokenizer(
            prompts, padding="max_length", truncation=True, max_length=self._length, return_tensors="pt"
        )
        with torch.no_grad():
            pooled = self.model.text_model(input_ids=tokens["input_ids"]).pooler_output
        return np.asarray(torch.nn.functional.normalize(pooled, dim=-1), np.float64)

    def ensemble(self, prompts: list[str]) -> Floats:
        """One unit embedding (width,) for several phrasings of the same thing."""
        mean = self.texts(prompts).mean(0)
        return np.asarray(mean / np.linalg.norm(mean))

    def pictures(self, images: Pixels, batch: int = 50) -> tuple[Floats, NDArray[np.float32]]:
        """Pooled unit embeddings (n, width) and patch features (n, patches, width) of pictures uint8 (n, size, size, 3)."""
        pooled, patches = [], []
        with torch.no_grad():
            for start in range(0, len(images), batch):
                output = self.model.vision_model(
                    pixel_values=pixel_tensor(np.ascontiguousarray(images[start : start + batch]))
                )
                pooled.append(torch.nn.functional.normalize(output.pooler_output, dim=-1).numpy())
                patches.append(output.last_hidden_state.numpy())
        return np.concatenate(pooled).astype(np.float64), np.concatenate(patches)

    def contrast(self, pooled: Floats, fault: list[str], normal: list[str]) -> Floats:
        """Zero-shot scores (n,): how much nearer a picture is to the fault's prompts than to the normal ones, in logits."""
        return np.asarray(self.scale * (pooled @ (self.ensemble(fault) - self.ensemble(normal))))
