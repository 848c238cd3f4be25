"""Loads a local checkpoint folder as a model of its family, never from the network."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edge.bundle import file_sha256
from edge.errors import ExportError
from exporters.checkpoint.folder import INDEX, read_checkpoint, weight_files
from exporters.families.registry import find_family
from exporters.model import Checkpoint, Family, Model

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
    "words.safetensors",  # of a pretrained tower that has words, and its text tower
    "words/*.json",
    "words/*.safetensors",
)


def inspect(folder: Path) -> tuple[Checkpoint, Family]:
    """Read what a checkpoint is, without its weights and without torch. Raises ConfigError or ExportError."""
    checkpoint = read_checkpoint(folder)
    return checkpoint, find_family(checkpoint)


def load(checkpoint: Checkpoint, family: Family, *, streamed: bool = False) -> Model:
    """Load the weights, or leave them on disk; what looks for them anywhere but in the folder fails. Raises ExportError."""
    from huggingface_hub.constants import is_offline_mode  # noqa: PLC0415 - plan must start without it

    if not is_offline_mode():  # it was imported before `exporters` could forbid it
        raise ExportError(
            "huggingface_hub was imported before exporters and may use the network. "
            "Import exporters first, or set HF_HUB_OFFLINE=1 in the environment."
        )
    return family.load_streamed(checkpoint) if streamed else family.load(checkpoint)


def checkpoint_sha256(folder: Path) -> str:
    """Over names and hashes of the weight, configuration, tokenizer and processor files. Raises ConfigError."""
    files = {*weight_files(folder), *(file for pattern in _HASHED for file in folder.glob(pattern) if file.is_file())}
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file.relative_to(folder)} {file_sha256(file)}\n".encode())
    return digest.hexdigest()
