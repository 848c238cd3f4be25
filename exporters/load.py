"""A local checkpoint folder becomes a model of its family - never the network."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from edge.bundle import file_sha256
from exporters.families.base import INDEX, Checkpoint, Family, Model, find_family, read_checkpoint, weight_files
from exporters.families.registry import FAMILIES

_HASHED = (  # beside the weights: what their loaders read, and nothing that only describes the checkpoint
    INDEX,
    "config.json",
    "*_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tekken.json",
    "*.model",
    "vocab.*",
    "merges.txt",
    "chat_template.*",
)


def inspect(folder: Path) -> tuple[Checkpoint, Family]:
    """Read what a checkpoint is, without its weights and without torch. Raises ConfigError or ExportError."""
    checkpoint = read_checkpoint(folder)
    return checkpoint, find_family(checkpoint, FAMILIES)


def load(checkpoint: Checkpoint, family: Family) -> Model:
    """Load the weights; what looks for them anywhere but in the folder fails. Raises ExportError."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    return family.load(checkpoint)


def checkpoint_sha256(folder: Path) -> str:
    """Over names and hashes of the weight, configuration, tokenizer and processor files. Raises ConfigError."""
    files = {*weight_files(folder), *(file for pattern in _HASHED for file in folder.glob(pattern) if file.is_file())}
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.name} {file_sha256(file)}\n".encode())
    return digest.hexdigest()
