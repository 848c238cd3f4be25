"""A checkpoint is identified by what it computes with, and read from its folder alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.errors import ExportError
from exporters import load

ROOT = Path(__file__).parents[2]
BUNDLES = [
    pytest.param("line", "towers/efficientnet-lite0", id="line"),
    pytest.param("line-generative", "generative/smolvlm-line-tiny", id="line-generative"),
]


@pytest.mark.parametrize("name", ["README.md", "MODEL_CARD.md", "evaluation.json", "site.md", "training.txt", "a.png"])
def test_what_only_describes_a_checkpoint_is_not_hashed(copy: Path, siglip: Path, name: str) -> None:
    """A model card or an evaluation that comes later keeps the identity."""
    (copy / name).write_text("about this model")
    assert load.checkpoint_sha256(copy) == load.checkpoint_sha256(siglip)


@pytest.mark.parametrize(
    "name",
    [
        "config.json", "preprocessor_config.json", "processor_config.json", "generation_config.json", "tokenizer_config.json",
        "tokenizer.json", "special_tokens_map.json", "added_tokens.json", "spiece.model", "tokenizer.model", "vocab.json", "vocab.txt",
        "merges.txt", "chat_template.jinja", "chat_template.json", "model.safetensors",
    ],
)  # fmt: skip
def test_what_a_loader_reads_is_hashed(copy: Path, siglip: Path, name: str) -> None:
    """Weights, configuration, tokenizer and processor: a file that is changed, or one more, is another checkpoint."""
    with (copy / name).open("a") as stream:
        stream.write(" ")
    assert load.checkpoint_sha256(copy) != load.checkpoint_sha256(siglip)


def test_the_hash_is_of_names_and_contents(copy: Path, siglip: Path) -> None:
    """Not of the folder or of times; but a file under another name is another file."""
    assert load.checkpoint_sha256(copy) == load.checkpoint_sha256(siglip)
    (copy / "spiece.model").rename(copy / "tokenizer.model")
    assert load.checkpoint_sha256(copy) != load.checkpoint_sha256(siglip)


@pytest.mark.parametrize(("bundle", "checkpoint"), BUNDLES)
def test_a_committed_bundle_is_made_of_the_checkpoint_beside_it(bundle: str, checkpoint: str) -> None:
    """Whoever changes a checkpoint builds its bundle again: its recipe in examples/recipes says how."""
    manifest = json.loads((ROOT / "examples/bundles" / bundle / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["source"]["checkpoint_sha256"] == load.checkpoint_sha256(ROOT / "examples" / checkpoint)


def test_a_hub_that_may_use_the_network_stops_the_build(siglip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever imported huggingface_hub before us has not told it; then nothing is loaded, and the message says what to do."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(ExportError, match="Import exporters first, or set HF_HUB_OFFLINE=1"):
        load.load(*load.inspect(siglip))
