"""The checkpoint as its users see it: read from its folder by the product, turning pictures and prompts into embeddings."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from examples.training.common.samples import Pixels
from examples.training.lite0.features import AT_ONCE, EDGE, read_tower
from examples.training.siglip.encoder import Floats
from exporters.towers.backbone import tokens
from exporters.towers.words import load

PATCHES = 1  # the map whose places a light head would see: stride 16


class Encoder:
    """A loaded checkpoint folder. Embeddings have unit length."""

    def __init__(self, folder: Path) -> None:
        self.edge = EDGE
        self._tower = read_tower(folder)
        self._words = load(folder, json.loads((folder / "config.json").read_text())["tower"]["words"])

    def texts(self, prompts: list[str]) -> Floats:
        """Embeddings (n, width) of prompts."""
        return self._words.text(prompts).astype(np.float64)

    def ensemble(self, prompts: list[str]) -> Floats:
        """The mean embedding (width,) of several phrasings of the same thing, as the compiled graph has it."""
        return np.asarray(self.texts(prompts).mean(0))

    def pictures(self, images: Pixels) -> tuple[Floats, NDArray[np.float32]]:
        """Embeddings (n, width) and patch features (n, patches, channels) of pictures uint8 (n, edge, edge, 3)."""
        found, patches = [], []
        with torch.inference_mode():
            for start in range(0, len(images), AT_ONCE):
                pooled, maps = self._tower.see(torch.from_numpy(np.ascontiguousarray(images[start : start + AT_ONCE])))
                found.append(self._words.image(pooled, maps).numpy())
                patches.append(tokens(maps)[PATCHES].numpy())
        return np.concatenate(found).astype(np.float64), np.concatenate(patches)

    def contrast(self, pooled: Floats, fault: list[str], normal: list[str]) -> Floats:
        """Zero-shot scores (n,): how much nearer a picture is to the fault's prompts than to the normal ones, in logits."""
        return np.asarray(self._words.scale * (pooled @ (self.ensemble(fault) - self.ensemble(normal))))
