"""What a build makes of heads: the unnamed channel's share in named ones, the deletion check, and faults without normal pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from edge.assembly import load_engine
from edge.bundle import Bundle, open_bundle
from edge.inference.preprocess import Preprocessor
from exporters import pipeline
from exporters.job import prepare
from tests.exporters.conftest import NOW, RECIPE, job_for

MIXED = """
head = { kind = "fitted", epochs = 4, hidden = 8, folds = 2, unnamed_share = 0.5 }
unnamed = { enabled = true }
quantization = { schemes = ["float32"], threads = [1] }
"""
NAMED_ONLY = (
    'head = { kind = "fitted", epochs = 12, hidden = 8 }\nquantization = { schemes = ["float32"], threads = [1] }'
)


@pytest.fixture(scope="module")
def mixed(site: Path, siglip: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle whose named channels take half of their evidence from the unnamed one."""
    job = job_for(site, siglip.name, MIXED)
    return open_bundle(pipeline.build(job, tmp_path_factory.mktemp("mixed"), now=NOW, log=lambda _: None))


@pytest.mark.slow
def test_a_mixed_bundle_is_what_was_calibrated(mixed: Bundle, site: Path) -> None:
    """The daemon's scores of the test pictures are those of the list, in every channel, and its proof holds."""
    assert [fault.id for fault in mixed.manifest.faults] == ["crack", "dent", "unnamed"]
    assert mixed.manifest.proof.parity.max_abs < 1e-4
    with (mixed.path / "images.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["part"] == "test"]
    stage, engine = Preprocessor(mixed.manifest.frame_input), load_engine(mixed, 1)
    for row in rows:
        said = engine.run(stage.prepare((site / row["picture"]).read_bytes()))
        wanted = [float(row[fault.id]) for fault in mixed.manifest.faults]
        assert np.asarray(said).tolist() == pytest.approx(wanted, abs=2e-4)


@pytest.mark.slow
def test_the_report_says_what_the_deletion_check_found(mixed: Bundle) -> None:
    """One line for the fault that has pictures, none for the one that has not."""
    lines = [line for line in (mixed.path / "report.md").read_text().splitlines() if "deletion check" in line.lower()]
    assert len(lines) == 1
    assert " pictures with crack score lower" in lines[0]


@pytest.mark.slow
def test_faults_without_normal_pictures_are_told_apart_and_not_armed(site: Path, siglip: Path, tmp_path: Path) -> None:
    """The report says why nothing is armed, and the scores name what is shown."""
    text = RECIPE.format(kind=siglip.name, extra=NAMED_ONLY)
    text = text.replace('normal = ["normal"]\n', "").replace(
        '"a deep dent"]', '"a deep dent"]\nimages = ["normal/*.jpg"]'
    )
    file = site / "named-only.toml"
    file.write_text(text)
    bundle = open_bundle(pipeline.build(prepare(file, "x86-64-avx2"), tmp_path, now=NOW, log=lambda _: None))
    assert not any(fault.armed for fault in bundle.manifest.faults)
    assert "no site images are normal" in (bundle.path / "report.md").read_text()
    with (bundle.path / "images.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["part"] == "test"]
    right = [float(row[row["faults"]]) == max(float(row["crack"]), float(row["dent"])) for row in rows]
    assert np.mean(right) > 0.9
