"""The tower in this repository is what the converter makes of the package, and can be read."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from exporters import load
from exporters.families.pretrained import licence
from exporters.towers import packages
from exporters.towers.convert import convert

FOLDER = Path(__file__).parents[2] / "examples" / "towers" / "efficientnet-lite0"


def test_it_is_small_licensed_and_read_by_its_family() -> None:
    """Seven megabytes, Apache-2.0 with its full text, and a notice of whose work it is."""
    checkpoint, family = load.inspect(FOLDER)
    assert family.name == "pretrained-tower"
    assert checkpoint.parameters < 3.5e6
    assert checkpoint.weight_bytes < 7.1e6
    assert licence(checkpoint.config) == "Apache-2.0"
    assert "Version 2.0, January 2004" in (FOLDER / "LICENSE").read_text(encoding="utf-8")
    assert "ML Illustrated" in (FOLDER / "NOTICE").read_text(encoding="utf-8")


def test_the_converter_makes_it_again_byte_for_byte(tmp_path: Path) -> None:
    """So nothing was slipped in, and a new converter makes a new file on purpose."""
    try:
        importlib.metadata.version(packages.LITE0.name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{packages.LITE0.name} is not installed: {packages.EXTRA}")
    convert(packages.LITE0.name, tmp_path / "again")
    for name in ("model.safetensors", "config.json", "preprocessor_config.json", "NOTICE"):
        assert (tmp_path / "again" / name).read_bytes() == (FOLDER / name).read_bytes(), name
