"""A head in folds: no group is judged for the threshold by a member that saw it, and the graph says the members' mean."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.bundle import Bundle, open_bundle
from edge.inference.engine import Engine
from edge.inference.preprocess import Preprocessor
from exporters import pipeline
from exporters.fit import crossfit, head
from exporters.pictures.images import synthetic_frames
from exporters.proof import calibrate
from exporters.recipe import Head
from tests.exporters.conftest import NOW, job_for

FOLDS = 3
SIDE = 4
EXTRA = """
head = { kind = "fitted", epochs = 12, hidden = 16, folds = 3 }
quantization = { schemes = ["float32", "static-int8"], threads = [1] }
"""


def _pictures(count: int = 18) -> crossfit.Pictures:
    """Features whose first number is the picture's own index, so that what a member saw can be told."""
    random = np.random.default_rng(0)
    layer = torch.from_numpy(random.normal(0, 1, (count, SIDE * SIDE, 8)).astype(np.float32))
    labels = np.zeros((count, 1), np.bool_)
    labels[::3] = True
    layer[::3, 5] += 6
    views: list[list[Tensor]] = [[torch.arange(count).float()[:, None].repeat(1, 5), layer] for _ in head.FLIPS]
    return crossfit.Pictures(views, synthetic_frames(count, 32, 32, 1), labels, None, np.arange(count) // 2 % FOLDS)


@pytest.fixture(scope="module")
def bundle(site: Path, siglip: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose head has three members."""
    job = job_for(site, siglip.name, EXTRA)
    return open_bundle(pipeline.build(job, tmp_path_factory.mktemp("folds"), now=NOW, log=lambda _: None))


@pytest.fixture(scope="module")
def rows(bundle: Bundle) -> list[dict[str, str]]:
    """images.csv of that bundle."""
    with (bundle.path / "images.csv").open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.slow
def test_no_member_sees_its_own_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Member f is fitted on the pictures of all folds but f, each with a seed of its own."""
    pictures, seen, seeds = _pictures(), [], []
    real = head.fit

    def spied(views: list[list[Tensor]], *rest: object, **named: object) -> object:
        seen.append({int(index) for index in views[0][0][:, 0]})
        seeds.append(rest[3].seed)  # type: ignore[attr-defined] # the head section
        return real(views, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(head, "fit", spied)
    crossfit.fit(pictures, Head(kind="fitted", layers=(1.0,), epochs=1, folds=FOLDS), half=False, log=lambda _: None)
    assert seen == [set(np.flatnonzero(pictures.folds != fold)) for fold in range(FOLDS)]
    assert len(set(seeds)) == FOLDS


@pytest.mark.slow
def test_ensembles_measure_in_one_unit_of_pictures_that_they_never_saw() -> None:
    """With networks over pixels the unit is the spread over normal pictures, each judged by its own fold's member."""
    pictures = _pictures()
    rule = Head(kind="fitted", layers=(1.0,), epochs=1, hidden=4, grain=1, grain_epochs=1, folds=FOLDS)
    members = crossfit.fit(pictures, rule, half=False, log=lambda _: None)
    ensembles = [one for one in members.heads if isinstance(one, head.Ensemble)]
    assert len(ensembles) == FOLDS
    found = []
    for fold, ensemble in enumerate(ensembles):
        own = pictures.only((pictures.folds == fold) & ~pictures.labels[:, 0])
        found.append(ensemble.outputs_of(own.views[0], own.frames))
        assert torch.equal(ensemble.mean, ensembles[0].mean)
    assert torch.allclose(ensembles[0].mean, torch.cat(found, dim=1).mean(dim=1), atol=1e-5)


@pytest.mark.slow
def test_the_graph_says_the_mean_of_its_members(bundle: Bundle, rows: list[dict[str, str]]) -> None:
    """In units of evidence, on pictures of every part."""
    manifest = bundle.manifest
    stage = Preprocessor(manifest.frame_input)
    whole, each = (
        Engine.load(bundle.graph, manifest.execution, input_name="frame", output_name=name)
        for name in ("scores", "members")
    )
    for golden in manifest.proof.golden:
        frame = stage.prepare((bundle.path / golden.file).read_bytes())
        members = each.run(frame).reshape(FOLDS, -1)
        assert np.ptp(members[:, 0]) > 0, "the members differ"
        assert _logit(whole.run(frame)) == pytest.approx(_logit(members).mean(axis=0), abs=0.02)
    assert {row["fold"] for row in rows if row["part"] != "test"} == {"0", "1", "2"}


def test_thresholds_can_be_made_again_from_the_list(bundle: Bundle, rows: list[dict[str, str]]) -> None:
    """Every normal picture that is not tested calibrates, with the score that images.csv shows: the member's that never saw it."""
    crack = bundle.manifest.faults[0]
    mine = [row for row in rows if row["part"] != "test" and not row["faults"]]
    scores = np.array([float(row["crack"]) for row in mine], np.float32)
    assert calibrate.conformal_threshold(scores, 0.05) == pytest.approx(crack.threshold, abs=1e-4)
    assert crack.calibration is not None
    assert crack.calibration.normal_images == len(mine)
    groups = len({row["group"] for row in mine})
    ending = f"{groups} groups, each scored by the one of 3 members that never saw its group"
    assert crack.calibration.method.endswith(ending)
    assert f"{len(mine)} normal images of {groups} groups" in (bundle.path / "report.md").read_text()


def test_folds_keep_groups_whole_and_out_of_the_test_part(rows: list[dict[str, str]]) -> None:
    """Each group has one fold; tested pictures have none, so the mean of all members judges them."""
    placed: dict[str, set[str]] = {}
    for row in rows:
        placed.setdefault(row["group"], set()).add(row["fold"])
        assert (row["fold"] == "") == (row["part"] == "test")
    assert all(len(found) == 1 for found in placed.values())


def test_what_a_head_in_folds_learned_holds_on_unseen_groups(bundle: Bundle) -> None:
    """It tells unseen groups apart, and stays the checkpoint's own in float32."""
    found = bundle.manifest.faults[0].calibration
    assert found is not None
    assert found.auroc is not None
    assert found.auroc > 0.95
    floats = next(one for one in bundle.manifest.proof.candidates if one.scheme == "float32")
    assert floats.parity.max_abs < 1e-4


def _logit(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = scores.astype(np.float64)
    found: NDArray[np.float64] = np.log(exact / (1 - exact))
    return found
