"""A local folder of pretrained weights in its public layout: transformers' DINOv2, ConvNeXt, SigLIP and SigLIP 2, or timm's EfficientNet."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from edge.errors import ConfigError, ExportError
from exporters.checkpoint.folder import WEIGHTS, loading, read_json, weight_files
from exporters.checkpoint.whole import load_whole, refuse_unsound
from exporters.towers import facts
from exporters.towers.efficientnet import EfficientNet

CARD_BYTES = 65_536  # of a README.md that are looked at
_WHOLE = {"siglip": "SiglipVisionModel", "siglip2": "Siglip2VisionModel"}  # both towers: the image side is taken
_SPELLED = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause"}


@dataclass(frozen=True, slots=True)
class Found:
    """What a folder holds."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    size: tuple[int, int]  # height and width as trained or as its processor cuts, px
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    licence_text: bytes | None


def read_folder(folder: Path) -> Found:
    """Read a folder, complete and finite, from its files alone.

    Raises:
        ConfigError: a file is missing or not of the kind that its name promises.
        ExportError: its layout is none that is known, or it does not load.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is neither a folder, a wheel, nor a package that is known here.")
    config = read_json(folder / "config.json")
    weight_files(folder)
    kind = facts.kind_of(config)
    whole = _WHOLE.get(str(config.get("model_type")))
    if kind is None and whole is None:
        named = config.get("architecture") or config.get("model_type")
        raise ExportError(
            f"{folder}: {named!r} is no tower that is known here; known are {', '.join(sorted({*facts.MODEL_TYPES, *_WHOLE}))}, and "
            "EfficientNet-B0 to B8 and Lite0 to Lite4 in timm's layout."
        )
    if kind == "efficientnet":
        found, tensors = dict(config), _timm(folder, str(config["architecture"]))
        rule = _timm_rule(config)
    else:
        model = load_whole(folder, whole or "AutoModel")
        found = {**model.config.to_diff_dict(), "model_type": model.config.model_type}
        tensors = _public(model, folder)
        rule = read_json(folder / "preprocessor_config.json")
    mean, std = _three(folder, rule, "image_mean"), _three(folder, rule, "image_std")
    return Found(found, tensors, _size(folder, found, rule), mean, std, _licence(folder, config), _licence_text(folder))


def _timm(folder: Path, architecture: str) -> dict[str, Tensor]:
    with loading(folder, "tower"):
        whole = load_file(folder / WEIGHTS)
    tensors = {
        name: tensor
        for name, tensor in whole.items()
        if not name.startswith("classifier.") and "num_batches" not in name
    }
    for name, tensor in tensors.items():
        refuse_unsound(folder, name, tensor.float().numpy())
    with loading(folder, "tower"):
        EfficientNet(tensors, facts.Variant.named(architecture))
    return tensors


def _timm_rule(config: Mapping[str, Any]) -> dict[str, Any]:
    """The processor's settings, which timm keeps in config.json."""
    rule = config.get("pretrained_cfg", config)
    size = rule.get("input_size") if isinstance(rule, Mapping) else None
    if not isinstance(rule, Mapping) or not isinstance(size, Sequence) or len(size) != 3:
        raise ConfigError(
            "config.json has no pretrained_cfg with input_size, mean and std; take timm's own config.json."
        )
    return {"image_mean": rule.get("mean"), "image_std": rule.get("std"), "size": {"height": size[1], "width": size[2]}}


def _public(model: Any, folder: Path) -> dict[str, Tensor]:  # noqa: ANN401 - transformers' untyped model
    """A model's tensors under the public names, which transformers gives them when it saves."""
    import tempfile  # noqa: PLC0415 - kept beside its use

    with tempfile.TemporaryDirectory(prefix="tower-") as scratch, loading(folder, "tower"):
        model.save_pretrained(scratch)
        return {name: tensor for file in weight_files(Path(scratch)) for name, tensor in load_file(file).items()}


def _three(folder: Path, rule: Mapping[str, Any], key: str) -> tuple[float, ...]:
    value = rule.get(key)
    if isinstance(value, Sequence) and len(value) == 3 and all(isinstance(one, int | float) for one in value):
        return tuple(float(one) for one in value)
    raise ConfigError(f"{folder}: {key} must be three numbers, not {value!r}; take the published processor settings.")


def _size(folder: Path, config: Mapping[str, Any], rule: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width that the published processor makes."""
    if config.get("model_type") == "siglip2_vision_model":
        side = math.isqrt(int(rule.get("max_num_patches", 256))) * int(config.get("patch_size", 16))
        return side, side
    wanted = rule.get("crop_size") if rule.get("do_center_crop") else rule.get("size")
    wanted = {"shortest_edge": wanted} if isinstance(wanted, int) else wanted
    if isinstance(wanted, Mapping):
        height = wanted.get("height", wanted.get("shortest_edge"))
        width = wanted.get("width", wanted.get("shortest_edge"))
        if isinstance(height, int) and isinstance(width, int) and min(height, width) > 0:
            return height, width
    raise ConfigError(f"{folder}: the processor names no size (it has {wanted!r}); give one with --size.")


def _licence(folder: Path, config: Mapping[str, Any]) -> str:
    """From the card's head or timm's configuration; 'unknown' where neither has it."""
    named = config.get("license") or (config.get("pretrained_cfg") or {}).get("license")
    card = folder / "README.md"
    if not isinstance(named, str) and card.is_file():
        with card.open("rb") as stream:
            head = stream.read(CARD_BYTES).decode("utf-8", errors="replace")
        front = head.split("\n---", 1)[0] if head.startswith("---") else ""
        hit = re.search(r"^license:[ \t]*([\w.+-]+)[ \t]*$", front, re.MULTILINE)
        named = hit[1] if hit else None
    return _SPELLED.get(named.lower(), named) if isinstance(named, str) else "unknown"


def _licence_text(folder: Path) -> bytes | None:
    file = next((folder / name for name in ("LICENSE", "LICENSE.txt", "LICENSE.md") if (folder / name).is_file()), None)
    return None if file is None else file.read_bytes()
