"""The pictures that are replayed: which file shows what, and which ones are views of one tile."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge.bundle import InputSpec
from edge.preprocess import Preprocessor
from exporters.grouping import group_names
from exporters.recipe import Grouping

FAULTS = ("blowhole", "break", "crack", "fray", "uneven")
FREE = "free"
# The rule of the set's README: runs of frame numbers, merged where two pictures are near duplicates.
TILES = Grouping(number_pattern=r"_num_(\d+)", run_gap=500, duplicate_bits=14, duplicate_window=6000)


@dataclass(frozen=True, slots=True)
class Picture:
    """One file, its class (``free`` or a fault's id), and the tile that it shows."""

    file: Path
    label: str
    tile: str


def in_folder(folder: Path) -> list[Picture]:
    """Every picture of a folder laid out as ``MT_Free``, ``MT_Crack`` ... (also below a subfolder), with its tile.

    Raises:
        SystemExit: there is none.
    """
    found = [
        (file, kind) for kind in (FREE, *FAULTS) for file in sorted(folder.glob(f"**/MT_{kind.capitalize()}/**/*.jpg"))
    ]
    if not found:
        raise SystemExit(f"{folder} has no MT_Free, MT_Crack ... folders with .jpg files")
    tiles = group([file for file, _ in found])
    return [Picture(file, label, tile) for (file, label), tile in zip(found, tiles, strict=True)]


def held_out(bundle: Path, roots: Sequence[Path]) -> list[Picture]:
    """The pictures that a bundle's own list (images.csv) names as never fitted or calibrated on.

    Args:
        bundle: bundle folder.
        roots: where the list's relative names may count from.

    Raises:
        SystemExit: a picture is in none of the roots.
    """
    with (bundle / "images.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["part"] == "test"]
    found = []
    for row in rows:
        file = next((root / row["picture"] for root in roots if (root / row["picture"]).is_file()), None)
        if file is None:
            raise SystemExit(f"{row['picture']} of {bundle}/images.csv is not below {', '.join(map(str, roots))}")
        label = next((fault for fault in FAULTS if fault in row["faults"].split()), FREE)
        found.append(Picture(file, label, row["group"]))
    return found


def seen(bundle: Path, pictures: Sequence[Picture]) -> int:
    """How many pictures have the same bytes as one that the bundle was fitted or calibrated on, as far as its list tells by name."""
    with (bundle / "images.csv").open(encoding="utf-8", newline="") as stream:
        used = {"/".join(Path(row["picture"]).parts[-2:]) for row in csv.DictReader(stream) if row["part"] != "test"}
    return sum("/".join(picture.file.parts[-2:]) in used for picture in pictures)


def group(files: Sequence[Path]) -> list[str]:
    """The tile of each file, by the README's rule."""
    stage = Preprocessor(InputSpec(name="frame", width=160, height=160, resize="stretch"))
    frames = np.concatenate([stage.prepare(file.read_bytes()) for file in files])
    return group_names([file.name for file in files], frames, TILES)


def shuffled(pictures: Sequence[Picture]) -> list[Picture]:
    """One fixed order that mixes all classes: by the hash of the file's name."""
    return sorted(pictures, key=lambda picture: hashlib.sha256(picture.file.name.encode()).hexdigest())
