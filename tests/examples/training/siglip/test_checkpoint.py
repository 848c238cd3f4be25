"""The committed checkpoint separates faults on scenes that it has never seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.line.scene import render, sample_spec
from examples.training.common.samples import resized
from examples.training.common.scoring import auroc
from examples.training.siglip import prompts
from examples.training.siglip.encoder import Encoder

FOLDER = Path(__file__).parents[4] / "examples/checkpoint/siglip-line-tiny"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """The committed checkpoint."""
    if not (FOLDER / "model.safetensors").exists():
        pytest.skip(
            "examples/checkpoint/siglip-line-tiny holds no weights: train them with `python -m examples.training.siglip.train`"
        )
    return Encoder(FOLDER)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["rust", "oil_leak", "blocked_lens", "out_of_focus"])
def test_faults_outrank_normal_scenes(encoder: Encoder, fault: str) -> None:
    """On a handful of fresh scenes the prompt for a fault ranks faulty above normal ones."""
    rng = np.random.default_rng(77)
    specs = [sample_spec(rng, faults=[fault] if index < 8 else []) for index in range(20)]
    pooled = encoder.pictures(np.stack([resized(render(spec, 640, 480).image) for spec in specs]))[0]
    scores = encoder.contrast(pooled, prompts.USUAL[fault], prompts.NORMAL)
    assert auroc(scores, np.arange(20) < 8) > 0.9


def test_it_is_small_enough_for_the_repository() -> None:
    """The folder stays below 14 MB."""
    assert sum(path.stat().st_size for path in FOLDER.glob("*")) < 14e6


def test_a_description_lies_beside_the_weights(encoder: Encoder) -> None:
    """Weights come with a card that names data, licences and limits."""
    assert encoder.scale > 1
    card = (FOLDER / "MODEL_CARD.md").read_text()
    assert all(word in card for word in ("Apache-2.0", "MIT", "CC BY-SA", "Limits"))
