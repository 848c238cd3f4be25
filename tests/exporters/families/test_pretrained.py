"""A pretrained tower in our graph is the published one: patch features, words and fitted heads, for every public layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edge.errors import ConfigError, ExportError
from edge.manifest import Execution, InputSpec
from exporters import load
from exporters.families.pretrained import PretrainedModel
from exporters.graph import export
from exporters.graph.specialise import plain_scale, specialise
from exporters.model import Question
from exporters.pictures.images import synthetic_frames
from exporters.proof import measure
from exporters.recipe import Head, Recipe
from exporters.towers.convert import convert
from tests.stand import damage, tiny_towers
from tests.stand.tiny_towers import KINDS, SIDE

ASKED = [
    Question("crack", ("a crack", "a cracked part"), ("a smooth surface", "no crack")),
    Question("dent", ("a dent",), ("a normal part",)),
]
TRACED = ("lite0", "dinov2")
FRAMES = synthetic_frames(6, SIDE, SIDE, 5)


class Reader(nn.Module):
    """A head that reads everything: pooled, every patch of every layer, and the frame."""

    sees_frame = True

    def __init__(self, depths: tuple[float, ...], pooled: int, widths: list[int]) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.depths = depths
        self.whole = nn.Linear(pooled, 2)
        self.parts = nn.ModuleList(nn.Linear(width, 2) for width in widths)

    def forward(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """Evidence [B, 2]."""
        *layers, frame = seen
        found: Tensor = self.whole(pooled) + frame.float().mean(dim=(1, 2))[:, :2] / 255
        for part, layer in zip(self.parts, layers, strict=True):
            found = found + part(layer).amax(dim=1)
        return found


@pytest.fixture(scope="module", params=KINDS)
def tower(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted tower of each kind."""
    folder = tmp_path_factory.mktemp("towers")
    out = folder / str(request.param)
    convert(str(tiny_towers.public(request.param, folder / "public")), out)
    return out


def _load(folder: Path) -> PretrainedModel:
    model = load.load(*load.inspect(folder))
    assert isinstance(model, PretrainedModel)
    return model


def _head(model: PretrainedModel, depths: tuple[float, ...]) -> Reader:
    pooled, *layers = model.features(FRAMES[:1], depths)
    return Reader(depths, pooled.shape[-1], [layer.shape[-1] for layer in layers]).eval()


def _run(module: nn.Module, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.inference_mode():
        found: NDArray[np.float32] = module(torch.from_numpy(frames)).numpy()
    return found


def test_features_of_every_depth_are_the_published_ones(tower: Path) -> None:
    """Our form on raw uint8 against the published forward pass on normalised pixels."""
    model = _load(tower)
    head = _head(model, (0.0, 0.5, 1.0))
    reference = model.reference(model.normalise(FRAMES), ASKED, head)
    assert np.abs(reference - _run(model.graph(ASKED, head), FRAMES)).max() < 1e-5 * max(10, np.abs(reference).max())
    assert np.ptp(reference, axis=0).min() > 1e-2, "the check could not see a constant graph"


@pytest.mark.parametrize(
    "tower", [name if name in TRACED else pytest.param(name, marks=pytest.mark.whole) for name in KINDS], indirect=True
)
def test_features_in_onnx_runtime_are_the_published_ones(tower: Path, tmp_path: Path) -> None:
    """The same through ONNX Runtime; to trace a tower takes seconds, so only one convolutional and one with patches but for `make test-whole`."""
    model = _load(tower)
    head = _head(model, (0.0, 0.5, 1.0))
    reference = model.reference(model.normalise(FRAMES), ASKED, head)
    graph = model.graph(ASKED, head)
    scale = plain_scale(2)
    export.export(specialise(graph, scale), SIDE, SIDE, tmp_path / "tower.onnx")
    execution = Execution(graph="tower.onnx", provider="CPUExecutionProvider", intra_op_threads=1, scheme="float32")
    frame = InputSpec(name="frame", width=SIDE, height=SIDE, resize="stretch")
    scores = measure.score_frames(tmp_path, execution, frame, "scores", FRAMES)
    assert np.abs(scale.scores(reference) - scores).max() < 1e-4


def test_the_usual_layers_are_the_middle_of_the_tower(tower: Path) -> None:
    """A recipe that names no layers gets those that the checkpoint names, and they exist."""
    checkpoint, family = load.inspect(tower)
    depths = family.usual_depths(checkpoint)  # type: ignore[attr-defined] # of this family
    assert depths == tuple(sorted(set(depths)))
    assert all(0 < depth < 1 for depth in depths)
    pooled, *layers = _load(tower).features(FRAMES, depths)
    assert len(pooled) == len(FRAMES)
    assert all(len(layer) == len(FRAMES) for layer in layers)
    geometry = family.geometry(checkpoint, 2)
    assert geometry.matmul_parameters + geometry.other_parameters >= checkpoint.parameters
    assert geometry.flop > 2 * checkpoint.parameters, "a picture has more than one place"


def test_depths_of_a_recipe_are_those_of_the_layers_that_are_meant(tower: Path) -> None:
    """Two heads that mean the same layers in other numbers ask the tower once; layers that the recipe leaves out are the usual ones."""
    checkpoint, family = load.inspect(tower)
    count = _load(tower).tower.backbone.layers
    near = (round(0.7 * count) / count, 1.0)
    asked = Recipe.model_validate(
        {
            "name": "x", "checkpoint": "c", "images": {"normal": ("a",)}, "unnamed": {"enabled": True, "layers": (0.7, 1.0)},
            "head": {"layers": (near[0] + 0.1 / count, 0.999)},
        }
    )  # fmt: skip
    found = family.completed(asked, checkpoint)
    assert found.head.layers == found.unnamed.layers == near
    plain = family.completed(asked.model_copy(update={"head": Head()}), checkpoint)
    assert plain.head.layers == family.usual_depths(checkpoint)  # type: ignore[attr-defined] # of this family


def test_a_larger_frame_is_averaged_down_first(tower: Path) -> None:
    """head.frame_scale: the tower sees the mean of the pixels, and so does the reference."""
    from dataclasses import replace

    model = replace(_load(tower), frame_scale=2)
    head = _head(replace(model, frame_scale=1), (1.0,))
    frames = synthetic_frames(3, 2 * SIDE, 2 * SIDE, 8)
    reference = model.reference(model.normalise(frames), ASKED, head)
    assert np.abs(reference - _run(model.graph(ASKED, head), frames)).max() < 1e-4


@pytest.mark.parametrize("kind", ["lite0", "dinov2"])
def test_words_are_asked_phrasing_by_phrasing_and_compiled_to_one_column(kind: str, tmp_path: Path) -> None:
    """The graph with its constant columns equals the published tower asked each phrasing by itself."""
    convert(str(tiny_towers.public(kind, tmp_path / "public")), tmp_path / "out")
    if kind == "lite0":
        tiny_towers.add_words(tmp_path / "out", ((5, 11), (16,)), (44, 16), 24)
    else:
        tiny_towers.add_words(tmp_path / "out", ((1, 2),), (64,), 32)
    model = _load(tmp_path / "out")
    reference = model.reference(model.normalise(FRAMES), ASKED, None)
    assert np.abs(reference - _run(model.graph(ASKED, None), FRAMES)).max() < 1e-4
    assert np.abs(reference[:, 0] - reference[:, 1]).max() > 1e-2, "the check could not see swapped faults"
    assert np.ptp(reference, axis=0).min() > 1e-3, "the check could not see a constant graph"
    before = load.checkpoint_sha256(tmp_path / "out")
    (tmp_path / "out" / "words.safetensors").write_bytes((tmp_path / "out" / "words.safetensors").read_bytes() + b" ")
    assert load.checkpoint_sha256(tmp_path / "out") != before, "the words belong to the checkpoint"


def test_a_tower_without_words_says_what_to_do(tmp_path: Path) -> None:
    """Asked in words it does not guess."""
    convert(str(tiny_towers.public("lite0", tmp_path / "public")), tmp_path / "out")
    with pytest.raises(ExportError, match=r"without words: set head\.kind = 'fitted'"):
        _load(tmp_path / "out").graph(ASKED, None)


def test_a_tower_that_is_cut_pools_what_is_left(tmp_path: Path) -> None:
    """A depth in config.json: nothing above it is computed, a deeper layer is refused, parity holds."""
    convert(str(tiny_towers.public("dinov2", tmp_path / "public")), tmp_path / "out")
    damage.configure(tmp_path / "out", lambda config: config["tower"].update(depth=2, layers=[1, 2]))
    model = _load(tmp_path / "out")
    head = _head(model, (1 / 3, 2 / 3))
    graph = model.graph(ASKED, head)
    reference = model.reference(model.normalise(FRAMES), ASKED, head)
    assert np.abs(reference - _run(graph, FRAMES)).max() < 1e-4
    with pytest.raises(ExportError, match="ends after layer 2 of 3"):
        model.features(FRAMES, (1.0,))


def test_a_damaged_tower_is_refused_in_a_sentence(tower: Path, tmp_path: Path) -> None:
    """Not a number in a weight, a lost tensor, a file that ends early: each names the folder, none gives features."""
    model = _load(tower)
    name = next(
        name
        for name in sorted(model.checkpoint.shapes)
        if len(model.checkpoint.shapes[name]) >= 2 and "mask" not in name
    )
    bad = damage.copy(tower, tmp_path / "nan", damage.poisoned(name, float("nan")))
    with pytest.raises(ExportError, match="NaN or infinity"):
        _load(bad)
    lost = next(name for name in sorted(model.checkpoint.shapes) if ".1." in name and name.endswith("weight"))
    gone = damage.copy(tower, tmp_path / "lost", lambda tensors: tensors.pop(lost))
    with pytest.raises(ExportError, match=r"no tensor"):
        _load(gone)
    (tmp_path / "nan" / "model.safetensors").write_bytes((tower / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(ConfigError, match="100 bytes too early"):
        _load(bad)
