"""What the locked tower sees in the stored samples: computed once, kept on disk shard by shard."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from examples.training.common.samples import Pixels, Row
from examples.training.siglip.batches import varied
from exporters.towers import loaded
from exporters.towers.backbone import FrameTower
from exporters.towers.words import folded

EDGE = 224  # px, of the square pictures
GROUPS = ((5, 11), (15, 16))  # layers that are judged on one grid: stride 8 folded with 16, and 32
AT_ONCE = 16
VARIED_SHARE = 0.7  # of the training pictures whose exposure is varied

Halves = NDArray[np.float16]


def layers() -> tuple[int, ...]:
    """All layers that are read, group by group."""
    return tuple(layer for group in GROUPS for layer in group)


def read_tower(folder: Path) -> FrameTower:
    """The tower of a checkpoint folder, frozen. Raises ExportError."""
    config = json.loads((folder / "config.json").read_text())
    rule = json.loads((folder / "preprocessor_config.json").read_text())
    tower = loaded.load(folder, config, EDGE, EDGE)
    return FrameTower(tower.backbone, rule["image_mean"], rule["image_std"], layers(), common_grid=False).eval()


def see(tower: FrameTower, images: Pixels) -> tuple[Tensor, list[Tensor]]:
    """Pooled [n, D], and per group the maps [n, C, h, w] of its layers side by side, of pictures uint8 [n, EDGE, EDGE, 3]."""
    pooled: list[Tensor] = []
    maps: list[list[Tensor]] = []
    with torch.inference_mode():
        for start in range(0, len(images), AT_ONCE):
            whole, found = tower.see(torch.from_numpy(np.ascontiguousarray(images[start : start + AT_ONCE])))
            pooled.append(whole)
            maps.append(grouped(found))
    return torch.cat(pooled), [torch.cat(column) for column in zip(*maps, strict=True)]


def grouped(maps: Sequence[Tensor]) -> list[Tensor]:
    """Maps of all layers as one map a group."""
    found, start = [], 0
    for group in GROUPS:
        found.append(torch.cat(folded(maps[start : start + len(group)]), dim=1))
        start += len(group)
    return found


def keep(tower: FrameTower, samples: Path, out: Path, *, seed: int, log: Callable[[str], None]) -> None:
    """Compute the features of every shard of training samples that ``out`` lacks.

    A training picture is mirrored by a coin and mostly varied in exposure, once: new scenes are cheaper than new views of old ones.
    """
    for meta in sorted(samples.glob("*/meta.json")):
        target = out / meta.parent.name
        entries = json.loads(meta.read_text())
        if target.exists() or not any(entry["split"] == "train" for entry in entries):
            continue
        partial = target.with_name("." + target.name)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        images = np.array(np.load(meta.parent / "images.npy"))
        mirrored = np.zeros(len(images), bool)
        rng = np.random.default_rng([seed, *target.name.encode()])
        for index, entry in enumerate(entries):
            if entry["split"] == "train":
                mirrored[index] = rng.random() < 0.5
                image = images[index, :, ::-1] if mirrored[index] else images[index]
                images[index] = varied(image, rng) if rng.random() < VARIED_SHARE else image
        pooled, groups = see(tower, images)
        np.save(partial / "mirrored.npy", mirrored)
        np.save(partial / "pooled.npy", pooled.half().numpy())
        for index, group in enumerate(groups):
            np.save(partial / f"group-{index}.npy", group.half().numpy())
        partial.rename(target)
        log(f"features of {target.name}: {len(images)} pictures")


@dataclass(frozen=True, slots=True)
class Shard:
    """Features of one shard, memory-mapped."""

    mirrored: NDArray[np.bool_]
    pooled: Halves
    groups: tuple[Halves, ...]


class Features:
    """All kept features, in the order of the shards of a `Store` over the same samples."""

    def __init__(self, samples: Path, out: Path) -> None:
        folders = [out / meta.parent.name for meta in sorted(samples.glob("**/meta.json"))]
        self._shards = [_shard(folder) if folder.is_dir() else None for folder in folders]

    def kept(self, row: Row) -> bool:
        """Whether its features are there."""
        return self._shards[row.shard] is not None

    def mirrored(self, row: Row) -> bool:
        """Whether the picture was mirrored before it was seen."""
        return bool(self._of(row).mirrored[row.index])

    def pooled(self, rows: Sequence[Row]) -> Tensor:
        """Pooled vectors [n, D], float32."""
        return torch.from_numpy(np.stack([self._of(row).pooled[row.index] for row in rows])).float()

    def maps(self, rows: Sequence[Row], group: int) -> Tensor:
        """Maps [n, C, h, w] of one group, float32."""
        return torch.from_numpy(np.stack([self._of(row).groups[group][row.index] for row in rows])).float()

    def _of(self, row: Row) -> Shard:
        shard = self._shards[row.shard]
        if shard is None:
            raise KeyError(f"no features of shard {row.shard} are kept")
        return shard


def _shard(folder: Path) -> Shard:
    groups = tuple(np.load(folder / f"group-{index}.npy", mmap_mode="r") for index in range(len(GROUPS)))
    return Shard(np.load(folder / "mirrored.npy"), np.load(folder / "pooled.npy"), groups)
