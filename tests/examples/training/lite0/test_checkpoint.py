"""The committed words separate faults on scenes that they have never seen, and say whose work they stand on."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.line.scene import render, sample_spec
from examples.training.common.samples import resized
from examples.training.common.scoring import auroc
from examples.training.lite0.card import card
from examples.training.lite0.encoder import Encoder
from examples.training.siglip import prompts
from exporters import load
from exporters.towers import packages

FOLDER = Path(__file__).parents[4] / "examples" / "checkpoint" / "lite0-words"
TOWER = Path(__file__).parents[4] / "examples" / "towers" / "efficientnet-lite0"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """The committed checkpoint."""
    try:
        importlib.metadata.version(packages.MINILM.name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{packages.MINILM.name} is not installed: {packages.EXTRA}")
    return Encoder(FOLDER)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["crack", "rust", "oil_leak", "blocked_lens", "out_of_focus"])
def test_faults_outrank_normal_scenes_in_wording_that_was_never_read(encoder: Encoder, fault: str) -> None:
    """On a handful of fresh scenes, by sentences that training kept away from."""
    rng = np.random.default_rng(77)
    specs = [sample_spec(rng, faults=[fault] if index < 8 else []) for index in range(20)]
    pictures = np.stack([resized(render(spec, 640, 480).image, encoder.edge) for spec in specs])
    scores = encoder.contrast(encoder.pictures(pictures)[0], prompts.UNSEEN[fault], prompts.NORMAL)
    assert auroc(scores, np.arange(20) < 8) > 0.85


def test_the_tower_is_the_pretrained_one_and_its_rights_lie_beside_it() -> None:
    """Weights and licence to the byte; the notice says what was added."""
    for name in ("model.safetensors", "preprocessor_config.json", "LICENSE"):
        assert (FOLDER / name).read_bytes() == (TOWER / name).read_bytes(), name
    assert "words.safetensors" in (FOLDER / "NOTICE").read_text(encoding="utf-8")
    checkpoint, family = load.inspect(FOLDER)
    assert family.name == "pretrained-tower"
    assert checkpoint.config["tower"]["licence"] == "Apache-2.0"


def test_the_committed_card_is_the_generated_one() -> None:
    """Nobody edits figures by hand: the card follows from the files beside it."""
    weights = (FOLDER / "model.safetensors").stat().st_size
    config, figures = (read(name) for name in ("config.json", "evaluation.json"))
    texts = {name: (FOLDER / f"{name}.md").read_text() for name in ("training", "left_out")}
    assert card(config, figures, texts, weights, weights // 2) == (FOLDER / "MODEL_CARD.md").read_text()


def test_a_weak_fault_is_called_weak() -> None:
    """A fault near chance is listed under the weaker ones."""
    changed = read("evaluation.json")
    changed["line"]["faults"]["rust"]["usual_normal"] = 0.5
    text = card(read("config.json"), changed, {"training": "Short.", "left_out": ""}, 8_000_000, 4_000_000)
    assert "rust" in text.split("Weaker: ")[1].split("\n")[0]


def read(name: str) -> dict[str, Any]:
    """A JSON file of the checkpoint."""
    found: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return found
