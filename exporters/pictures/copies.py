"""Counts evidence by content: copies of a picture count once, and one picture cannot be both normal and a fault."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bundle import file_sha256
from edge.errors import ExportError
from exporters.pictures.grouping import difference_hashes

NEAR_BITS = (
    2  # of 256 that differ: another save or size of one picture; two moments of a still scene are rarely so near
)


def file_keys(files: Sequence[Path]) -> list[Hashable]:
    """A key of each file that only copies share; those whose size no other has are not read."""
    sizes = [file.stat().st_size for file in files]
    shared = Counter(sizes)
    return [file_sha256(file) if shared[size] > 1 else file for file, size in zip(files, sizes, strict=True)]


def tensor_keys(frames: NDArray[np.uint8]) -> list[Hashable]:
    """A key of each picture that only those share that the graph cannot tell apart; frames uint8 [N, H, W, 3]."""
    return [hashlib.sha256(frame.tobytes()).digest() for frame in frames]


def distinct(
    keys: Sequence[Hashable], labels: NDArray[np.bool_], names: Sequence[str], ids: Sequence[str]
) -> tuple[list[int], NDArray[np.bool_]]:
    """The rows to keep, one for each key, and their labels bool [n, K]: what a picture shows under any of its names.

    Raises:
        ExportError: one picture is listed as normal and as a fault.
    """
    first: dict[Hashable, int] = {}
    found = labels.copy()
    for row, key in enumerate(keys):
        kept = first.setdefault(key, row)
        if bool(labels[row].any()) != bool(labels[kept].any()):
            faulty, normal = (row, kept) if labels[row].any() else (kept, row)
            shown = ids[int(np.flatnonzero(labels[faulty])[0])]
            raise ExportError(
                f"{names[normal]} is listed as normal and shows the same picture as {names[faulty]}, listed as {shown}: remove one of them."
            )
        found[kept] |= labels[row]
    rows = sorted(first.values())
    return rows, found[rows]


def near_duplicates(frames: NDArray[np.uint8], groups: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of pictures in different groups that look like one picture saved twice; each picture is in one pair at most as the second."""
    packed = np.packbits(difference_hashes(frames), axis=1).view(np.uint64)
    names = np.unique(np.asarray(groups), return_inverse=True)[1]
    pairs = []
    for row in range(1, len(packed)):
        bits = np.bitwise_count(packed[:row] ^ packed[row]).sum(axis=1)
        near = np.flatnonzero((bits <= NEAR_BITS) & (names[:row] != names[row]))
        if len(near):
            pairs.append((int(near[0]), row))
    return pairs
