"""A loaded tower: our own form of it, and the published forward pass that checks it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from edge.errors import ConfigError, ExportError
from exporters.checkpoint.folder import WEIGHTS, loading
from exporters.checkpoint.whole import load_whole, refuse_unsound
from exporters.towers import facts, published
from exporters.towers.backbone import Backbone
from exporters.towers.convnext import ConvNext
from exporters.towers.efficientnet import EfficientNet
from exporters.towers.student import PREFIX, Shape, Student
from exporters.towers.transformer import Transformer


@dataclass(frozen=True, slots=True)
class LoadedTower:
    """The two forms; both give a state after the stem and after each layer."""

    backbone: Backbone
    published: Callable[[Tensor], tuple[Tensor, list[Tensor]]]  # normalised pixels -> pooled, states


def load(folder: Path, config: Mapping[str, Any], height: int, width: int) -> LoadedTower:
    """Read the weights of a folder for one size.

    Args:
        folder: in the public layout of the architecture.
        config: its config.json.
        height: of the frame, px.
        width: likewise.

    Raises:
        ExportError: it does not load, is not whole, holds what is no number, or the size does not fit its patches.
    """
    kind = facts.kind_of(config)
    if kind == "efficientnet":
        variant = facts.Variant.named(str(config["architecture"]))
        learnt = config.get("tower", {}).get("student")
        return _efficientnet(folder, variant) if learnt is None else _student(folder, variant, Shape.read(learnt))
    if kind is None:
        raise ExportError(f"{folder / 'config.json'} names no architecture that is known here.")
    model = load_whole(folder, "AutoModel")
    if kind == "convnext":
        layers = nn.ModuleList([layer for stage in model.encoder.stages for layer in stage.layers])
        return LoadedTower(ConvNext(model).eval(), lambda pixels: published.transformers_model(model, layers, pixels))
    patch = int(model.config.patch_size)
    if height % patch or width % patch:
        raise ExportError(f"{folder}: frames of {width} x {height} px do not divide into patches of {patch} px.")
    backbone = Transformer(model, height, width).eval()
    blocks = backbone.blocks
    return LoadedTower(backbone, lambda pixels: published.transformers_model(model, blocks, pixels))


def trunk(folder: Path, config: Mapping[str, Any]) -> tuple[dict[str, Tensor], facts.Variant]:
    """The tensors under timm's names that a student starts from, and what their shapes leave open.

    Raises:
        ConfigError: it is no plain EfficientNet.
        ExportError: the weights do not load.
    """
    if facts.kind_of(config) != "efficientnet" or "student" in config.get("tower", {}):
        raise ConfigError(
            f"{folder} is no plain EfficientNet, which a student starts from; take e.g. examples/towers/efficientnet-lite0."
        )
    return _tensors(folder), facts.Variant.named(str(config["architecture"]))


def _efficientnet(folder: Path, variant: facts.Variant) -> LoadedTower:
    tensors = _tensors(folder)
    with loading(folder, "tower"):
        backbone = EfficientNet(tensors, variant).eval().requires_grad_(requires_grad=False)
    return LoadedTower(backbone, lambda pixels: published.efficientnet(tensors, variant, pixels))


def _student(folder: Path, variant: facts.Variant, shape: Shape) -> LoadedTower:
    whole = _tensors(folder)
    own = {name.removeprefix(PREFIX): value for name, value in whole.items() if name.startswith(PREFIX)}
    trunk = {name: value for name, value in whole.items() if not name.startswith(PREFIX)}
    with loading(folder, "student"):
        student = Student(EfficientNet(trunk, variant, max(shape.reads)), shape)
        student.predictor.load_state_dict(own)
    student = student.eval().requires_grad_(requires_grad=False)

    def slowly(pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        _, maps = published.efficientnet(trunk, variant, pixels)
        states = student.predicted(maps, student.layers)
        return student.pooled(states[-1]), states

    return LoadedTower(student, slowly)


def _tensors(folder: Path) -> dict[str, Tensor]:
    """All tensors in float32; each is a number."""
    from safetensors.torch import load_file  # noqa: PLC0415 - kept beside its use

    with loading(folder, "tower"):
        tensors = {name: value.float() for name, value in load_file(folder / WEIGHTS).items()}
    for name, value in tensors.items():
        refuse_unsound(folder, name, value.numpy())
    return tensors
