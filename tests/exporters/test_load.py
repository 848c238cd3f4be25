"""A checkpoint is identified by what it computes with, and read from its folder alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge.errors import ConfigError
from exporters import load
from exporters.families.base import read_checkpoint, weight_files
from exporters.stream import Weights

ROOT = Path(__file__).parents[2]
BUNDLES = [
    pytest.param("line", "checkpoint/siglip-line-tiny", id="line"),
    pytest.param("line-generative", "generative/smolvlm-line-tiny", id="line-generative"),
]


@pytest.fixture
def copy(siglip: Path, tmp_path: Path) -> Path:
    """A checkpoint to change."""
    return shutil.copytree(siglip, tmp_path / "copy")


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


def test_weights_in_pieces_are_those_that_the_index_names(copy: Path) -> None:
    """A folder that holds the weights in another layout too counts them once, whole or in pieces."""
    whole = read_checkpoint(copy)
    shutil.copy(copy / "model.safetensors", copy / "consolidated.safetensors")
    assert read_checkpoint(copy) == whole
    first = "model-00001-of-00001.safetensors"
    (copy / "model.safetensors").rename(copy / first)
    index = {"weight_map": dict.fromkeys(whole.shapes, first)}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    assert weight_files(copy) == [copy / first]
    assert read_checkpoint(copy).parameters == whole.parameters
    assert read_checkpoint(copy).weight_bytes == whole.weight_bytes
    assert list(Weights(copy).shapes) == list(whole.shapes)


def test_an_index_must_name_files_that_are_there(copy: Path) -> None:
    """A download that was broken off is seen at once."""
    (copy / "model.safetensors").unlink()
    for index, said in (({"weight_map": {"a": "b.safetensors"}}, "lacks b.safetensors"), ({}, "no weight_map")):
        (copy / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(ConfigError, match=said):
            weight_files(copy)


def test_a_folder_of_other_weights_only_is_read(copy: Path) -> None:
    """Neither of the usual names: whatever there is."""
    (copy / "model.safetensors").rename(copy / "weights.safetensors")
    assert weight_files(copy) == [copy / "weights.safetensors"]


def test_newer_processor_layout_is_read(copy: Path, siglip: Path) -> None:
    """Processor settings inside processor_config.json, as newer tools save them, mean the same."""
    old = (copy / "preprocessor_config.json").read_text()
    (copy / "preprocessor_config.json").unlink()
    (copy / "processor_config.json").write_text('{"image_processor": ' + old + "}")
    assert load.inspect(copy)[0].preprocessor == load.inspect(siglip)[0].preprocessor
