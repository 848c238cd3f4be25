"""The model card says what was measured, and names the weak faults as such."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from examples.training.siglip.card import card

FOLDER = Path(__file__).parents[4] / "examples/checkpoint/siglip-line-tiny"


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    """The figures beside the committed weights."""
    if not (FOLDER / "evaluation.json").exists():
        pytest.skip("no evaluation.json beside the weights: run `python -m examples.training.siglip.evaluate`")
    found: dict[str, Any] = json.loads((FOLDER / "evaluation.json").read_text())
    return found


def test_the_committed_card_is_the_generated_one(figures: dict[str, Any]) -> None:
    """Nobody edits figures by hand: the card follows from the files beside it."""
    weights = (FOLDER / "model.safetensors").stat().st_size
    config = json.loads((FOLDER / "config.json").read_text())
    made = card(config, figures, {"training": (FOLDER / "training.md").read_text()}, weights, weights // 2)
    assert made == (FOLDER / "MODEL_CARD.md").read_text()


def test_a_weak_fault_is_called_weak(figures: dict[str, Any]) -> None:
    """A fault near chance is listed under what prompts alone cannot do."""
    changed = json.loads(json.dumps(figures))
    changed["line"]["faults"]["rust"]["usual_normal"] = 0.5
    config = json.loads((FOLDER / "config.json").read_text())
    text = card(config, changed, {"training": "Short."}, 8_000_000, 4_000_000)
    assert "rust" in text.split("Not usable by prompt alone")[1].split("\n")[0]
