"""Builds with the unnamed channel: from normal pictures alone, beside fitted faults, and beside words."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks import material
from edge.bundle import open_bundle
from edge.errors import ExportError
from edge.manifest import manifest_json
from exporters import pipeline
from exporters.fit.heads import size_note
from exporters.fit.normals import Power, Sized
from exporters.job import prepare
from exporters.recipe import UNNAMED, Recipe
from exporters.towers.convert import convert
from tests.exporters.conftest import BOARD, NOW, RECIPE, job_for
from tests.stand import tiny_towers

PLAIN = 'quantization = { schemes = ["float32"], threads = [1] }\n'
ON = PLAIN + "unnamed = { enabled = true, layers = [0.7, 1.0] }\n"
FITTED = ON + 'head = { kind = "fitted", epochs = 4, hidden = 8, layers = [0.3] }\n'


@pytest.fixture(scope="module")
def tower(workshop: Path) -> Path:
    """A small EfficientNet-Lite."""
    convert(str(tiny_towers.public("lite0", workshop / "seeing-public")), workshop / "seeing")
    return workshop / "seeing"


def test_named_faults_and_the_unnamed_one_share_one_graph(site: Path, tower: Path, tmp_path: Path) -> None:
    """The unnamed one is last, of its own kind, calibrated out of fold, and the report says what it would see."""
    bundle = open_bundle(pipeline.build(job_for(site, tower.name, FITTED), tmp_path, now=NOW, log=lambda _: None))
    manifest = bundle.manifest
    assert [(fault.id, fault.kind) for fault in manifest.faults] == [
        ("crack", "named"),
        ("dent", "named"),
        (UNNAMED, "unnamed"),
    ]
    unnamed = manifest.faults[-1].calibration
    assert unnamed is not None
    assert unnamed.normal_images > (manifest.faults[0].calibration or unnamed).normal_images
    report = (bundle.path / "report.md").read_text()
    assert "painted on them by rule" in report
    assert b'"kind": "unnamed"' in manifest_json(manifest) or b'"kind":"unnamed"' in manifest_json(manifest)
    assert manifest_json(manifest).count(b'"kind"') == 1, "named faults read as they did before there was another kind"


def test_normal_pictures_alone_make_a_bundle(site: Path, tower: Path, tmp_path: Path) -> None:
    """No fault is named, none was photographed."""
    file = site / "normal-alone.toml"
    file.write_text(RECIPE.format(kind=tower.name, extra=ON).split("[[faults]]")[0])
    job = prepare(file, BOARD)
    bundle = open_bundle(pipeline.build(job, tmp_path, now=NOW, log=lambda _: None))
    assert [fault.kind for fault in bundle.manifest.faults] == ["unnamed"]
    assert all(len(golden.scores) == 1 for golden in bundle.manifest.proof.golden)


def test_words_and_the_unnamed_channel_share_a_dual_encoder(site: Path, siglip: Path, tmp_path: Path) -> None:
    """Words of a dual encoder are a head like any other."""
    bundle = open_bundle(pipeline.build(job_for(site, siglip.name, ON), tmp_path, now=NOW, log=lambda _: None))
    assert [fault.id for fault in bundle.manifest.faults][-1] == UNNAMED


def test_words_of_a_tower_beside_the_unnamed_channel_are_refused_in_a_sentence(
    site: Path, tower: Path, tmp_path: Path
) -> None:
    """What cannot be built says what can."""
    with pytest.raises(ExportError, match=r"head\.kind = 'fitted'"):
        pipeline.build(job_for(site, tower.name, ON), tmp_path, now=NOW, log=lambda _: None)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"unnamed": {"enabled": True}}, "images.normal"),
        ({}, "name at least one"),
        ({"unnamed": {"enabled": True}, "images": {"normal": ("a",)}, "head": {"kind": "fitted"}}, "needs faults"),
        (
            {
                "unnamed": {"enabled": True},
                "images": {"normal": ("a",)},
                "faults": ({"id": UNNAMED, "title": "t", "words": ("w",)},),
            },
            "call the fault otherwise",
        ),
    ],
)
def test_a_recipe_that_cannot_have_the_channel_says_why(broken: dict[str, object], said: str) -> None:
    """Before any picture is read."""
    with pytest.raises(ValidationError, match=said):
        Recipe.model_validate({"name": "x", "checkpoint": "c", **broken})


TILES = material.DATA / "magnetic_tile" / "open"
LITE0 = Path(__file__).parents[3] / "examples" / "towers" / "efficientnet-lite0"
REAL = """
name = "tiles"
checkpoint = "{tower}"
[images]
normal = ["{tiles}/MT_Free/*.jpg"]
limit = 130
[images.grouping]
number_pattern = "_num_(\\\\d+)"
run_gap = 500
[unnamed]
enabled = true
[head]
kind = "fitted"
epochs = 1
layers = [0.95, 1.0]
[quantization]
schemes = ["float32"]
threads = [1]
[tolerance]
timing_runs = 12
timing_seconds = 3.0
[[faults]]
id = "break"
title = "Break"
words = ["a broken edge"]
images = ["{tiles}/MT_Break/*.jpg"]
"""


@pytest.mark.whole
@pytest.mark.realdata
@pytest.mark.skipif(not TILES.is_dir(), reason="EDGE_DATA has no magnetic_tile")
def test_broken_tiles_stand_out_by_name_and_without_one(tmp_path: Path) -> None:
    """Some real tiles, the real tower: both channels tell broken tiles from whole ones that neither was fitted on."""
    (tmp_path / "tiles.toml").write_text(REAL.format(tower=LITE0, tiles=TILES))
    job = prepare(tmp_path / "tiles.toml", BOARD)
    bundle = open_bundle(pipeline.build(job, tmp_path / "out", now=NOW, log=lambda _: None))
    named, unnamed = (fault.calibration for fault in bundle.manifest.faults)
    assert named is not None
    assert unnamed is not None
    assert (named.auroc or 0) > 0.75
    assert (unnamed.auroc or 0) > 0.75
    assert unnamed.normal_images > named.normal_images


@pytest.mark.parametrize(
    ("mm_per_px", "size", "ends"),
    [(None, "of 4 to 20 px", "to have the sizes in mm."), (0.5, "of 2 to 10 mm", "73.8%).")],
)
def test_sizes_of_painted_faults_stand_in_mm_where_the_recipe_says_what_a_picture_shows(
    mm_per_px: float | None, size: str, ends: str
) -> None:
    """With number and interval, because a share of ten pictures proves little."""
    note = size_note({"scratch": Power(0.9, 0.5, (Sized(4.0, 20.0, 4, 10),))}, mm_per_px)
    assert f"scratch {size} 40.0% of 10 (12.2% to 73.8%)" in note
    assert note.endswith(ends)
