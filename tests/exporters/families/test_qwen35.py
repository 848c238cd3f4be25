"""Qwen3.5: what is peculiar to the family; what it shares with the others is in `test_every_family`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from transformers import Qwen3_5MoeConfig, Qwen3_5MoeForConditionalGeneration

from edge.errors import ConfigError, ExportError
from exporters.device import load_device
from exporters.families.qwen35 import FAMILY, MIXTURE
from exporters.model import INT4, Checkpoint
from exporters.onepass.assembly import stream
from exporters.onepass.check import compare, require_exact
from exporters.onepass.experts import Mixture
from exporters.onepass.module import OnePass
from exporters.recipe import Quantization, Recipe
from tests.exporters.conftest import BOARD
from tests.stand import onepass_check as check
from tests.stand.family_cases import Cases


@pytest.fixture
def case(cases: Cases) -> check.Case:
    """A tiny Qwen3.5 with the reference's answers."""
    return cases("qwen35")


def test_a_tree_is_refused(case: check.Case) -> None:
    """A recurrent layer cannot be masked: the tree form is refused with the forms that there are."""
    with pytest.raises(ExportError, match="it has: prefix"):
        case.model.one_pass(case.prompts, "tree")


def test_exchanged_experts_are_caught(cases: Cases) -> None:
    """The mixture: two experts that change places in the graph alone make it another model, and the check says so."""
    moe = cases("qwen35_moe")
    graph = moe.model.one_pass(moe.prompts, "prefix")
    assert isinstance(graph, OnePass)
    mixture = graph.layers[0].mlp
    assert isinstance(mixture, Mixture)
    mixture.down = torch.nn.Parameter(mixture.down.roll(1, dims=0))
    with pytest.raises(ExportError, match="not the checkpoint"):
        require_exact(check.in_torch(moe, graph), moe.reference)


@pytest.mark.whole
def test_a_mixture_is_streamed_in_float32_and_int8(cases: Cases, tmp_path: Path) -> None:
    """Experts that lie one by one in the files become one tensor each; int8 writes a byte a weight and keeps the verdicts."""
    moe = cases("qwen35_moe")
    family, checkpoint = moe.model.family, moe.model.checkpoint
    assert any(".experts.5.up_proj.weight" in name for name in checkpoint.shapes)
    whole = stream(family, checkpoint, moe.prompts, tmp_path / "whole.onnx")
    some = moe.frames[:8]
    require_exact(check.run(whole.graph, some), moe.reference[:8])
    small = stream(family, checkpoint, moe.prompts, tmp_path / "int8.onnx", scheme="dynamic-int8")
    found = compare(check.run(small.graph, some), moe.reference[:8])
    assert 1e-4 < found.mean_abs < 0.2
    assert small.bytes < 0.75 * whole.bytes


def test_another_gate_is_refused(cases: Cases) -> None:
    """Experts that are not gated by SiLU would be computed wrongly."""
    checkpoint = cases("qwen35_moe").model.checkpoint
    config = {**checkpoint.config, "text_config": {**checkpoint.config["text_config"], "hidden_act": "gelu"}}
    with pytest.raises(ExportError, match="gated by gelu, the graph knows silu only"):
        MIXTURE.check(replace(checkpoint, config=config))


def test_four_bits_are_not_offered_for_a_mixture() -> None:
    """The dense checkpoint has that scheme on the same board, the mixture has not."""
    _, board = load_device(BOARD)
    assert INT4 in FAMILY.schemes(board, streamed=True)
    assert MIXTURE.schemes(board, streamed=True) == ("dynamic-int8",)
    recipe = Recipe.model_validate(
        {
            "name": "x", "checkpoint": "x", "faults": [{"id": "a", "title": "A", "words": ["a"]}],
            "quantization": {"schemes": [INT4]},
        }
    )  # fmt: skip
    with pytest.raises(ConfigError, match="decoder-int4 has no form for a mixture of experts"):
        MIXTURE.asked(recipe)
    eight = recipe.model_copy(update={"quantization": Quantization(schemes=("dynamic-int8",))})
    assert MIXTURE.asked(eight).name == MIXTURE.name


@pytest.mark.slow
def test_the_published_size_is_planned() -> None:
    """35B-A3B from its shapes alone: all experts are in the file, and a token's work is that of the eight that it chooses."""
    with init_empty_weights():
        config = Qwen3_5MoeConfig(vision_config={"out_hidden_size": 2048})
        model = Qwen3_5MoeForConditionalGeneration(config)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    document = json.loads(config.to_json_string(use_diff=False))
    checkpoint = Checkpoint(Path("Qwen3.5-35B-A3B"), document, {}, shapes, 0)
    assert 34e9 < checkpoint.parameters < 36e9
    geometry, plan = MIXTURE.geometry(checkpoint, 8), MIXTURE.stream_plan(checkpoint, "dynamic-int8")
    assert 33e9 < geometry.matmul_parameters < checkpoint.parameters
    assert 31 * 2**30 < plan.output_bytes < 33 * 2**30
    tokens = 196 + 24 + 8 * 14
    assert 2 * 2.5e9 * tokens < geometry.flop < 2 * 4e9 * tokens + 2e12
    one_by_one = {
        f"{name.removesuffix('.gate_up_proj').removesuffix('.down_proj')}.{expert}.{part}.weight": shape
        for name, (count, rows, columns) in ((n, s) for n, s in shapes.items() if ".experts." in n)
        for expert in range(count)
        for part, shape in (
            (("gate_proj", (rows // 2, columns)), ("up_proj", (rows // 2, columns)))
            if name.endswith("gate_up_proj")
            else (("down_proj", (rows, columns)),)
        )
    }
    apart = {name: shape for name, shape in shapes.items() if ".experts." not in name} | one_by_one
    assert MIXTURE.stream_plan(replace(checkpoint, shapes=apart), "dynamic-int8") == plan
