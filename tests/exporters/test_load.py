"""A checkpoint is identified by what it computes with, and read from its folder alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from exporters import load


def test_the_hash_covers_weights_and_configuration_only(siglip: Path, tmp_path: Path) -> None:
    """A changed model card keeps the identity; a changed weight or setting does not."""
    copy = tmp_path / "copy"
    shutil.copytree(siglip, copy)
    before = load.checkpoint_sha256(copy)
    assert before == load.checkpoint_sha256(siglip)
    (copy / "README.md").write_text("about this model")
    assert load.checkpoint_sha256(copy) == before
    with (copy / "config.json").open("a") as stream:
        stream.write(" ")
    assert load.checkpoint_sha256(copy) != before


def test_newer_processor_layout_is_read(siglip: Path, tmp_path: Path) -> None:
    """Processor settings inside processor_config.json, as newer tools save them, mean the same."""
    copy = tmp_path / "copy"
    shutil.copytree(siglip, copy)
    old = (copy / "preprocessor_config.json").read_text()
    (copy / "preprocessor_config.json").unlink()
    (copy / "processor_config.json").write_text('{"image_processor": ' + old + "}")
    assert load.inspect(copy)[0].preprocessor == load.inspect(siglip)[0].preprocessor
