"""A recipe on a pretrained tower builds as on any other checkpoint: parity gates, int8 gates, licence, and the tower's own layers."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.bundle import open_bundle
from edge.errors import EdgeError
from exporters import pipeline
from exporters.job import prepare
from exporters.towers.convert import convert
from tests.exporters.conftest import BOARD, NOW, RECIPE, job_for
from tests.stand import tiny_towers

FITTED = 'head = { kind = "fitted", epochs = 8, hidden = 16 }\nquantization = { schemes = ["float32", "static-int8"], threads = [1] }\n'


@pytest.fixture(scope="module")
def lite0(workshop: Path) -> Path:
    """A small EfficientNet-Lite out of timm's layout, with words."""
    convert(str(tiny_towers.public("lite0", workshop / "lite0-public")), workshop / "lite0")
    return tiny_towers.add_words(workshop / "lite0", ((5, 11), (16,)), (44, 16), 24)


def test_a_fitted_head_on_a_pretrained_tower(site: Path, lite0: Path, tmp_path: Path) -> None:
    """Float graph and int8 graph pass the gates; the manifest names the family and the checkpoint's licence."""
    said: list[str] = []
    bundle = open_bundle(pipeline.build(job_for(site, lite0.name, FITTED), tmp_path, now=NOW, log=said.append))
    assert bundle.manifest.source.family == "pretrained-tower"
    assert bundle.manifest.source.licence == "Apache-2.0"
    assert (bundle.path / "NOTICE").read_bytes() == (lite0 / "NOTICE").read_bytes(), "whose work it is goes along"
    assert {one.scheme for one in bundle.manifest.proof.candidates} == {"float32", "static-int8"}
    crack = bundle.manifest.faults[0].calibration
    assert crack is not None
    assert (crack.auroc or 0) > 0.9, "a bar over a third of the picture"


def test_the_words_of_a_pretrained_tower(site: Path, lite0: Path, tmp_path: Path) -> None:
    """Nothing is fitted, and the same gates hold."""
    extra = 'quantization = { schemes = ["float32"], threads = [1] }\n'
    bundle = open_bundle(pipeline.build(job_for(site, lite0.name, extra), tmp_path, now=NOW, log=lambda _: None))
    assert [fault.id for fault in bundle.manifest.faults] == ["crack", "dent"]


def test_the_layers_are_the_checkpoint_s_unless_the_recipe_names_some(site: Path, lite0: Path) -> None:
    """So a recipe need not know the tower; and its own word for the licence stands."""
    assert job_for(site, lite0.name, FITTED).recipe.head.layers == (5 / 16, 11 / 16)
    named = 'licence = "ours"\nhead = { kind = "fitted", layers = [0.5] }\n'
    job = job_for(site, lite0.name, named)
    assert (job.recipe.head.layers, job.recipe.licence) == ((0.5,), "ours")


@pytest.mark.parametrize("kind", ["dinov2", "tf_b0"])
def test_a_public_folder_is_pointed_to_the_converter(kind: str, site: Path, workshop: Path) -> None:
    """Unconverted, the family is not known, and the message says the command."""
    tiny_towers.public(kind, workshop / f"public-{kind}")
    file = site / f"public-{kind}.toml"
    file.write_text(RECIPE.format(kind=f"public-{kind}", extra=""))
    with pytest.raises(EdgeError, match="edge-export tower FOLDER OUT"):
        prepare(file, BOARD)
