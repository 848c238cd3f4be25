"""Int8 of a convolutional tower: what may be rounded is, and its features stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from edge.inference.onnx_session import open_session
from edge.manifest import Execution
from exporters.graph.export import trace
from exporters.graph.quantize import kept_float, quantize
from exporters.pictures.images import synthetic_frames
from exporters.towers import lite0
from exporters.towers.backbone import FrameTower
from exporters.towers.efficientnet import EfficientNet
from exporters.towers.facts import Variant
from tests.stand.tiny_towers import efficientnet

LITE = Variant.named(lite0.ARCHITECTURE)
NAMES = ["pooled", "fine", "coarse"]


def _trace(backbone: EfficientNet, side: int, target: Path) -> Path:
    tower = FrameTower(backbone, lite0.MEAN, lite0.STD, lite0.LAYERS).eval()
    return trace(tower, (torch.zeros(1, side, side, 3, dtype=torch.uint8),), ["frame"], NAMES, target)


def _features(graph: Path, frames: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    execution = Execution(graph=graph.name, provider="CPUExecutionProvider", intra_op_threads=1, scheme="float32")
    session = open_session(graph, execution)
    parts = [session.run(NAMES, {"frame": frame[None]}) for frame in frames]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


@pytest.mark.slow
def test_only_coarse_pointwise_convolutions_are_rounded(tmp_path: Path) -> None:
    """Stem, filters of one channel and grids finer than a sixteenth of the frame stay float; no weight of theirs is int8."""
    tensors = efficientnet(excite=False, pooled=1280)
    graph = _trace(EfficientNet(tensors, LITE), 64, tmp_path / "tower.onnx")
    model = onnx.load(graph)
    convolutions = [node.name for node in model.graph.node if node.op_type == "Conv"]
    rounded = set(convolutions) - set(kept_float(model))
    shapes = {item.name: tuple(item.dims) for item in model.graph.initializer}
    weights = {node.name: shapes[node.input[1]] for node in model.graph.node if node.op_type == "Conv"}
    assert len(convolutions) == 49
    assert {weights[name] for name in rounded} == {(1280, 16, 1, 1)}, (
        "of this small one the last is large enough to gain"
    )


@pytest.mark.parametrize(("reduce_range", "least"), [(False, 0.99), (True, 0.98)])
def test_int8_keeps_the_features_of_lite0(
    lite0_package: str, tmp_path: Path, least: float, *, reduce_range: bool
) -> None:
    """Pooled and patch features, mean cosine to float32; all convolutions rounded gave 0.70 to 0.88 on real pictures."""
    if not reduce_range and "vnni" not in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        pytest.skip("without VNNI products of 8 bits overflow: builds for such a board reduce the range")
    graph = _trace(lite0.backbone(lite0_package), lite0.SIDE, tmp_path / "float.onnx")
    frames = synthetic_frames(12, lite0.SIDE, lite0.SIDE, 6)
    small = quantize(
        "static-int8", graph, tmp_path / "int8.onnx", frames=frames[:8], input_name="frame", reduce_range=reduce_range
    )
    assert small.stat().st_size < 0.4 * graph.stat().st_size
    for name, wanted, found in zip(NAMES, _features(graph, frames[8:]), _features(small, frames[8:]), strict=True):
        size = np.linalg.norm(wanted, axis=-1) * np.linalg.norm(found, axis=-1)
        cosine = (wanted * found).sum(-1) / size
        assert cosine.mean() > least, name
        assert name == "fine" or cosine.mean() < 1 - 1e-5, "nothing was rounded"
