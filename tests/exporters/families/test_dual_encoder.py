"""The module that is exported says what the checkpoint's own implementation says, for every dual-encoder family."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from edge.errors import ConfigError, ExportError
from exporters import load
from exporters.families.dual_encoder_model import DualEncoderModel
from exporters.model import Model, Question
from exporters.pictures.images import synthetic_frames
from tests.stand.checkpoints import SIDE

ASKED = [
    Question("crack", ("a crack", "a cracked part"), ("a smooth surface", "no crack")),
    Question("dent", ("a dent",), ("a normal part",)),
]
FRAMES = synthetic_frames(6, SIDE, SIDE, 5)


def _load(folder: Path) -> Model:
    return load.load(*load.inspect(folder))


@pytest.fixture(params=["siglip", "siglip2", "clip"])
def model(request: pytest.FixtureRequest) -> Model:
    """Each family's tiny checkpoint, loaded."""
    return _load(request.getfixturevalue(request.param))


def _run(module: torch.nn.Module, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.inference_mode():
        found: NDArray[np.float32] = module(torch.from_numpy(frames)).numpy()
    return found


def test_one_product_equals_asking_phrasing_by_phrasing(model: Model) -> None:
    """The specialised tower on raw uint8 and one text matrix equal transformers' forward on normalised pixels."""
    reference = model.reference(model.normalise(FRAMES), ASKED, None)
    found = _run(model.graph(ASKED, None), FRAMES)
    assert reference.shape == found.shape == (6, 2)
    assert np.abs(reference - found).max() < 1e-4
    assert np.abs(reference[:, 0] - reference[:, 1]).max() > 1e-2, "the check could not see swapped faults"
    assert np.ptp(reference, axis=0).min() > 1e-2, "the check could not see a constant graph"


def test_the_words_are_read_as_in_training(model: Model) -> None:
    """One forward pass of the whole public model gives the same contrast: SigLIP's text tower sees the padding, whatever mask its tokenizer offers."""
    assert isinstance(model, DualEncoderModel)
    words = [*ASKED[0].words, *ASKED[0].normal_words]
    length = model.model.config.text_config.max_position_embeddings
    padding = "max_length" if model.family.pad_to_max else True
    tokens = model.tokenizer(words, padding=padding, max_length=length, truncation=True, return_tensors="pt")
    assert not tokens["attention_mask"].all(), "nothing is padded, so the test could not see a mask"
    given = {"input_ids": tokens["input_ids"]} if model.family.pad_to_max else tokens
    with torch.inference_mode():
        logits = model.model(**given, **model._vision_inputs(model.normalise(FRAMES))).logits_per_image.numpy()
    found = _run(model.graph(ASKED[:1], None), FRAMES)[:, 0]
    assert np.abs(found - (logits[:, :2].mean(axis=1) - logits[:, 2:].mean(axis=1))).max() < 1e-4


def test_normalisation_equals_the_processors(model: Model, tmp_path: Path) -> None:
    """A picture that needs no resizing has the same pixel values by the checkpoint's own processor, to rounding."""
    from PIL import Image

    file = tmp_path / "frame.png"
    Image.fromarray(FRAMES[0]).save(file)
    assert np.abs(model.process(file) - model.normalise(FRAMES[:1])).max() < 1e-5


def test_contrast_is_fault_minus_normal(model: Model) -> None:
    """Swapping fault and normal words turns the evidence's sign; the same words on both sides say nothing."""
    turned = [Question(q.id, q.normal_words, q.words) for q in ASKED]
    same = [Question(q.id, q.words, q.words) for q in ASKED]
    found = _run(model.graph(ASKED, None), FRAMES)
    assert np.abs(found + _run(model.graph(turned, None), FRAMES)).max() < 1e-4
    assert np.abs(_run(model.graph(same, None), FRAMES)).max() < 1e-4


def test_features_have_one_row_per_patch(model: Model) -> None:
    """Pooled, then a grid per depth, without the class token."""
    pooled, *layers = model.features(FRAMES, (0.0, 1.0))
    assert len(pooled) == 6
    assert [layer.shape[1] for layer in layers] == [16, 16]


def _copy(source: Path, target: Path, **changes: Any) -> Path:
    """A checkpoint with some processor settings changed."""
    shutil.copytree(source, target)
    file = target / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return target


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rescale_factor": 0.5}, "1/255"),
        ({"size": {"longest_edge": 64}}, "no fixed width"),
        (
            {"do_center_crop": True, "size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}},
            "shortest_edge",
        ),
    ],
)
def test_pixel_rules_that_the_daemon_lacks_are_refused(
    siglip: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    """A rule that cannot be kept on the device is an error here, not another picture there."""
    checkpoint, family = load.inspect(_copy(siglip, tmp_path / "changed", **changes))
    with pytest.raises(ExportError, match=said):
        family.pixels(checkpoint)


def test_sizes_as_bare_numbers(clip: Path, tmp_path: Path) -> None:
    """Older processors write the short edge and the cut as one number each: the same rule, and the same pixels."""
    folder = _copy(clip, tmp_path / "bare", size=SIDE, crop_size=SIDE)
    checkpoint, family = load.inspect(folder)
    assert family.pixels(checkpoint) == family.pixels(load.inspect(clip)[0])
    test_normalisation_equals_the_processors(_load(folder), tmp_path)
    with pytest.raises(ExportError, match="scales to 40 px and cuts 32 x 32"):
        family.pixels(load.inspect(_copy(clip, tmp_path / "larger", size=40, crop_size=SIDE))[0])


def test_geometry_counts_the_vision_tower_only(siglip: Path) -> None:
    """The text tower does not go to the device and is not counted."""
    checkpoint, family = load.inspect(siglip)
    found = family.geometry(checkpoint, 2)
    assert found.matmul_parameters + found.other_parameters < checkpoint.parameters
    model = _load(siglip).graph(ASKED, None)
    real = sum(item.numel() for item in (*model.parameters(), *model.buffers()))
    assert found.matmul_parameters + found.other_parameters == pytest.approx(real, rel=0.1)


def test_folders_that_are_no_checkpoint_are_refused(siglip: Path, tmp_path: Path) -> None:
    """Missing weights, damaged headers and unknown families each have their message."""
    broken = tmp_path / "broken"
    shutil.copytree(siglip, broken)
    (broken / "model.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00notjson!")
    with pytest.raises(ConfigError, match="damaged safetensors header"):
        load.inspect(broken)
    (broken / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"no \.safetensors"):
        load.inspect(broken)
    other = _copy(siglip, tmp_path / "other")
    config = json.loads((other / "config.json").read_text()) | {"model_type": "blip"}
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ExportError, match="'blip' is not supported"):
        load.inspect(other)


@pytest.mark.parametrize("kind", ["siglip", "clip"])
def test_a_processor_of_another_size_is_refused_with_the_right_one(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Files of two checkpoints in one folder: said by the plan in one line, not by a traceback of the tower."""
    folder = shutil.copytree(request.getfixturevalue(kind), tmp_path / kind)
    file = folder / "preprocessor_config.json"
    rule = json.loads(file.read_text())
    checkpoint, family = load.inspect(folder)
    side = family.pixels(checkpoint).width
    for size in (2 * side, side + 1):
        edges = {"height": size, "width": size}
        changed = rule | {"size": {"shortest_edge": size} if "crop_size" in rule else edges}
        file.write_text(json.dumps(changed | ({"crop_size": edges} if "crop_size" in rule else {})))
        with pytest.raises(ExportError, match=rf"makes {size} x {size} px.*which is {side} x {side}"):
            family.pixels(load.inspect(folder)[0])
