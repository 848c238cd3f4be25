"""Checkpoints made worse on purpose: a copy of a folder with some tensors or settings changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

WEIGHTS = "model.safetensors"
Change = Callable[[dict[str, Any]], object]


def copy(folder: Path, target: Path, change: Change) -> Path:
    """The checkpoint with its dictionary of tensors changed in place by ``change``."""
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("work"))
    tensors = load_file(target / WEIGHTS)
    change(tensors)
    (target / WEIGHTS).unlink()
    save_file(tensors, target / WEIGHTS, metadata={"format": "pt"})
    return target


def configure(folder: Path, change: Change, name: str = "config.json") -> Path:
    """The same folder with its configuration changed in place by ``change``."""
    file = folder / name
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document), encoding="utf-8")
    return folder


def nothing(_: dict[str, Any]) -> None:
    """Changes no tensor."""


def without(*endings: str) -> Change:
    """Drops the tensors whose names end so."""

    def change(tensors: dict[str, Any]) -> None:
        gone = [name for name in tensors if name.endswith(endings)]
        assert gone, f"no tensor ends with {endings}"
        for name in gone:
            del tensors[name]

    return change


def poisoned(ending: str, value: float) -> Change:
    """Puts one value in the middle of the first tensor whose name ends so."""

    def change(tensors: dict[str, Any]) -> None:
        name = next(name for name in sorted(tensors) if name.endswith(ending))
        flat = tensors[name].flatten()
        flat[len(flat) // 2] = value
        tensors[name] = flat.reshape(tensors[name].shape).contiguous()

    return change


def shortened(ending: str) -> Change:
    """Cuts the first tensor whose name ends so to half its rows."""

    def change(tensors: dict[str, Any]) -> None:
        name = next(name for name in sorted(tensors) if name.endswith(ending))
        tensors[name] = tensors[name][: len(tensors[name]) // 2].contiguous()

    return change


def tied(folder: Path, *, tie: bool) -> Path:
    """The same folder with the vocabulary's head said to be its table, or not."""

    def change(config: dict[str, Any]) -> None:
        for section in (config, config.get("text_config", {})):
            section["tie_word_embeddings"] = tie

    return configure(folder, change)
