"""Tiny checkpoints of every family, a site's pictures, and bundles built from them, each made once per test run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch

from edge.inference.preprocess import encode_jpeg
from exporters import pipeline
from exporters.job import Job, prepare
from exporters.pictures.images import synthetic_frames
from exporters.proof import candidates
from tests.stand.checkpoints import make_checkpoint
from tests.stand.family_cases import cases
from tests.stand.once import once
from tests.stand.untraced import untraced

__all__ = ["cases"]  # a fixture for every folder below

BOARD = "x86-64-avx2"
NOW = datetime(2026, 11, 23, tzinfo=UTC)
NORMAL, FAULTY = 90, 24
RECIPE = """
name = "toy"
checkpoint = "../{kind}"
normal_words = ["a smooth surface", "a normal part"]
{extra}
[images]
normal = ["normal"]
grouping.pattern = "_(\\\\d+)_"
[tolerance]
timing_runs = 12
timing_seconds = 3.0
false_alarm_bound = 0.05
[[faults]]
id = "crack"
title = "Crack"
words = ["a crack", "a cracked part"]
images = ["crack/*.jpg"]
[[faults]]
id = "dent"
title = "Dent"
words = ["a dent", "a deep dent"]
"""


@pytest.fixture(scope="session", autouse=True)
def _no_pause() -> Iterator[None]:
    """A build that finds the machine busy measures again at once: the suite's other workers will not be done in 20 s."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidates, "PAUSE_S", 0.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _quiet_exporter() -> Iterator[None]:
    """Coverage is of our code: torch's exporter is not watched. What it traces runs in other tests as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", untraced(torch.onnx.export))
        yield


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for checkpoints and sites."""
    return tmp_path_factory.mktemp("workshop")


@pytest.fixture(scope="session")
def siglip(workshop: Path) -> Path:
    """A tiny SigLIP checkpoint."""
    return make_checkpoint("siglip", workshop / "siglip")


@pytest.fixture
def copy(siglip: Path, tmp_path: Path) -> Path:
    """A SigLIP checkpoint to change."""
    return shutil.copytree(siglip, tmp_path / "copy")


@pytest.fixture(scope="session")
def siglip2(workshop: Path) -> Path:
    """A tiny SigLIP 2 (NaFlex) checkpoint."""
    return make_checkpoint("siglip2", workshop / "siglip2")


@pytest.fixture(scope="session")
def clip(workshop: Path) -> Path:
    """A tiny CLIP checkpoint."""
    return make_checkpoint("clip", workshop / "clip")


@pytest.fixture(scope="session")
def site(workshop: Path) -> Path:
    """A site's folder: 90 normal pictures in groups of three, 24 with a dark bar."""
    folder = workshop / "site"
    for kind, count, seed in (("normal", NORMAL, 1), ("crack", FAULTY, 2)):
        (folder / kind).mkdir(parents=True)
        frames = synthetic_frames(count, 64, 80, seed)
        if kind == "crack":
            frames[:, 24:36, 8:72] = 0
        for index, frame in enumerate(frames):
            (folder / kind / f"{kind}_{index // 3}_{index}.jpg").write_bytes(encode_jpeg(np.asarray(frame)))
    return folder


def job_for(site: Path, kind: str, extra: str = "") -> Job:
    """A job on the site's pictures with one of the checkpoints; ``extra`` is added to the recipe's top."""
    file = site / f"{kind}-{abs(hash(extra))}.toml"
    file.write_text(RECIPE.format(kind=kind, extra=extra))
    return prepare(file, BOARD)


@pytest.fixture(scope="session")
def words_bundle(site: Path, siglip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of the words alone; tests copy it before they change it."""
    return _built(tmp_path_factory, "words", site, siglip)


@pytest.fixture(scope="session")
def fitted_bundle(site: Path, siglip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a fitted head; tests copy it before they change it."""
    extra = (
        'head = { kind = "fitted", epochs = 12, hidden = 16 }\nquantization = { schemes = ["float32"], threads = [1] }'
    )
    return _built(tmp_path_factory, "fitted", site, siglip, extra)


def _built(factory: pytest.TempPathFactory, name: str, site: Path, checkpoint: Path, extra: str = "") -> Path:
    """A bundle that all workers of this run share."""

    def build(folder: Path) -> None:
        pipeline.build(job_for(site, checkpoint.name, extra), folder, now=NOW, log=lambda _line: None)

    [bundle] = [path.parent for path in once(factory, name, build).glob("*/manifest.json")]
    return bundle
