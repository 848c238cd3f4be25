"""The whole path of a model on tiny checkpoints: real ONNX, real ONNX Runtime, the daemon's own stages."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.bundle import open_bundle
from edge.errors import ConfigError, ExportError, ProofFailed
from edge.plan import make_plan
from edge.site.settings import Site
from edge.system.board import machine_facts
from exporters import pipeline
from exporters.device import Device
from exporters.job import Job, prepare
from exporters.pack.assemble import few_notes, weak_notes
from exporters.pictures.images import load_dataset
from exporters.plan import plan_build
from exporters.proof import measure
from tests.exporters.conftest import BOARD, NOW, job_for


def test_a_bundle_of_words_holds_its_promises(words_bundle: Path) -> None:
    """Parity with the checkpoint, measured candidates, armed faults with evidence, a report with its pictures."""
    manifest = open_bundle(words_bundle).manifest
    assert [fault.id for fault in manifest.faults] == ["crack", "dent"]
    assert all(fault.armed and fault.calibration is not None for fault in manifest.faults)
    floats = [one for one in manifest.proof.candidates if one.scheme == "float32"]
    assert all(one.parity.max_abs < 1e-4 and one.parity.flips == 0 for one in floats)
    assert {(one.scheme, one.intra_op_threads) for one in manifest.proof.candidates} >= {
        ("float32", 1),
        ("dynamic-int8", 1),
        ("static-int8", 1),
    }
    assert sum(one.chosen for one in manifest.proof.candidates) == 1
    assert {latency.scope for latency in manifest.proof.latency} == {"infer", "frame"}
    assert {"report.md", "scores.png", "candidates.png", "images.csv", "recipe.toml", "model.onnx"} <= {
        entry.path for entry in manifest.files
    }
    assert manifest.target.board == BOARD
    assert all(golden.verdicts is not None for golden in manifest.proof.golden)
    assert manifest.proof.one_sided == manifest.one_sided()


def test_no_path_of_the_building_machine_is_in_the_bundle(words_bundle: Path, workshop: Path) -> None:
    """Neither text nor graph names a folder of the machine that built it."""
    for file in words_bundle.rglob("*"):
        if file.is_file():
            assert str(workshop).encode() not in file.read_bytes(), file


def test_the_parts_are_told_by_group(words_bundle: Path) -> None:
    """images.csv names every picture's part, and no group stands in two."""
    with (words_bundle / "images.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    parts: dict[str, set[str]] = {}
    for row in rows:
        parts.setdefault(row["group"], set()).add(row["part"])
    assert len(rows) == 114
    assert all(len(found) == 1 for found in parts.values())


def test_a_fitted_head_learns_what_the_words_do_not_know(fitted_bundle: Path, words_bundle: Path) -> None:
    """Random towers know no cracks, but their features do: the fitted head separates unseen groups, the words hardly."""
    fitted = open_bundle(fitted_bundle).manifest.faults[0].calibration
    words = open_bundle(words_bundle).manifest.faults[0].calibration
    assert fitted is not None
    assert words is not None
    assert fitted.auroc is not None
    assert words.auroc is not None
    assert fitted.auroc > 0.95
    assert fitted.auroc > words.auroc
    assert open_bundle(fitted_bundle).manifest.proof.parity.max_abs < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["siglip", pytest.param("clip", marks=pytest.mark.whole)])
def test_networks_over_pixels_judge_beside_the_patches(
    kind: str, site: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """With a frame of twice the checkpoint's size the graph is still the checkpoint and its head, and tells unseen groups apart."""
    request.getfixturevalue(kind)
    extra = (
        'head = { kind = "fitted", epochs = 4, hidden = 8, grain = 2, grain_epochs = 8, frame_scale = 2 }\n'
        'quantization = { schemes = ["float32"], threads = [1] }'
    )
    job = job_for(site, kind, extra)
    manifest = open_bundle(pipeline.build(job, tmp_path / "out", now=NOW, log=lambda _: None)).manifest
    assert (manifest.frame_input.width, manifest.frame_input.height) == (2 * job.pixels.width, 2 * job.pixels.height)
    assert manifest.proof.parity.max_abs < 1e-4
    found = manifest.faults[0].calibration
    assert found is not None
    assert found.auroc is not None
    assert found.auroc > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["siglip2", "clip"])
def test_the_other_families_build(kind: str, site: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """NaFlex SigLIP 2 and CLIP take the same path; without site images nothing is armed."""
    request.getfixturevalue(kind)
    job = job_for(site, kind, 'quantization = { schemes = ["float32", "dynamic-int8"], threads = [1] }')
    job = _without_images(job.recipe_file, tmp_path, kind)
    said: list[str] = []
    bundle = pipeline.build(job, tmp_path / "out", now=NOW, log=said.append)
    manifest = open_bundle(bundle).manifest
    assert manifest.source.family == kind
    assert not any(fault.armed for fault in manifest.faults)
    assert manifest.proof.candidates[0].parity.max_abs < 1e-4
    assert "not armed: no site images" in (bundle / "report.md").read_text()
    assert any(line.endswith("torch to ONNX") for line in said)


def test_a_wrong_graph_stops_the_build(
    site: Path, siglip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault rows swapped after the checkpoint was asked: the build refuses, and no bundle is there."""
    job = job_for(site, siglip.name, 'quantization = { schemes = ["float32"], threads = [1] }')
    real = measure.score_frames

    def swapped(*arguments: object, **named: object) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return real(*arguments, **named)[:, ::-1]  # type: ignore[arg-type]

    monkeypatch.setattr(measure, "score_frames", swapped)
    with pytest.raises(ExportError, match="not the checkpoint"):
        pipeline.build(job, tmp_path, now=NOW, log=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_plan_predicts_the_size(site: Path, siglip: Path, words_bundle: Path) -> None:
    """The planned float size is within 25 % of what was built."""
    planned = {option.scheme: option.size_bytes for option in plan_build(job_for(site, siglip.name)).options}
    built = {one.scheme: one.size_bytes for one in open_bundle(words_bundle).manifest.proof.candidates}
    assert planned["float32"] == pytest.approx(built["float32"], rel=0.25)


def test_images_in_two_classes_or_nowhere_are_refused(site: Path, siglip: Path, tmp_path: Path) -> None:
    """A picture cannot be normal and faulty, and a pattern that finds nothing is an error."""
    job = job_for(site, siglip.name)
    both = job.recipe.model_copy(
        update={"images": job.recipe.images.model_copy(update={"normal": ("crack", "normal")})}
    )
    with pytest.raises(ExportError, match="listed as normal"):
        load_dataset(both, job.base, job.input)
    hidden = [job.recipe.faults[0].model_copy(update={"images": ("../site/normal/normal_1_*.jpg",)})]
    with pytest.raises(ExportError, match="listed as normal and as crack"):
        load_dataset(job.recipe.model_copy(update={"faults": tuple(hidden)}), job.base, job.input)
    with pytest.raises(ExportError, match="listed as normal and as crack"):
        plan_build(replace(job, recipe=job.recipe.model_copy(update={"faults": tuple(hidden)})))
    empty = job.recipe.model_copy(
        update={"images": job.recipe.images.model_copy(update={"normal": ("nothing/*.jpg",)})}
    )
    with pytest.raises(ConfigError, match="no JPEG or PNG"):
        load_dataset(empty, tmp_path, job.input)


def _without_images(recipe: Path, folder: Path, kind: str) -> Job:
    """The same recipe with no site images, beside the same checkpoints."""
    text = recipe.read_text().replace('normal = ["normal"]\n', "").replace('images = ["crack/*.jpg"]\n', "")
    bare = folder / f"{kind}.toml"
    bare.write_text(text.replace(f"../{kind}", str(recipe.parent.parent / kind)))
    return prepare(bare, BOARD)


def test_manifest_scores_are_those_of_the_report(words_bundle: Path) -> None:
    """Golden scores are the ones that images.csv shows for the same picture."""
    manifest = json.loads((words_bundle / "manifest.json").read_text())
    shown = {tuple(f"{score:.4f}" for score in golden["scores"]) for golden in manifest["proof"]["golden"]}
    with (words_bundle / "images.csv").open() as stream:
        listed = {(row["crack"], row["dent"]) for row in csv.DictReader(stream)}
    assert shown <= listed


@pytest.mark.slow
def test_few_normal_pictures_make_an_unarmed_bundle(site: Path, siglip: Path, tmp_path: Path) -> None:
    """The documented way in: three pictures, or a single one, build without a fault being armed, and no verdict hangs on rounding."""
    for pattern in ("normal/normal_0_*.jpg", "normal/normal_0_0.jpg"):
        job = job_for(site, siglip.name, 'quantization = { schemes = ["float32"], threads = [1] }')
        few = job.recipe.images.model_copy(update={"normal": (pattern,), "fit_share": 0.0, "test_share": 0.0})
        recipe = job.recipe.model_copy(
            update={"images": few, "tolerance": job.recipe.tolerance.model_copy(update={"flips_share": 0.0})}
        )
        manifest = open_bundle(
            pipeline.build(replace(job, recipe=recipe), tmp_path, now=NOW, log=lambda _: None)
        ).manifest
        assert not any(fault.armed for fault in manifest.faults)
        assert manifest.proof.parity.flips == 0


@pytest.mark.slow
def test_what_took_more_memory_than_the_board_has_is_refused(site: Path, siglip: Path, tmp_path: Path) -> None:
    """Whatever machine measured it: ONNX Runtime alone takes more than 32 MiB."""
    job = job_for(site, siglip.name, 'quantization = { schemes = ["float32"], threads = [1] }')
    small = replace(job, board=job.board.model_copy(update={"memory_mib": 32}))
    with pytest.raises(ExportError, match=r"running the graph took \d+ MiB, board x86-64-avx2 has 32 MiB"):
        pipeline.build(small, tmp_path, now=NOW, log=lambda _: None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_is_too_slow_for_its_own_board_is_kept_as_not_proven(site: Path, siglip: Path, tmp_path: Path) -> None:
    """The work of a build is not thrown away: the bundle says why it is not proven, and the daemon runs it only where the site allows it."""
    job = job_for(site, siglip.name, 'quantization = { schemes = ["float32"], threads = [1] }')
    here = {"match": {}, "isa_required": (), "cores": 1, "threads": (1,), "memory_mib": machine_facts().memory_mib}
    board = Device.model_validate(job.board.model_dump() | here)
    late = replace(job, board=board, recipe=job.recipe.model_copy(update={"budget_ms": 0.001}))
    bundle = open_bundle(pipeline.build(late, tmp_path, now=NOW, log=lambda _: None))
    assert bundle.manifest.proof.proven_on_target
    assert "the budget is 0.001 ms" in bundle.manifest.proof.doubts[0]
    assert "NOT PROVEN: picture to scores took" in (bundle.path / "report.md").read_text()
    allowed = Site.model_validate({"bundle": str(bundle.path), "cameras": [{"id": "cam"}], "node": {"id": "n"}})
    with pytest.raises(ProofFailed, match="kept but not proven"):
        make_plan(allowed, bundle)
    runtime = allowed.runtime.model_copy(update={"allow_unproven": True})
    assert make_plan(allowed.model_copy(update={"runtime": runtime}), bundle).bundle is bundle


def test_weak_faults_are_named(words_bundle: Path) -> None:
    """Below an AUROC of 0.6, or when nothing was flagged, on 20 test pictures at least; on fewer only the numbers are told."""
    known = open_bundle(words_bundle).manifest.faults[0]
    assert known.calibration is not None

    def judged(area: float | None, detected: float | None, pictures: int = 20) -> list[str]:
        evidence = known.calibration.model_copy(update={"auroc": area, "detection_measured": detected})  # type: ignore[union-attr] # asserted above
        evidence = evidence.model_copy(update={"fault_images": pictures})
        fault = known.model_copy(update={"calibration": evidence})
        return [*weak_notes([fault]), *few_notes([fault])]

    assert judged(0.9, 0.4) == judged(None, None) == []
    assert "AUROC 0.398" in judged(0.398, 0.2)[0]
    assert "not one of its test pictures" in judged(0.9, 0.0)[0]
    assert "AUROC" not in judged(0.9, 0.0)[0]
    few = judged(0.398, 0.0, pictures=19)
    assert len(few) == 1
    assert "TOO FEW" in few[0]
    assert "(19, AUROC 0.398)" in few[0]
