"""Reads the site's own images as the exact tensors the daemon would make, with labels, groups and parts."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExportError, RejectedInput
from edge.inference.picture_header import read_header
from edge.inference.preprocess import CALIBRATION, Preprocessor, encode_jpeg
from edge.manifest import InputSpec
from exporters.pictures import copies
from exporters.pictures.grouping import Part, folds, group_names, split
from exporters.recipe import DATA_ROOT_VARIABLE, Recipe, expand, find_images, passed_over

NORMAL = "normal"  # class name of images without a fault, in splits and tables
LOOKED_AT = 100  # of a recipe's pictures, for their sizes
MAX_KINDS = 6  # of files passed over, in one note
SYNTHETIC_FRAMES = 32  # substitutes when a recipe names no images


@dataclass(frozen=True, slots=True)
class Dataset:
    """N pictures in one order: files, what they show, which part they serve, and their tensors.

    ``labels`` is bool [N, K] in the order of the recipe's faults (all False: normal); ``frames`` uint8 [N, H, W, 3];
    ``masks`` uint8 [N, H, W] (255 is fault) or None. ``folds`` names the member of a head in folds that never sees the picture, -1 where
    all members judge (part ``test``); empty without folds. ``synthetic`` datasets hold no site images.
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
    notes: tuple[str, ...] = ()  # what of the site's files did not count, and why

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


def load_dataset(recipe: Recipe, base: Path, spec: InputSpec) -> Dataset:
    """Read, decode, group and split a recipe's images; without any, a seeded synthetic dataset.

    Raises:
        ConfigError: a pattern finds nothing.
        ExportError: a picture is one that the daemon would reject, or two classes claim it.
    """
    files, labels, copied = _label(recipe, base)
    if not files:
        return _synthetic(len(recipe.channels), spec)
    stage = Preprocessor(spec, CALIBRATION)
    encoded = tuple(file.read_bytes() for file in files)
    frames = np.concatenate([_decode(stage, data, file) for data, file in zip(encoded, files, strict=True)])
    ids = [fault.id for fault in recipe.faults]
    rows, labels = copies.distinct(copies.tensor_keys(frames), labels, [_name(file, base) for file in files], ids)
    copied += len(files) - len(rows)
    files, encoded, frames = [files[row] for row in rows], tuple(encoded[row] for row in rows), frames[rows]
    names = [_name(file, base) for file in files]
    groups = group_names(names, frames, recipe.images.grouping)
    classes = [[ids[k] for k in np.flatnonzero(row)] or [NORMAL] for row in labels]
    fit, test = recipe.images.fit_share, recipe.images.test_share
    shares: dict[Part, float] = {"fit": fit, "calibrate": 1.0 - fit - test, "test": test}
    parts = split(groups, classes, shares)
    if recipe.head.kind == "fitted":
        parts = without_idle(parts, groups, labels)
    return Dataset(
        encoded=encoded,
        names=tuple(names),
        labels=_with_unnamed(labels) if recipe.unnamed.enabled else labels,
        groups=tuple(groups),
        parts=tuple(parts),
        frames=frames,
        masks=_masks(recipe.images.mask_suffix, files, stage),
        folds=_folds(parts, groups, classes, recipe.head.folds) if recipe.head.folds > 1 else (),
        notes=(*left_out(recipe, base, copied), *_near_notes(frames, groups, names)),
    )


def left_out(recipe: Recipe, base: Path, copied: int) -> list[str]:
    """What lies where the recipe's patterns look and does not count, in words: `copied` pictures, files that are no pictures, linked folders."""
    notes = [f"{copied} pictures are copies of others and count once."] if copied else []
    for patterns in (recipe.images.normal, *(fault.images for fault in recipe.faults)):
        passed = passed_over(patterns, base)
        if passed:
            found = ", ".join(f"{count} {what}" for what, count in passed.most_common(MAX_KINDS))
            notes.append(
                f"Passed over in {', '.join(patterns)}: {found}; only JPEG and PNG files count, and linked folders are not entered."
            )
    return notes


def _near_notes(frames: NDArray[np.uint8], groups: Sequence[str], names: Sequence[str]) -> list[str]:
    pairs = copies.near_duplicates(frames, groups)
    if not pairs:
        return []
    first, second = pairs[0]
    found = f"{len(pairs)} pictures look like one of another group saved again, e.g. {names[first]} and {names[second]}"
    return [
        f"{found}: they count as evidence each. Join them with images.grouping (pattern, or duplicate_bits), or remove them."
    ]


def _with_unnamed(labels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A last column for the unnamed channel: whatever fault a picture shows."""
    return np.concatenate([labels, labels.any(axis=1, keepdims=True)], axis=1)


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
    """The fold of each picture, -1 in part ``test``. Raises ExportError if only some have a normal picture to calibrate with."""
    used = [index for index, part in enumerate(parts) if part != "test"]
    found = folds([groups[index] for index in used], [classes[index] for index in used], count)
    calibrating = {fold for index, fold in zip(used, found, strict=True) if classes[index] == [NORMAL]}
    if len(calibrating) < count and any(one == [NORMAL] for one in classes):
        raise ExportError(
            f"head.folds = {count}: only {len(calibrating)} of the folds have a normal picture; lower it or add groups of normal pictures."
        )
    placed = dict(zip(used, found, strict=True))
    return tuple(placed.get(index, -1) for index in range(len(parts)))


def count_images(recipe: Recipe, base: Path) -> Mapping[str, int]:
    """How many different pictures each class has, without decoding one; empty when the recipe names none. Raises what `load_dataset` would."""
    files, labels, _ = _label(
        recipe, base, thin=False
    )  # two classes that claim one picture are refused before the work
    if not files:
        return {}
    patterns = {NORMAL: recipe.images.normal, **{fault.id: fault.images for fault in recipe.faults}}
    counts = (int((~labels.any(axis=1)).sum()), *(int(shown) for shown in labels.sum(axis=0)))
    return {name: count for (name, chosen), count in zip(patterns.items(), counts, strict=True) if chosen}


def count_left_out(recipe: Recipe, base: Path) -> list[str]:
    """`left_out`, for a plan: without decoding a picture."""
    return left_out(recipe, base, _label(recipe, base, thin=False)[2])


def sizes(recipe: Recipe, base: Path) -> Sequence[tuple[int, int]]:
    """Width and height in px of some of a recipe's pictures, by their headers; a picture that cannot be read is for `load_album` to refuse."""
    files, _, _ = _label(recipe, base)
    found = set()
    for file in files[:: max(1, len(files) // LOOKED_AT)]:
        with contextlib.suppress(RejectedInput, OSError):
            header = read_header(file.read_bytes(), CALIBRATION)
            found.add((header.width, header.height))
    return sorted(found)


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


def _label(recipe: Recipe, base: Path, *, thin: bool = True) -> tuple[list[Path], NDArray[np.bool_], int]:
    """All files that are no copies, sorted and thinned to the limit, and their labels bool [N, K]; and how many copies there were."""
    shown: dict[Path, set[int]] = {file: set() for file in find_images(recipe.images.normal, base)}
    normal = {file.resolve() for file in shown}
    for index, fault in enumerate(recipe.faults):
        for file in find_images(fault.images, base):
            if file.resolve() in normal:
                raise ExportError(f"{file} is listed as normal and as {fault.id}; make one of the patterns narrower.")
            shown.setdefault(file, set()).add(index)
    files = sorted(shown)
    labels = np.zeros((len(files), len(recipe.faults)), dtype=np.bool_)
    for row, file in enumerate(files):
        labels[row, list(shown[file])] = True
    ids = [fault.id for fault in recipe.faults]
    rows, labels = copies.distinct(copies.file_keys(files), labels, [str(file) for file in files], ids)
    copied = len(files) - len(rows)
    files = [files[row] for row in rows]
    step = max(1, -(-len(files) // recipe.images.limit)) if thin else 1
    return files[::step], labels[::step], copied


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


def _synthetic(faults: int, spec: InputSpec) -> Dataset:
    part: Part = "calibrate"
    made = synthetic_frames(SYNTHETIC_FRAMES, spec.height, spec.width, seed=0)
    encoded = tuple(encode_jpeg(frame) for frame in made)
    stage = Preprocessor(spec, CALIBRATION)
    return Dataset(
        encoded=encoded,
        names=tuple(f"synthetic-{index}" for index in range(len(made))),
        labels=np.zeros((len(made), faults), dtype=np.bool_),
        groups=tuple(f"synthetic-{index}" for index in range(len(made))),
        parts=(part,) * SYNTHETIC_FRAMES,
        frames=np.concatenate([stage.prepare(data) for data in encoded]),
        masks=None,
        synthetic=True,
    )
