"""The site's own images become the exact tensors that the daemon would make of them, with their labels, groups and parts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.bundle import InputSpec
from edge.errors import ExportError, RejectedInput
from edge.preprocess import Preprocessor, encode_jpeg
from exporters.grouping import Part, folds, group_names, split
from exporters.recipe import DATA_ROOT_VARIABLE, Recipe, expand, find_images

NORMAL = "normal"  # class name of images without a fault, in splits and tables
SYNTHETIC_FRAMES = 32  # stand-ins when a recipe names no images


@dataclass(frozen=True, slots=True)
class Album:
    """N pictures in one order: files, what they show, which part they serve, and their tensors.

    ``labels`` is bool [N, K] in the order of the recipe's faults (all False: normal); ``frames`` uint8 [N, H, W, 3];
    ``masks`` uint8 [N, H, W] (255 is fault) or None. ``folds`` names the member of a head in folds that never sees the picture, -1 where
    all members judge (part ``test``); empty without folds. ``synthetic`` albums hold no site images.
    """

    encoded: tuple[bytes, ...]
    names: tuple[str, ...]
    labels: NDArray[np.bool_]
    groups: tuple[str, ...]
    parts: tuple[Part, ...]
    frames: NDArray[np.uint8]
    masks: NDArray[np.uint8] | None
    folds: tuple[int, ...] = ()
    synthetic: bool = False

    @property
    def normal(self) -> NDArray[np.bool_]:
        """Which pictures are known to be normal: bool [N]; never true of synthetic ones."""
        none: NDArray[np.bool_] = np.logical_not(self.labels.any(axis=1))
        return np.zeros_like(none) if self.synthetic else none

    def part(self, *wanted: Part) -> NDArray[np.bool_]:
        """Which pictures serve one of these parts: bool [N]."""
        return np.array([part in wanted for part in self.parts], dtype=np.bool_)

    @property
    def sha256(self) -> str:
        """Over the sorted hashes of the pictures."""
        hashes = sorted(hashlib.sha256(one).hexdigest() for one in self.encoded)
        return hashlib.sha256("".join(hashes).encode()).hexdigest()


def load_album(recipe: Recipe, base: Path, spec: InputSpec) -> Album:
    """Read, decode, group and split a recipe's images; without any, a seeded synthetic album.

    Raises:
        ConfigError: a pattern finds nothing.
        ExportError: a picture is one that the daemon would reject, or two classes claim it.
    """
    files, labels = _label(recipe, base)
    if not files:
        return _synthetic(len(recipe.faults), spec)
    stage = Preprocessor(spec)
    encoded = tuple(file.read_bytes() for file in files)
    frames = np.concatenate([_decode(stage, data, file) for data, file in zip(encoded, files, strict=True)])
    names = [_name(file, base) for file in files]
    groups = group_names(names, frames, recipe.images.grouping)
    ids = [fault.id for fault in recipe.faults]
    classes = [[ids[k] for k in np.flatnonzero(row)] or [NORMAL] for row in labels]
    fit, test = recipe.images.fit_share, recipe.images.test_share
    shares: dict[Part, float] = {"fit": fit, "calibrate": 1.0 - fit - test, "test": test}
    parts = split(groups, classes, shares)
    if recipe.head.kind == "fitted":
        parts = without_idle(parts, groups, labels)
    return Album(
        encoded=encoded,
        names=tuple(names),
        labels=labels,
        groups=tuple(groups),
        parts=tuple(parts),
        frames=frames,
        masks=_masks(recipe.images.mask_suffix, files, stage),
        folds=_folds(parts, groups, classes, recipe.head.folds) if recipe.head.folds > 1 else (),
    )


def without_idle(parts: Sequence[Part], groups: Sequence[str], labels: NDArray[np.bool_]) -> list[Part]:
    """Groups that only show faults cannot calibrate, since thresholds come from normal pictures: they go from ``calibrate`` to ``fit``."""
    useful = {group for group, shown in zip(groups, labels, strict=True) if not shown.any()}
    return [
        "fit" if part == "calibrate" and group not in useful else part
        for part, group in zip(parts, groups, strict=True)
    ]


def _folds(
    parts: Sequence[Part], groups: Sequence[str], classes: Sequence[Sequence[str]], count: int
) -> tuple[int, ...]:
    """The fold of each picture, -1 in part ``test``. Raises ExportError if a fold would have no normal picture to calibrate with."""
    used = [index for index, part in enumerate(parts) if part != "test"]
    found = folds([groups[index] for index in used], [classes[index] for index in used], count)
    calibrating = {fold for index, fold in zip(used, found, strict=True) if classes[index] == [NORMAL]}
    if len(calibrating) < count:
        raise ExportError(
            f"head.folds = {count}: only {len(calibrating)} of the folds have a normal picture; lower it or add groups of normal pictures."
        )
    placed = dict(zip(used, found, strict=True))
    return tuple(placed.get(index, -1) for index in range(len(parts)))


def count_images(recipe: Recipe, base: Path) -> Mapping[str, int]:
    """How many pictures each class has, without opening one; empty when the recipe names none. Raises what `load_album` would."""
    _label(recipe, base)  # two classes that claim one picture are refused before the work
    patterns = {NORMAL: recipe.images.normal, **{fault.id: fault.images for fault in recipe.faults}}
    return {name: len(find_images(chosen, base)) for name, chosen in patterns.items() if chosen}


def synthetic_frames(count: int, height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Smooth random fields with edges and grain, uint8 [count, height, width, 3]: no site's pictures, only numbers of their kind."""
    random = np.random.default_rng(seed)
    frames = np.empty((count, height, width, 3), dtype=np.uint8)
    for index in range(count):
        cells = int(random.integers(2, 12))
        field = random.uniform(0, 255, (cells, cells, 3))
        rows, columns = np.arange(height) * cells // height, np.arange(width) * cells // width
        grain = random.normal(0, random.uniform(0, 12), (height, width, 1))
        frames[index] = np.clip(field[rows][:, columns] + grain, 0, 255).astype(np.uint8)
    return frames


def _label(recipe: Recipe, base: Path) -> tuple[list[Path], NDArray[np.bool_]]:
    """All files, sorted and thinned to the limit, and their labels bool [N, K]."""
    shown: dict[Path, set[int]] = {file: set() for file in find_images(recipe.images.normal, base)}
    normal = {file.resolve() for file in shown}
    for index, fault in enumerate(recipe.faults):
        for file in find_images(fault.images, base):
            if file.resolve() in normal:
                raise ExportError(f"{file} is listed as normal and as {fault.id}; make one of the patterns narrower.")
            shown.setdefault(file, set()).add(index)
    files = sorted(shown)
    step = max(1, -(-len(files) // recipe.images.limit))
    files = files[::step]
    labels = np.zeros((len(files), len(recipe.faults)), dtype=np.bool_)
    for row, file in enumerate(files):
        labels[row, list(shown[file])] = True
    return files, labels


def _name(file: Path, base: Path) -> str:
    """How reports call a picture: from the data folder or the recipe's, never with a path of this machine."""
    data = Path(expand("${" + DATA_ROOT_VARIABLE + "}"))
    if file.is_relative_to(data):
        return file.relative_to(data).as_posix()
    return Path(os.path.relpath(file, base)).as_posix()


def _decode(stage: Preprocessor, data: bytes, file: Path) -> NDArray[np.uint8]:
    try:
        return stage.prepare(data)
    except RejectedInput as error:
        raise ExportError(f"{file} would be rejected on the device ({error}); repair or remove it.") from error


def _masks(suffix: str | None, files: Sequence[Path], stage: Preprocessor) -> NDArray[np.uint8] | None:
    """Fault masks at the tensor's size, all zero where no file lies beside the picture."""
    if suffix is None:
        return None
    found = np.zeros((len(files), stage.spec.height, stage.spec.width), dtype=np.uint8)
    for row, file in enumerate(files):
        beside = file.with_name(file.stem + suffix)
        if beside.is_file() and beside != file:
            found[row] = _decode(stage, beside.read_bytes(), beside)[0, :, :, 0]
    return found


def _synthetic(faults: int, spec: InputSpec) -> Album:
    part: Part = "calibrate"
    made = synthetic_frames(SYNTHETIC_FRAMES, spec.height, spec.width, seed=0)
    encoded = tuple(encode_jpeg(frame) for frame in made)
    stage = Preprocessor(spec)
    return Album(
        encoded=encoded,
        names=tuple(f"synthetic-{index}" for index in range(len(made))),
        labels=np.zeros((len(made), faults), dtype=np.bool_),
        groups=tuple(f"synthetic-{index}" for index in range(len(made))),
        parts=(part,) * SYNTHETIC_FRAMES,
        frames=np.concatenate([stage.prepare(data) for data in encoded]),
        masks=None,
        synthetic=True,
    )
