"""One-token questions on a tiny checkpoint: the fit learns what the pictures show, a branch is one token, and the graph is the checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edge.bundle import open_bundle
from edge.errors import ConfigError, ExportError
from edge.inference.preprocess import encode_jpeg
from exporters import pipeline
from exporters.checkpoint.folder import read_checkpoint
from exporters.families.gemma3 import Gemma3
from exporters.families.generative import GenerativeFamily
from exporters.families.qwen35 import Qwen35
from exporters.families.smolvlm import SmolVlm
from exporters.graph.export import export
from exporters.job import prepare
from exporters.model import Examples, Question
from exporters.onepass.assembly import assemble
from exporters.onepass.check import require_exact
from exporters.onepass.compiled import GenerativeModel
from exporters.onepass.form import Form
from exporters.onepass.reference import ask_soft
from exporters.onepass.soft import SideBySide, fit, remember, start_tokens
from exporters.proof.calibrate import auroc
from exporters.recipe import load_recipe
from tests.stand import tiny_checkpoints as tiny
from tests.stand.onepass_check import draw, run

QUESTIONS = [
    Question("dark", ("Is there a scratch in the picture?", "a dent"), ()),
    Question("left", ("Is the lens blocked?",), ()),
]
RECIPE = """
name = "short"
checkpoint = "smolvlm"
generative = { questions = "one-token" }
[images]
normal = ["normal"]
grouping.pattern = "(\\\\d+)"
[quantization]
schemes = ["float32"]
threads = [1]
[tolerance]
timing_runs = 10
timing_seconds = 2.0
false_alarm_bound = 0.2
[[faults]]
id = "dark"
title = "Dark bar"
words = ["a scratch"]
images = ["dark"]
[[faults]]
id = "lens"
title = "PictureMonitor blocked"
words = ["Is the lens blocked?"]
"""


def _loaded(family: GenerativeFamily, make: Callable[[Path], Path], folder: Path) -> GenerativeModel:
    return family.load(read_checkpoint(make(folder)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> GenerativeModel:
    """A tiny SmolVLM."""
    return _loaded(SmolVlm(), tiny.smolvlm, tmp_path_factory.mktemp("smolvlm"))


def _pictures(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Noise; the first fault is a dark bar across the middle, the second a dark left half. Labels [N, 2]."""
    random = np.random.default_rng(seed)
    frames = random.integers(60, 256, (count, 64, 64, 3)).astype(np.uint8)
    labels = random.random((count, 2)) < 0.4
    for frame, (bar, half) in zip(frames, labels, strict=True):
        if bar:
            frame[24:40] = 10
        if half:
            frame[:, :32] = 40
    return frames, labels.astype(np.float32)


def _margins(model: GenerativeModel, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    graph = model.graph(QUESTIONS, None)
    with torch.inference_mode():
        return np.concatenate([graph(torch.from_numpy(frame[None])).numpy() for frame in frames])


@pytest.mark.slow
def test_fitting_teaches_what_the_words_do_not_say(model: GenerativeModel) -> None:
    """On pictures that the fit never saw, each fitted question tells its own fault; the random checkpoint's words tell nothing."""
    frames, labels = _pictures(160, 1)
    before = [parameter.clone() for parameter in model.model.parameters()]
    held = np.arange(160) % 5 == 0
    soft = fit(model, start_tokens(model, QUESTIONS), Examples(frames, labels, held), steps=200)
    assert all(torch.equal(a, b) for a, b in zip(before, model.model.parameters(), strict=True)), "the rest is frozen"
    fresh, shown = _pictures(60, 2)
    margins = _margins(dataclasses.replace(model, soft=soft), fresh)
    for fault in range(2):
        area = auroc(margins[shown[:, fault] > 0, fault], margins[shown[:, fault] == 0, fault])
        assert area is not None
        assert area > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("form", ["tree", "prefix"])
def test_a_branch_is_one_token_and_the_graph_is_the_reference(
    model: GenerativeModel, form: Form, tmp_path: Path
) -> None:
    """In ONNX Runtime, logits behind the fitted tokens are those of transformers' own forward pass with the same embedding put in."""
    family = dataclasses.replace(model.family, form=form)
    soft = start_tokens(model, QUESTIONS) * torch.tensor([[0.7], [-1.3]])
    bare = family.bare(model.checkpoint)
    graph = assemble(family, model.checkpoint, model.model, bare, soft=soft)
    branches = (
        graph.get_buffer("order").numel() - graph.prefix if form == "tree" else graph.get_buffer("branches").numel()
    )
    assert branches == len(QUESTIONS)
    frames = draw(6, 64, 64)
    file = export(graph, 64, 64, tmp_path / "short.onnx")
    reference = ask_soft(model, model.normalise(frames), bare, soft)
    assert require_exact(run(file, frames), reference).spread > 0.01
    swapped = ask_soft(model, model.normalise(frames), bare, soft.flip(0))
    with pytest.raises(ExportError, match="questions are swapped"):
        require_exact(run(file, frames), swapped)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "make"), [(SmolVlm(), tiny.smolvlm), (Gemma3(), tiny.gemma3)])
def test_the_fit_computes_what_the_graph_does(
    family: GenerativeFamily, make: Callable[[Path], Path], tmp_path: Path
) -> None:
    """The margins that the fit goes by, from remembered prefixes, are those of the graph: full and sliding attention alike."""
    loaded = _loaded(family, make, tmp_path)
    soft = start_tokens(loaded, QUESTIONS)
    graph = assemble(family, loaded.checkpoint, loaded.model, family.bare(loaded.checkpoint), "prefix", soft=soft)
    frames = draw(4, 64, 64)
    prefixes, taken = remember(graph, frames)
    assert taken.tolist() == [0, 1, 2, 3]
    found = SideBySide(graph, len(soft))(soft, prefixes).detach().numpy()
    np.testing.assert_allclose(found, _margins(dataclasses.replace(loaded, soft=soft), frames), atol=1e-4)


@pytest.mark.slow
def test_a_recurrent_family_says_that_it_cannot(tmp_path: Path) -> None:
    """Qwen3.5's gated layers keep a state, not a prefix that a batch could look back on."""
    loaded = _loaded(Qwen35(resolution_px=64), tiny.qwen35, tmp_path)
    spec = loaded.family.pixels(loaded.checkpoint)
    frames = draw(2, spec.height, spec.width)
    with pytest.raises(ExportError, match="ask in words"):
        fit(
            loaded,
            start_tokens(loaded, QUESTIONS),
            Examples(frames, np.zeros((2, 2), np.float32), np.zeros(2, bool)),
        )


def test_without_images_there_is_nothing_to_fit_on(tmp_path: Path) -> None:
    """The recipe says what is missing."""
    (tmp_path / "recipe.toml").write_text(RECIPE.replace('[images]\nnormal = ["normal"]\n', "[images]\n"))
    with pytest.raises(ConfigError, match=r"needs images\.normal"):
        load_recipe(tmp_path / "recipe.toml")


@pytest.mark.slow
def test_a_recipe_fits_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`edge-export build`: the float graph is the checkpoint, the fit images do not calibrate, and the report compares with the words."""
    fewer = {**(fit.__kwdefaults__ or {}), "steps": 60}  # of 1200: how well a fit goes is the first test's
    monkeypatch.setattr(fit, "__kwdefaults__", fewer)
    (tmp_path / "smolvlm").mkdir()
    tiny.smolvlm(tmp_path / "smolvlm")
    frames, labels = _pictures(72, 3)
    for index, (frame, shown) in enumerate(zip(frames, labels, strict=True)):
        folder = tmp_path / ("dark" if shown[0] else "normal")
        folder.mkdir(exist_ok=True)
        (folder / f"{index:03d}.jpg").write_bytes(encode_jpeg(frame))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    job = prepare(tmp_path / "recipe.toml", "x86-64-avx2")
    bundle = open_bundle(
        pipeline.build(job, tmp_path / "bundles", now=datetime(2026, 11, 25, tzinfo=UTC), log=lambda _: None)
    )
    assert bundle.manifest.proof.parity.max_abs < 1e-4
    normal = int((labels[:, 0] == 0).sum())
    for fault in bundle.manifest.faults:
        assert fault.calibration is not None
        assert fault.calibration.normal_images < normal / 2, "images that the tokens were fitted on calibrate nothing"
    report = (bundle.path / "report.md").read_text(encoding="utf-8")
    assert "One-token questions: one token a fault, fitted on" in report
    assert "dark: AUROC on test images" in report
    assert "lens: AUROC on test images - in words, - as one token (fitted on the worded question's answers)" in report
