"""Lays a set out as folders of pictures where it holds something else: boxes within frames, or an archive."""

from __future__ import annotations

import csv
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

WINDOW = 128  # px of a box at a frame's first size
FRAME_WIDTH = 1130  # px; later frames are larger and are brought to this width
WINDOWS_A_FRAME = 3  # of the normal frames, drawn at random
QUALITY = 95  # of the JPEGs


@dataclass(frozen=True, slots=True)
class Step:
    """One frame of a position over time: which step it is, and whether it is annotated as faulty."""

    sequence: str
    index: int
    file: Path
    label: str


def steps(folder: Path) -> list[Step]:
    """All frames of sequences, by position and time."""
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["t_index"]]
    made = [Step(row["sequence"], int(row["t_index"]), folder / "images" / row["file"], row["label"]) for row in rows]
    return sorted(made, key=lambda step: (step.sequence, step.index))


def frame(file: Path) -> Image.Image:
    """A frame at the first frames' width."""
    with Image.open(file) as opened:
        found = opened.convert("RGB")
    return found.resize((FRAME_WIDTH, round(found.height * FRAME_WIDTH / found.width)), Image.Resampling.BILINEAR)


def windows(picture: Image.Image) -> list[Image.Image]:
    """Boxes that cover a frame, in rows, the last ones moved inwards."""
    return [
        picture.crop((left, top, left + WINDOW, top + WINDOW))
        for top in _starts(picture.height)
        for left in _starts(picture.width)
    ]


def _starts(length: int) -> list[int]:
    count = -(-length // WINDOW)
    return [round(index * (length - WINDOW) / max(count - 1, 1)) for index in range(count)]


def ballscrew(source: Path, target: Path) -> None:
    """Boxes of patches.csv as ``KIND/SEQUENCE_STEP_N.jpg``, and random windows of the normal frames as ``window/...``."""
    with (source / "patches.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        box = [int(row[key]) for key in ("x", "y", "w", "h")]
        with Image.open(source / "images" / row["file"]) as opened:
            crop = opened.convert("RGB").crop((box[0], box[1], box[0] + box[2], box[1] + box[3]))
        _save(crop, target / row["kind"], f"{row['sequence'] or 'other'}-{row['t_index'] or 0}-{number}.jpg")
    random = np.random.default_rng(0)
    for step in steps(source):
        if step.label == "normal":
            shown = windows(frame(step.file))
            for place in random.choice(len(shown), WINDOWS_A_FRAME, replace=False):
                _save(shown[int(place)], target / "window", f"{step.sequence}-{step.index}-{place}.jpg")


def solar(source: Path, target: Path) -> None:
    """The archive's pictures as ``CLASS/ID.jpg``."""
    with (source / "labels.csv").open(encoding="utf-8", newline="") as stream:
        label = {row["file"]: row["label"] for row in csv.DictReader(stream)}
    with tarfile.open(source / "images.tar.gz") as archive:
        for member in archive:
            content = archive.extractfile(member)
            name = Path(member.name).name
            if content is not None and name in label:
                folder = target / label[name].lower()
                folder.mkdir(parents=True, exist_ok=True)
                with (folder / name).open("wb") as stream:
                    shutil.copyfileobj(content, stream)


def _save(picture: Image.Image, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    picture.save(folder / name, quality=QUALITY)
