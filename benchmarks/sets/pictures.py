"""The pictures of a set: what each shows, which belong together, and what a bundle said of them out of fold."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.inference.preprocess import Preprocessor
from edge.manifest import InputSpec
from exporters.pictures.grouping import group_names
from exporters.recipe import Recipe, find_images

HASHED = InputSpec(name="frame", width=160, height=160, resize="stretch")  # near duplicates are sought at this size
OPEN = "/open/"  # in a recipe's pattern: the half of a set that is fitted on


@dataclass(frozen=True, slots=True)
class Picture:
    """One file, the ids of the faults that it shows (none: normal), and its group.

    Attributes:
        fold: of the member that never saw it; -1: no member did.
        scores: by fault, out of fold, as the bundle's list has them; empty: not asked yet.
    """

    file: Path
    faults: frozenset[str]
    group: str
    tested: bool = True
    fold: int = -1
    scores: tuple[float, ...] = ()

    def shows(self, channel: str, named: Sequence[str]) -> bool:
        """Whether it shows what a channel asks for; a channel that is none of the named faults asks for any."""
        return channel in self.faults if channel in named else bool(self.faults)


def of_bundle(bundle: Path, roots: Sequence[Path]) -> list[Picture]:
    """Every picture that a bundle was made with, from its own list (images.csv).

    Args:
        bundle: its folder.
        roots: where the list's relative names may count from.

    Raises:
        SystemExit: a picture is in none of the roots.
    """
    with (bundle / "images.csv").open(encoding="utf-8", newline="") as stream:
        header, *rows = list(csv.reader(stream))
    found = []
    for name, group, part, fold, faults, *scores in rows:
        file = next((root / name for root in roots if (root / name).is_file()), None)
        if file is None:
            raise SystemExit(f"{name} of {bundle}/images.csv is not below {', '.join(map(str, roots))}")
        shown = frozenset(faults.split()) & set(header[5:])
        found.append(
            Picture(file, shown, group, part == "test", int(fold or -1), tuple(float(score) for score in scores))
        )
    return found


def in_folder(recipe: Recipe, base: Path, folder: Path) -> list[Picture]:
    """The pictures of another folder that is laid out like the recipe's own half of the set, by the recipe's patterns.

    Raises:
        ConfigError: a pattern finds nothing there.
    """
    shown: dict[Path, set[str]] = {file: set() for file in find_images(_there(recipe.images.normal, folder), base)}
    for fault in recipe.faults:
        for file in find_images(_there(fault.images, folder), base):
            shown.setdefault(file, set()).add(fault.id)
    files = sorted(shown)
    stage = Preprocessor(HASHED)
    frames = np.concatenate([stage.prepare(file.read_bytes()) for file in files])
    groups = group_names([file.as_posix() for file in files], frames, recipe.images.grouping)
    return [Picture(file, frozenset(shown[file]), group) for file, group in zip(files, groups, strict=True)]


def _there(patterns: Sequence[str], folder: Path) -> list[str]:
    return [f"{folder.resolve().as_posix()}/{pattern.partition(OPEN)[2]}" for pattern in patterns]


def shuffled(pictures: Sequence[Picture]) -> list[Picture]:
    """One fixed order that mixes all classes: by the hash of the file's name."""
    return sorted(pictures, key=lambda picture: hashlib.sha256(picture.file.name.encode()).hexdigest())
