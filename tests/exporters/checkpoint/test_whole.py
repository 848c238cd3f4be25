"""A checkpoint is loaded whole or not at all: no tensor may be missing, of another shape, or hold what is no number - in memory and streamed."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from edge.errors import ConfigError, ExportError
from exporters import load
from exporters.checkpoint.folder import read_checkpoint
from exporters.families.generative import GenerativeFamily
from exporters.onepass.assembly import stream
from exporters.onepass.offload import load_streamed
from tests.stand import damage
from tests.stand import onepass_check as check
from tests.stand.family_cases import FAMILIES, Cases

EXAMPLES = Path(__file__).parents[3] / "examples"
LAYER = "layers.1.mlp.down_proj.weight"
ELSEWHERE = {"qwen35_moe": "layers.1.mlp.shared_expert.down_proj.weight"}  # its other weights of that name are experts'


def _in_memory(folder: Path) -> Any:
    return load.load(*load.inspect(folder))


def _streamed(folder: Path) -> Any:
    checkpoint, family = load.inspect(folder)
    assert isinstance(family, GenerativeFamily)
    return load_streamed(family, checkpoint)


LOADERS = pytest.mark.parametrize("loader", [_in_memory, _streamed], ids=["in-memory", "streamed"])
Loader = Callable[[Path], Any]


def _folder(cases: Cases, name: str) -> Path:
    return cases(name).model.checkpoint.folder


@LOADERS
@pytest.mark.parametrize("name", FAMILIES)
def test_a_tied_head_may_be_left_out(cases: Cases, tmp_path: Path, name: str, loader: Loader) -> None:
    """A head that is the table is in no file; one that is said to be its own must be there."""

    def drop_head(tensors: dict[str, Any]) -> None:
        for tensor in [tensor for tensor in tensors if tensor.endswith("lm_head.weight")]:
            del tensors[tensor]

    folder = damage.tied(damage.copy(_folder(cases, name), tmp_path / "tied", drop_head), tie=True)
    model = loader(folder).model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    with pytest.raises(ExportError, match=r"no tensor for lm_head\.weight"):
        loader(damage.tied(folder, tie=False))


@LOADERS
@pytest.mark.parametrize("name", FAMILIES)
def test_extra_tensors_do_no_harm(cases: Cases, tmp_path: Path, name: str, loader: Loader) -> None:
    """Old buffers and what other tasks need stay in published files."""

    def add(tensors: dict[str, Any]) -> None:
        tensors["mtp.layers.0.mlp.down_proj.weight"] = torch.zeros(48, 96)
        tensors["vision_model.embeddings.position_ids"] = torch.zeros(1, 4, dtype=torch.int64)

    loader(damage.copy(_folder(cases, name), tmp_path / "more", add))


@pytest.mark.parametrize("folder", ["checkpoint/siglip-line-tiny", "generative/smolvlm-line-tiny"])
def test_our_own_checkpoints_are_whole(folder: str) -> None:
    """Both that lie in the repository."""
    _in_memory(EXAMPLES / folder)


def test_our_own_generative_checkpoint_streams() -> None:
    """Its head is tied and in no file."""
    _streamed(EXAMPLES / "generative/smolvlm-line-tiny")


@LOADERS
@pytest.mark.parametrize("name", FAMILIES)
def test_a_missing_tensor_is_named(cases: Cases, tmp_path: Path, name: str, loader: Loader) -> None:
    """The library would fill it with random numbers, and the graph would agree with them."""
    layer = ELSEWHERE.get(name, LAYER)
    folder = damage.copy(_folder(cases, name), tmp_path / "missing", damage.without(layer))
    with pytest.raises(ExportError, match=rf"no tensor for \S*{layer}: its answers would be random"):
        loader(folder)


@LOADERS
def test_a_missing_expert_is_named(cases: Cases, tmp_path: Path, loader: Loader) -> None:
    """One of many that become one tensor: what is left of them does not stand in for it."""
    gone = damage.without("layers.1.mlp.experts.3.up_proj.weight")
    folder = damage.copy(_folder(cases, "qwen35_moe"), tmp_path / "missing", gone)
    with pytest.raises(ExportError, match=r"no tensor for \S*layers\.1\.mlp\.experts\.3\.up_proj\.weight"):
        loader(folder)


def test_a_missing_tensor_of_a_dual_encoder_is_named(siglip: Path, tmp_path: Path) -> None:
    """Four are named, the others counted."""
    gone = damage.without("layers.1.mlp.fc1.weight", "layers.1.mlp.fc2.weight", "layers.1.mlp.fc1.bias")
    folder = damage.copy(siglip, tmp_path / "missing", gone)
    with pytest.raises(
        ExportError, match=r"no tensor for text_model\.encoder\.layers\.1\.mlp\.fc1\.bias, .* and 2 more"
    ):
        _in_memory(folder)


@LOADERS
def test_a_tensor_of_another_shape_is_named(cases: Cases, tmp_path: Path, loader: Loader) -> None:
    """With both shapes."""
    folder = damage.copy(_folder(cases, "smolvlm"), tmp_path / "shape", damage.shortened(LAYER))
    with pytest.raises(ExportError, match=rf"{LAYER} has shape \[24, 96\], its config.json wants \[48, 96\]"):
        loader(folder)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_weight_that_is_no_number_is_named(siglip: Path, tmp_path: Path, value: float) -> None:
    """In memory, when it is loaded."""
    folder = damage.copy(siglip, tmp_path / "poisoned", damage.poisoned("layers.0.mlp.fc1.weight", value))
    with pytest.raises(ExportError, match=r"tensor \S*layers\.0\.mlp\.fc1\.weight holds NaN or infinity"):
        _in_memory(folder)


@pytest.mark.parametrize("ending", [LAYER, "layers.1.input_layernorm.weight"], ids=["large", "small"])
def test_a_streamed_weight_that_is_no_number_is_named(cases: Cases, tmp_path: Path, ending: str) -> None:
    """When it passes on its way into the graph, or before."""
    case = cases("smolvlm")
    folder = damage.copy(case.model.checkpoint.folder, tmp_path / "poisoned", damage.poisoned(ending, math.nan))
    with pytest.raises(ExportError, match=rf"tensor \S*{ending} holds NaN or infinity"):
        stream(case.model.family, read_checkpoint(folder), case.prompts, tmp_path / "graph.onnx", scheme="dynamic-int8")


def test_a_streamed_reference_looks_at_its_weights_too(cases: Cases, tmp_path: Path) -> None:
    """A row of the vocabulary's table is read by itself."""
    case = cases("smolvlm")

    def poison(tensors: dict[str, Any]) -> None:
        tensors["model.text_model.embed_tokens.weight"][:, 0] = math.nan

    folder = damage.copy(case.model.checkpoint.folder, tmp_path / "poisoned", poison)
    with pytest.raises(ExportError, match=r"embed_tokens\.weight holds NaN"):
        _streamed(folder).reference(case.model.normalise(case.frames[:1]), check.questions()[:1], None)


def test_a_quantized_checkpoint_is_not_streamed(cases: Cases, tmp_path: Path) -> None:
    """Its tensors mean nothing without their scales."""
    folder = damage.copy(_folder(cases, "smolvlm"), tmp_path / "fp8", damage.nothing)
    damage.configure(folder, lambda config: config.update(quantization_config={"quant_method": "fp8"}))
    with pytest.raises(ExportError, match="take the unquantized checkpoint"):
        _streamed(folder)


def test_a_file_that_ends_too_early_is_refused_at_once(siglip: Path, tmp_path: Path) -> None:
    """Before torch is loaded, with the bytes that it lacks."""
    folder = damage.copy(siglip, tmp_path / "cut", damage.nothing)
    whole = (folder / damage.WEIGHTS).read_bytes()
    (folder / damage.WEIGHTS).write_bytes(whole[:-100])
    with pytest.raises(ConfigError, match="ends 100 bytes too early"):
        load.inspect(folder)
    (folder / damage.WEIGHTS).write_bytes(b"")
    with pytest.raises(ConfigError, match="not a safetensors file"):
        load.inspect(folder)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("smolvlm", ("vision_config", "image_size")),
        ("smolvlm", ("scale_factor",)),
        ("gemma3", ("vision_config", "image_size")),
        ("gemma3", ("mm_tokens_per_image",)),
        ("qwen3_vl", ("vision_config", "patch_size")),
        ("qwen35", ("vision_config", "patch_size")),
        ("mistral3", ("spatial_merge_size",)),
    ],
)
def test_a_missing_setting_is_named(cases: Cases, tmp_path: Path, name: str, path: tuple[str, ...]) -> None:
    """By the keys that lead to it, whether it or its section is gone; a plan says so already."""
    folder = damage.copy(_folder(cases, name), tmp_path / "bare", damage.nothing)
    *sections, last = path
    for change in (
        lambda config: (config[sections[0]] if sections else config).pop(last),
        lambda config: config.pop(path[0], None),
    ):
        damage.configure(folder, change)
        checkpoint, family = load.inspect(folder)
        with pytest.raises(
            ConfigError, match=rf"config\.json: {'.'.join(path)} must be a positive whole number, not None"
        ):
            family.pixels(checkpoint)


@pytest.mark.parametrize("kind", ["siglip", "smolvlm"])
def test_a_checkpoint_without_its_tokenizer_is_refused(
    request: pytest.FixtureRequest, cases: Cases, tmp_path: Path, kind: str
) -> None:
    """One line, whatever the library raises."""
    source = request.getfixturevalue("siglip") if kind == "siglip" else _folder(cases, kind)
    folder = damage.copy(source, tmp_path / "silent", damage.nothing)
    for file in ("spiece.model", "tokenizer.json", "tokenizer_config.json"):
        (folder / file).unlink(missing_ok=True)
    with pytest.raises(ExportError, match="the tokenizer does not load") as caught:
        _in_memory(folder).graph(check.questions()[:1], None)
    assert "\n" not in str(caught.value)


def test_a_damaged_chat_template_is_refused(cases: Cases, tmp_path: Path) -> None:
    """As the tokenizer's engine finds it."""
    folder = damage.copy(_folder(cases, "smolvlm"), tmp_path / "template", damage.nothing)
    (folder / "chat_template.jinja").write_text("{% for message in", encoding="utf-8")
    checkpoint, family = load.inspect(folder)
    assert isinstance(family, GenerativeFamily)
    with pytest.raises(ExportError, match="the chat template does not load"):
        family.compile(checkpoint, check.questions()[:1])
