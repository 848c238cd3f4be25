"""One training picture with its facts, captions and fault masks, and the shard files that hold many of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from examples.training.common.words import CONCEPTS

IMAGE_SIZE = 192
PATCH_SIZE = 16
GRID = IMAGE_SIZE // PATCH_SIZE
FINE = 4 * GRID

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(slots=True)
class Sample:
    """A square picture uint8 RGB (IMAGE_SIZE, IMAGE_SIZE, 3), or another edge within one shard, and what is known about it.

    ``masks`` maps a concept to bool (rows, columns) of any size; None means that it is not marked where the faults are.
    ``turnable`` pictures have no upright side and may be flipped and turned at will.
    """

    image: Pixels
    facts: frozenset[str]
    domain: str
    split: str
    captions: tuple[str, ...] = ()
    caption_claims: frozenset[str] = frozenset()
    masks: dict[str, Mask] | None = None
    turnable: bool = False
    note: dict[str, str] = field(default_factory=dict)


def resized(image: Pixels, size: int = IMAGE_SIZE) -> Pixels:
    """A grey or RGB picture as RGB at the model's size, aspect ratio not kept, as the daemon and the processor do it."""
    interpolation = cv2.INTER_AREA if min(image.shape[:2]) > size else cv2.INTER_CUBIC
    small = cv2.resize(image, (size, size), interpolation=interpolation)
    return np.asarray(np.repeat(small[..., None], 3, 2) if small.ndim == 2 else small, np.uint8)


def coverage(mask: Mask, cells: int, share: float) -> Mask:
    """Which cells of a grid a mask covers by more than ``share``; bool (cells, cells)."""
    return np.asarray(cv2.resize(mask.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA) > share)


def _grids(sample: Sample) -> tuple[Mask, Mask]:
    coarse = np.zeros((len(CONCEPTS), GRID, GRID), bool)
    fine = np.zeros((FINE, FINE), bool)
    for concept, mask in (sample.masks or {}).items():
        if concept in sample.facts:
            coarse[CONCEPTS.index(concept)] = coverage(mask, GRID, 0.02)
            fine |= coverage(mask, FINE, 0.1)
    return coarse, fine


def write_shard(folder: Path, samples: Iterable[Sample]) -> int:
    """Write a shard folder: images.npy, coarse.npy, fine.npy, then meta.json last. Returns how many samples it holds."""
    images, coarse, fine, meta = [], [], [], []
    for sample in samples:
        grids = _grids(sample)
        images.append(sample.image)
        coarse.append(grids[0])
        fine.append(grids[1])
        meta.append(
            {"facts": sorted(sample.facts), "domain": sample.domain, "split": sample.split, "captions": list(sample.captions),
             "caption_claims": sorted(sample.caption_claims), "marked": sample.masks is not None, "turnable": sample.turnable, "note": sample.note}
        )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images.npy", np.stack(images) if images else np.zeros((0, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8))
    np.save(folder / "coarse.npy", np.stack(coarse) if coarse else np.zeros((0, len(CONCEPTS), GRID, GRID), bool))
    np.save(folder / "fine.npy", np.stack(fine) if fine else np.zeros((0, FINE, FINE), bool))
    (folder / "meta.json").write_text(json.dumps(meta))
    return len(meta)


@dataclass(frozen=True, slots=True)
class Row:
    """Where one stored sample lies and all that is known about it but its pixels."""

    shard: int
    index: int
    facts: frozenset[str]
    domain: str
    split: str
    captions: tuple[str, ...]
    caption_claims: frozenset[str]
    marked: bool
    turnable: bool
    note: dict[str, str]


class Store:
    """All shards below a folder and its folders, memory-mapped; rows in the order of shard names."""

    def __init__(self, folder: Path) -> None:
        self.rows: list[Row] = []
        self._images: list[Pixels] = []
        self._coarse: list[Mask] = []
        self._fine: list[Mask] = []
        for number, meta in enumerate(sorted(folder.glob("**/meta.json"))):
            self._images.append(np.load(meta.parent / "images.npy", mmap_mode="r"))
            self._coarse.append(np.load(meta.parent / "coarse.npy", mmap_mode="r"))
            self._fine.append(np.load(meta.parent / "fine.npy", mmap_mode="r"))
            self.rows += [_row(number, index, entry) for index, entry in enumerate(json.loads(meta.read_text()))]

    def images(self, rows: Iterable[Row]) -> Pixels:
        """Pictures uint8 (n, IMAGE_SIZE, IMAGE_SIZE, 3)."""
        return np.stack([self._images[row.shard][row.index] for row in rows])

    def image(self, row: Row) -> Pixels:
        """One picture uint8 (edge, edge, 3), at the size it was stored at."""
        return np.asarray(self._images[row.shard][row.index])

    def coarse(self, rows: Iterable[Row]) -> Mask:
        """Which patch shows which concept, bool (n, concepts, GRID, GRID)."""
        return np.stack([self._coarse[row.shard][row.index] for row in rows])

    def fine(self, rows: Iterable[Row]) -> Mask:
        """Where any fault shows, bool (n, FINE, FINE)."""
        return np.stack([self._fine[row.shard][row.index] for row in rows])

    def where(self, split: str, *domains: str) -> list[Row]:
        """Rows of a split, of some domains when any are named."""
        return [row for row in self.rows if row.split == split and (not domains or row.domain in domains)]


def _row(shard: int, index: int, entry: dict[str, Any]) -> Row:
    return Row(
        shard=shard,
        index=index,
        facts=frozenset(entry["facts"]),
        domain=entry["domain"],
        split=entry["split"],
        captions=tuple(entry["captions"]),
        caption_claims=frozenset(entry["caption_claims"]),
        marked=entry["marked"],
        turnable=entry["turnable"],
        note=entry["note"],
    )
