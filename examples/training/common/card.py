"""The model card of a checkpoint folder, written from the figures kept beside its weights."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol


class Card(Protocol):
    """Makes the card's Markdown."""

    def __call__(
        self,
        config: dict[str, Any],
        figures: dict[str, Any],
        texts: Mapping[str, str],
        weight_bytes: int,
        parameters: int,
        /,
    ) -> str:
        """From configuration, measured figures, written paragraphs, size of the weights and their number."""
        ...


def write_card(command: str, texts: Sequence[str], card: Card, arguments: list[str] | None) -> None:
    """Read config.json, evaluation.json and the paragraphs of a checkpoint folder and write its MODEL_CARD.md.

    Args:
        command: how this is started, for the help.
        texts: names of the paragraphs, ``NAME.md`` each; one that is not there is empty.
        card: makes the Markdown.
        arguments: of the command line; None: this process's.
    """
    parser = argparse.ArgumentParser(prog=command, description=write_card.__doc__)
    parser.add_argument("checkpoint", type=Path)
    folder: Path = parser.parse_args(arguments).checkpoint
    files = {name: folder / f"{name}.md" for name in texts}
    weight_bytes = (folder / "model.safetensors").stat().st_size
    text = card(
        json.loads((folder / "config.json").read_text()),
        json.loads((folder / "evaluation.json").read_text()),
        {name: file.read_text() if file.exists() else "" for name, file in files.items()},
        weight_bytes,
        weight_bytes // 2,  # float16
    )
    (folder / "MODEL_CARD.md").write_text(text)
    print(f"wrote {folder / 'MODEL_CARD.md'}")
