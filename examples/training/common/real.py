"""Samples from the real image sets whose licences allow training, read from their ``open`` folders only.

The validation cut is made by blocks or positions, not at random: neighbouring files of these sets show the same strip or the same spot.
The sets without a licence (magnetic_tile) and those for other uses are never read here.
"""

from __future__ import annotations

import csv
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import cv2
import numpy as np

from examples.training.common import words
from examples.training.common.samples import IMAGE_SIZE, Mask, Pixels, Sample, resized

_STEEL = {
    "finishing_roll_printing": "roll_printing",
    "iron_sheet_ash": "sheet_ash",
    "oxide_scale_of_plate_system": "plate_scale",
    "oxide_scale_of_temperature_system": "temperature_scale",
    "red_iron": "red_iron",
    "slag_inclusion": "slag",
    "surface_scratch": "scratch",
}
_SOLAR = {
    "Cell": "cell", "Cell-Multi": "cell_multi", "Cracking": "solar_crack", "Diode": "diode", "Diode-Multi": "diode_multi", "Hot-Spot": "hot_spot",
    "Hot-Spot-Multi": "hot_spot_multi", "Offline-Module": "offline", "Shadowing": "shadowing", "Soiling": "soiling", "Vegetation": "vegetation",
    "No-Anomaly": "normal",
}  # fmt: skip
_SOLAR_MOST = 400
_SCREW_VALIDATION = 3


def data_root() -> Path:
    """Where the shared sets lie: EDGE_DATA, else ../shared/data."""
    return Path(os.environ.get("EDGE_DATA", "../shared/data"))


def _decoded(data: bytes, name: str) -> Pixels:
    """A picture file's bytes as RGB. Raises ValueError when it cannot be decoded."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"cannot decode picture {name}; fetch the set again")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _read(path: Path) -> Pixels:
    return _decoded(path.read_bytes(), path.name)


def _crop(image: Pixels, random: Random, least: float) -> Pixels:
    """A random part of a picture, sides at least ``least`` of the whole."""
    rows, columns = image.shape[:2]
    height, width = int(rows * random.uniform(least, 1)), int(columns * random.uniform(least, 1))
    top, left = random.randint(0, rows - height), random.randint(0, columns - width)
    return image[top : top + height, left : left + width]


def _facts(domain: str, concept: str) -> frozenset[str]:
    return words.facts(domain, frozenset() if concept == "normal" else frozenset({concept}))


def steel(root: Path, edge: int = IMAGE_SIZE) -> Iterator[Sample]:
    """X-SDD: one sample a picture whole and one cut; every fifth block of ten file numbers is validation."""
    for folder, concept in _STEEL.items():
        paths = sorted(
            (root / "xsdd_hot_rolled_steel/open" / folder).glob("*.jpg"),
            key=lambda path: int("".join(filter(str.isdigit, path.stem))),
        )
        blocks = sorted({int("".join(filter(str.isdigit, path.stem))) // 10 for path in paths})
        validation = set(blocks[2::5])
        for path in paths:
            image = _read(path)
            split = "validation" if int("".join(filter(str.isdigit, path.stem))) // 10 in validation else "train"
            note = {"label": concept}
            yield Sample(resized(image, edge), _facts("steel", concept), "steel", split, note=note)
            if split == "train":
                yield Sample(
                    resized(_crop(image, Random(path.stem), 0.7), edge),
                    _facts("steel", concept),
                    "steel",
                    split,
                    note=note,
                )


def solar(root: Path, edge: int = IMAGE_SIZE) -> Iterator[Sample]:
    """Thermal modules: at most a few hundred a class; every sixth block of ten ids of a class is validation."""
    base = root / "solar_thermal_modules/open"
    labels = {row["file"]: row["label"] for row in csv.DictReader(io.StringIO((base / "labels.csv").read_text()))}
    taken: dict[tuple[str, str], int] = {}
    with tarfile.open(base / "images.tar.gz") as archive:
        for member in archive:
            label = labels.get(Path(member.name).name)
            if not member.isfile() or label is None:
                continue
            split = "validation" if int(Path(member.name).stem) // 10 % 6 == 0 else "train"
            taken[label, split] = taken.get((label, split), 0) + 1
            if taken[label, split] > _SOLAR_MOST * (3 if label == "No-Anomaly" and split == "train" else 1):
                continue
            stream = archive.extractfile(member)
            if stream is None:
                continue
            image = _decoded(stream.read(), member.name)
            concept = _SOLAR[label]
            yield Sample(
                resized(image, edge), _facts("solar", concept), "solar", split, turnable=True, note={"label": concept}
            )


def _polygons(entries: list[dict[str, object]], shape: tuple[int, int]) -> Mask:
    mask = np.zeros(shape, np.uint8)
    for entry in entries:
        cv2.fillPoly(mask, [np.asarray(entry["points"], np.float32).round().astype(np.int32)], 1)
    return mask.astype(bool)


def screw(root: Path, edge: int = IMAGE_SIZE) -> Iterator[Sample]:
    """Ball screw patches: pitting boxes against boxes elsewhere in the same frame; the last positions are validation.

    The third kind of box (same place before) is left out: it drifts with time, as the set's README says.
    """
    base = root / "bsdata_ballscrew/open"
    rows = [
        row
        for row in csv.DictReader(io.StringIO((base / "patches.csv").read_text()))
        if row["kind"] != "same_place_before"
    ]
    polygons = json.loads((base / "annotations.json").read_text())
    validation = set(sorted({row["sequence"] for row in rows})[-_SCREW_VALIDATION:])
    for number, row in enumerate(rows):
        image = _read(base / "images" / row["file"])
        mask = _polygons(polygons.get(row["file"], []), image.shape[:2])
        pitting = row["kind"] == "pitting"
        split = "validation" if row["sequence"] in validation else "train"
        random = Random(number)
        for turn in range(4 if split == "train" else 1):
            y, x, side = int(row["y"]), int(row["x"]), int(row["h"])
            if turn:
                side = int(side * random.uniform(0.75, 1.0 if not pitting else 1.3))
                y, x = y + random.randint(-side // 8, side // 8), x + random.randint(-side // 8, side // 8)
            y, x = max(0, min(y, image.shape[0] - side)), max(0, min(x, image.shape[1] - side))
            window = mask[y : y + side, x : x + side]
            if pitting != bool(window.any()):
                continue
            cut = resized(np.ascontiguousarray(image[y : y + side, x : x + side]), edge)
            masks = {"pitting": window} if pitting else {}
            label = "pitting" if pitting else "normal"
            yield Sample(cut, _facts("screw", label), "screw", split, masks=masks, turnable=True, note={"label": label})


def pan(root: Path, edge: int = IMAGE_SIZE) -> Iterator[Sample]:
    """Metal pans with a simulated crack: seven of ten a class for training, in several cuts, the last three for validation."""
    for folder, concept in (("defective", "crack"), ("nominal", "normal")):
        for number, path in enumerate(sorted((root / "metal_pan_crack/open" / folder).glob("*.jpg"))):
            image = _read(path)
            split = "train" if number < 7 else "validation"
            for turn in range(8 if split == "train" else 1):
                part = _crop(image, Random(f"{path.stem}/{turn}"), 0.85) if turn else image
                yield Sample(
                    resized(np.ascontiguousarray(part), edge),
                    _facts("pan", concept),
                    "pan",
                    split,
                    note={"label": concept},
                )


SETS: dict[str, Callable[..., Iterator[Sample]]] = {"steel": steel, "solar": solar, "screw": screw, "pan": pan}
"""Domain -> its samples from the data root."""
