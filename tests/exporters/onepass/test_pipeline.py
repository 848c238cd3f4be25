"""A generative checkpoint through the whole toolchain: the same recipe, the same bundle, the daemon's own engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge.bundle import open_bundle
from edge.errors import ConfigError, ExportError
from edge.inference.engine import Engine
from exporters import pipeline
from exporters.checkpoint.folder import read_checkpoint
from exporters.families.registry import FAMILIES
from exporters.families.smolvlm import SmolVlm
from exporters.job import prepare
from exporters.load import inspect
from exporters.model import Question
from exporters.onepass.compiled import GenerativeModel
from exporters.onepass.plan import plan_stream
from exporters.plan import plan_build
from exporters.proof import float_check
from tests.exporters.conftest import NOW
from tests.stand import tiny_checkpoints as tiny
from tests.stand.onepass_check import draw

RECIPE = """
name = "asked"
checkpoint = "smolvlm"
[quantization]
schemes = ["float32", "dynamic-int8"]
threads = [1]
[tolerance]
timing_runs = 10
timing_seconds = 2.0
flips_share = 0.2
[[faults]]
id = "scratch"
title = "Scratch"
words = ["a scratch", "Is there a crack on the part?"]
[[faults]]
id = "lens"
title = "PictureMonitor blocked"
words = ["Is the lens blocked?"]
"""


@pytest.mark.slow
def test_a_recipe_with_a_generative_checkpoint_becomes_a_bundle(tmp_path: Path) -> None:
    """Plan without weights, build, open, load, run: nothing but the family's name tells it from a dual encoder."""
    (tmp_path / "smolvlm").mkdir()
    tiny.smolvlm(tmp_path / "smolvlm")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    job = prepare(tmp_path / "recipe.toml", "x86-64-avx2")
    assert job.geometry.flop > 1e6
    assert any("float32" in line for line in plan_build(job).lines())
    bundle = open_bundle(
        pipeline.build(job, tmp_path / "out", now=datetime(2026, 11, 23, tzinfo=UTC), log=lambda _: None)
    )
    manifest = bundle.manifest
    assert manifest.source.family == "smolvlm"
    assert [fault.id for fault in manifest.faults] == ["scratch", "lens"]
    floats = next(one for one in manifest.proof.candidates if one.scheme == "float32")
    assert floats.parity.max_abs < 1e-4
    assert floats.parity.flips == 0
    assert "Form of the questions: " in (bundle.path / "report.md").read_text(), "both forms were timed"
    engine = Engine.load(
        bundle.graph, manifest.execution, input_name=manifest.frame_input.name, output_name=manifest.frame_output
    )
    assert engine.run(np.zeros((1, 64, 64, 3), np.uint8)).shape == (2,)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (tiny.smolvlm, "smolvlm"), (tiny.gemma3, "gemma3"), (tiny.qwen3_vl, "qwen3-vl"), (tiny.qwen35, "qwen3-5"), (tiny.mistral3, "mistral3"),
    ],
)  # fmt: skip
def test_the_toolchain_knows_the_family(make: Callable[[Path], Path], name: str, tmp_path: Path) -> None:
    """Each family's public layout is recognised from its files, by exactly one family, and its size estimated from headers alone."""
    checkpoint, family = inspect(make(tmp_path))
    assert family.name == name
    assert [one.name for one in FAMILIES if one.matches(checkpoint)] == [name]
    geometry = family.geometry(checkpoint, 8)
    assert 0 < geometry.matmul_parameters < checkpoint.parameters
    assert geometry.flop > family.geometry(checkpoint, 1).flop


def test_the_recipe_sets_resolution_and_form(tmp_path: Path) -> None:
    """[generative] reaches the family: a quarter of the pixels, another form, and a smaller estimate."""
    (tmp_path / "smolvlm").mkdir()
    tiny.smolvlm(tmp_path / "smolvlm")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    whole = prepare(tmp_path / "recipe.toml", "x86-64-avx2")
    (tmp_path / "small.toml").write_text(
        RECIPE.replace("[quant", '[generative]\nresolution_px = 32\nform = "prefix"\n[quant')
    )
    small = prepare(tmp_path / "small.toml", "x86-64-avx2")
    assert (small.pixels.width, whole.pixels.width) == (32, 64)
    assert isinstance(small.family, SmolVlm)
    assert small.family.form == "prefix"
    assert small.geometry.flop < whole.geometry.flop
    fitted = RECIPE.replace("[quant", '[head]\nkind = "fitted"\n[images]\nnormal = ["pictures"]\n[quant')
    (tmp_path / "fitted.toml").write_text(fitted)
    with pytest.raises(ConfigError, match="needs a dual encoder"):
        prepare(tmp_path / "fitted.toml", "x86-64-avx2")


def test_a_dual_encoder_refuses_the_section(siglip: Path, tmp_path: Path) -> None:
    """[generative] for a checkpoint that is not is an error, not ignored."""
    recipe = RECIPE.replace('"smolvlm"', f'"{siglip}"').replace("[quant", "[generative]\nresolution_px = 32\n[quant")
    (tmp_path / "recipe.toml").write_text(recipe)
    with pytest.raises(ConfigError, match="remove the section"):
        prepare(tmp_path / "recipe.toml", "x86-64-avx2")


@pytest.mark.slow
def test_a_checkpoint_that_stays_on_disk_becomes_the_same_bundle(tmp_path: Path) -> None:
    """Streamed: transformers answers with offloaded layers, int8 and a 4-bit decoder are written tensor by tensor, timed, and one is chosen.

    The float32 graph is written for the comparison alone: it is the checkpoint, and its difference is in the report.
    """
    job = prepare(_streamed(tmp_path, '["dynamic-int8", "decoder-int4"]'), "x86-64-avx2")
    assert job.streamed
    said: list[str] = []
    bundle = open_bundle(pipeline.build(job, tmp_path / "out", now=datetime(2026, 11, 23, tzinfo=UTC), log=said.append))
    manifest = bundle.manifest
    found = {one.scheme: one.parity for one in manifest.proof.candidates}
    assert set(found) == {"dynamic-int8", "decoder-int4"}
    report = (bundle.path / "report.md").read_text()
    assert "The float32 graph, not packed, is the checkpoint: on 4 images" in report
    assert found["dynamic-int8"].mean_abs < found["decoder-int4"].mean_abs
    assert any(entry.path == "model.onnx.data" for entry in manifest.files)
    assert sum("tensor by tensor" in line for line in said) == 2
    engine = Engine.load(
        bundle.graph, manifest.execution, input_name=manifest.frame_input.name, output_name=manifest.frame_output
    )
    assert engine.run(np.zeros((1, 64, 64, 3), np.uint8)).shape == (2,)


def test_a_plan_says_that_weights_stay_on_disk(tmp_path: Path) -> None:
    """What does not fit into memory or one file is streamed without being asked: the plan says so, needs less memory, and tries 4 bits too."""
    (tmp_path / "smolvlm").mkdir()
    tiny.smolvlm(tmp_path / "smolvlm")
    (tmp_path / "recipe.toml").write_text(RECIPE.replace('schemes = ["float32", "dynamic-int8"]\n', ""))
    small = prepare(tmp_path / "recipe.toml", "x86-64-avx2")
    assert not small.streamed
    assert small.schemes == ("float32", "dynamic-int8", "static-int8", "decoder-int4")
    wide = {
        name: (shape[0] * 200, shape[1] * 200) if len(shape) == 2 else shape
        for name, shape in small.checkpoint.shapes.items()
    }
    checkpoint = dataclasses.replace(small.checkpoint, shapes=wide)
    geometry = small.family.geometry(checkpoint, 2)
    large = dataclasses.replace(small, checkpoint=checkpoint, geometry=geometry)
    assert large.streamed
    assert large.schemes == ("dynamic-int8", "decoder-int4")
    planned = plan_build(large)
    assert any("tensor by tensor" in line for line in planned.steps)
    assert planned.export_memory_mib * 2**20 < geometry.matmul_parameters * 4
    assert planned.peak_memory_mib > planned.export_memory_mib, "what was written is run, too"
    sizes = {option.scheme: option.size_bytes for option in planned.options}
    assert 0.5 < sizes["decoder-int4"] / sizes["dynamic-int8"] < 1


@pytest.mark.slow
def test_a_checkpoint_with_loud_attention_is_masked_deeper(tmp_path: Path) -> None:
    """Where attention scores outweigh the quick mask, the toolchain takes the deep one, whose graph is the checkpoint; else it stays quick."""
    family = SmolVlm()
    model = family.load(read_checkpoint(tiny.smolvlm(tmp_path)))
    asked = [Question("a", ("a scratch", "a dent"), ()), Question("b", ("Is the lens blocked?",), ())]
    frames = draw(4, 64, 64)
    assert model.masked(asked, frames) is model
    with torch.no_grad():
        for layer in model.model.model.text_model.layers:
            layer.self_attn.q_proj.weight.mul_(60.0)
    deep = model.masked(asked, frames)
    assert deep.family.hidden
    reference = model.reference(model.normalise(frames), asked, None)
    with torch.inference_mode():
        quick, sure = (
            np.concatenate([one.graph(asked, None)(torch.from_numpy(frame[None])).numpy() for frame in frames])
            for one in (model, deep)
        )
    assert np.abs(quick - reference).max() > 1e-2, "the quick mask is wrong here, so the choice matters"
    assert np.abs(sure - reference).max() < 1e-3


def _streamed(folder: Path, schemes: str) -> Path:
    """A recipe for a tiny SmolVLM that stays on disk."""
    (folder / "smolvlm").mkdir()
    tiny.smolvlm(folder / "smolvlm")
    recipe = RECIPE.replace("[quant", "[generative]\nstream = true\n[quant").replace(
        "flips_share = 0.2", "flips_share = 1.0"
    )
    (folder / "recipe.toml").write_text(recipe.replace('["float32", "dynamic-int8"]', schemes))
    return folder / "recipe.toml"


def test_what_cannot_be_streamed_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    """static-int8 and speech need the checkpoint in memory: asked for, they are an error; as a board's default static-int8 is left out."""
    recipe = _streamed(tmp_path, '["static-int8"]')
    with pytest.raises(ConfigError, match=r"static-int8 needs the checkpoint in memory.*generative\.stream = false"):
        prepare(recipe, "x86-64-avx2")
    recipe.write_text(recipe.read_text().replace('schemes = ["static-int8"]\n', ""))
    assert prepare(recipe, "x86-64-avx2").schemes == ("dynamic-int8", "decoder-int4")
    assert prepare(recipe, "intel-n100").schemes == ("float32", "dynamic-int8")
    recipe.write_text(recipe.read_text() + "[explain]\nspeak = true\n")
    with pytest.raises(ConfigError, match="one-token questions and speech need the checkpoint in memory"):
        prepare(recipe, "x86-64-avx2")


@pytest.mark.slow
def test_a_wrong_streamed_graph_is_refused_in_float32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though only int8 is packed: one with its questions swapped is refused. The right one is in the test above."""
    job = prepare(_streamed(tmp_path, '["dynamic-int8"]'), "x86-64-avx2")
    real = GenerativeModel.stream

    def swapped(self: GenerativeModel, questions: Sequence[Question], *rest: Any) -> Path:
        return real(self, list(reversed(questions)), *rest)

    monkeypatch.setattr(GenerativeModel, "stream", swapped)
    with pytest.raises(ExportError, match=r"not the checkpoint.*rows are swapped"):
        pipeline.build(job, tmp_path / "out", now=NOW, log=lambda _: None)


@pytest.mark.slow
def test_a_comparison_that_does_not_fit_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither memory nor disk is overrun for it; plan warns, and what the report would say names the reason."""
    need = plan_stream({"model.text_model.layers.0.up.weight": (30_000, 30_000)}, "float32")
    assert float_check.lacking(need, 24_000, 1e12) is None
    assert "over half of this machine's 6000 MiB" in str(float_check.lacking(need, 6000, 1e12))
    assert "MiB are free" in str(float_check.lacking(need, 24_000, 1e9))
    assert "tolerance.flips_share alone" in float_check.unchecked("why")
    job = prepare(_streamed(tmp_path, '["dynamic-int8"]'), "x86-64-avx2")
    allowed = plan_build(job)
    assert not any("not be compared" in warning for warning in allowed.warnings)
    monkeypatch.setattr(float_check, "MEMORY_SHARE", 0.0)
    refused = plan_build(job)
    assert any("not be compared" in warning for warning in refused.warnings)
    assert refused.seconds < allowed.seconds
    assert float_check.notes(
        job, lambda path: path, tmp_path, frames=np.zeros((1, 64, 64, 3), np.uint8), reference=np.zeros((1, 2), np.float32), log=print
    )[0].startswith("The float32 graph is not compared")  # fmt: skip
