"""Keeps features of pictures by content, so that each frame is computed once: in memory within a build, in a folder from build to build.

In memory the named faults' head, its deletion check and the unnamed channel share what they read at the same depths. With a folder the next
build on the same pictures, or with some more of them, begins with the fit. One file a frame; a damaged one is made again.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exporters.checkpoint.folder import weight_files

#: Frames uint8 [N, H, W, 3] and depths -> pooled [N, D], then patches [N, T, E] per depth: `Model.features`.
Features = Callable[[NDArray[np.uint8], Sequence[float]], list[Tensor]]

AT_ONCE = 64  # frames that are computed before they are written
READ_BYTES = 2**20
MEMORY_BYTES = 2**29  # of features held within a build: some five thousand frames of EfficientNet-Lite0


def remembered(features: Features, most_bytes: int = MEMORY_BYTES) -> Features:
    """The same features, from memory where they were asked before; once it is full the rest is computed each time.

    Args:
        features: computes them; float16.
        most_bytes: of features that are held.
    """
    held: dict[bytes, list[Tensor]] = {}
    held_bytes = 0

    def kept(frames: NDArray[np.uint8], depths: Sequence[float]) -> list[Tensor]:
        nonlocal held_bytes
        asked = f"{frames.shape[1:]} {tuple(depths)}".encode()
        keys = [hashlib.sha256(asked + frame.tobytes()).digest() for frame in frames]
        found = [held.get(key) for key in keys]
        missing = [row for row, parts in enumerate(found) if parts is None]
        computed = features(frames[missing], depths) if missing else []
        for place, row in enumerate(missing):
            parts = [part[place].clone() for part in computed]
            found[row] = parts
            size = sum(part.nbytes for part in parts)
            if keys[row] not in held and held_bytes + size <= most_bytes:
                held[keys[row]] = parts
                held_bytes += size
        whole = [parts for parts in found if parts is not None]
        return [torch.stack(column) for column in zip(*whole, strict=True)]

    return kept


def cached(features: Features, checkpoint: Path, folder: Path) -> Features:
    """The same features, from the folder where it has them.

    Args:
        features: computes them; float16.
        checkpoint: folder of the weights, whose content is part of each name.
        folder: made if it is not there; safe to delete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = _content(checkpoint)

    def kept(frames: NDArray[np.uint8], depths: Sequence[float]) -> list[Tensor]:
        asked = f"{weights} {frames.shape[1:]} {tuple(depths)}".encode()
        files = [folder / f"{hashlib.sha256(asked + frame.tobytes()).hexdigest()}.npz" for frame in frames]
        found = [_read(file, 1 + len(depths)) for file in files]
        missing = [row for row, parts in enumerate(found) if parts is None]
        for start in range(0, len(missing), AT_ONCE):
            rows = missing[start : start + AT_ONCE]
            computed = [part.half().numpy() for part in features(frames[rows], depths)]
            for place, row in enumerate(rows):
                found[row] = [part[place] for part in computed]
                _write(files[row], [part[place] for part in computed])
        whole = [parts for parts in found if parts is not None]
        return [torch.from_numpy(np.stack(column)) for column in zip(*whole, strict=True)]

    return kept


def _content(checkpoint: Path) -> str:
    """SHA-256 over everything that the features depend on beside the frame."""
    digest = hashlib.sha256()
    for file in [*sorted(checkpoint.glob("*.json")), *weight_files(checkpoint)]:
        with file.open("rb") as stream:
            while block := stream.read(READ_BYTES):
                digest.update(block)
    return digest.hexdigest()


def _read(file: Path, count: int) -> list[NDArray[np.float16]] | None:
    try:
        with file.open("rb") as stream, np.load(stream) as kept:
            parts: list[NDArray[np.float16]] = [kept[f"arr_{place}"] for place in range(count)]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
    return parts


def _write(file: Path, parts: Sequence[NDArray[np.float16]]) -> None:
    """Whole or not at all."""
    part = file.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez(stream, *parts)
    part.replace(file)
