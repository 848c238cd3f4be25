"""A checkpoint's folder is read as transformers reads it, whatever tool wrote it; what is damaged is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from edge.errors import ConfigError, ExportError
from exporters.checkpoint.folder import normalisation, read_checkpoint, weight_files
from exporters.checkpoint.lazy import Weights


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
    assert read_checkpoint(copy).preprocessor == read_checkpoint(siglip).preprocessor


def _processor(folder: Path, **changes: Any) -> None:
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_mean_and_deviation_are_the_processors(copy: Path) -> None:
    """Three numbers, or one for all channels; none at all where it does not normalise."""
    _processor(copy, image_mean=[0.1, 0.2, 0.3], image_std=0.25)
    assert normalisation(read_checkpoint(copy)) == ((0.1, 0.2, 0.3), (0.25, 0.25, 0.25))
    _processor(copy, do_normalize=False)
    assert normalisation(read_checkpoint(copy)) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_mean": [0.5, 0.5]}, "must have three channels"),
        ({"rescale_factor": 1.0}, "must rescale by 1/255"),
        ({"do_rescale": False}, "must rescale by 1/255"),
    ],
)
def test_a_rule_that_the_daemon_lacks_is_refused(copy: Path, changes: dict[str, Any], said: str) -> None:
    """The graph has x / 255, a mean and a deviation for three channels, and nothing else."""
    _processor(copy, **changes)
    with pytest.raises(ExportError, match=said):
        normalisation(read_checkpoint(copy))


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 761904\n"


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "spiece.model", "preprocessor_config.json"])
def test_a_pointer_of_git_lfs_is_called_one(copy: Path, name: str) -> None:
    """A clone without Git LFS looks complete; whichever file it is, the message says how to get it."""
    (copy / name).write_text(LFS)
    with pytest.raises(ConfigError, match=rf"{name} is a Git LFS pointer.*git lfs pull"):
        read_checkpoint(copy)


def test_a_folder_with_only_an_adapter_is_called_one(copy: Path) -> None:
    """What fine-tuning with LoRA leaves is no checkpoint; beside one it is no matter."""
    (copy / "adapter_config.json").write_text("{}")
    shutil.copy(copy / "model.safetensors", copy / "adapter_model.safetensors")
    read_checkpoint(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"adapter \(LoRA\) only.*merge"):
        read_checkpoint(copy)
