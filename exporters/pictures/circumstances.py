"""Describes each picture by what has nothing to do with a fault: light, colours, background, file and hour, as numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from edge.inference.picture_header import read_header
from edge.inference.preprocess import CALIBRATION

Numbers = NDArray[np.float64]

RIM = 8  # of a side: the outer eighth is background in most pictures
COARSE = 4  # px between those looked at; light and colours need no more
EXIF_BYTES = 65_536  # of a file, in which its EXIF block lies if it has one
NAME_CHARACTERS = 1_000
_EXIF_TIME = re.compile(rb"[12]\d{3}:[01]\d:[0-3]\d [0-2]\d:[0-5]\d:[0-5]\d")
_NAMED_TIME = re.compile(r"(?<!\d)(20\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)(?:[-_.T ]{0,2}([0-2]\d)[-_.:]?([0-5]\d))?")


def circumstances(encoded: Sequence[bytes], names: Sequence[str], frames: NDArray[np.uint8]) -> Mapping[str, Numbers]:
    """Circumstance -> its numbers [N, D]; those that are alike for all N pictures are left out.

    Args:
        encoded: N files, each one that the daemon accepts.
        names: N file names.
        frames: uint8 [N, H, W, 3].
    """
    seen = np.array([_looks(frame) for frame in frames]).reshape(len(frames), 7)
    headers = [read_header(one, CALIBRATION) for one in encoded]
    found = {
        "mean light": seen[:, :1],
        "contrast": seen[:, 1:2],
        "mean colour": seen[:, 2:5],
        "light at the rim": seen[:, 5:],
        "file size": np.array([[math.log(len(one))] for one in encoded]),
        "picture size": np.array([[math.log(header.width), math.log(header.height)] for header in headers]),
        "file type": _kinds(encoded, names),
        **_times([taken(one, name) for one, name in zip(encoded, names, strict=True)]),
    }
    return {name: numbers for name, numbers in found.items() if len(numbers) and np.ptp(numbers, axis=0).any()}


def taken(encoded: bytes, name: str) -> datetime | None:
    """When a picture was taken by its EXIF block, else by a date or time in its name; None: neither tells."""
    exif = _EXIF_TIME.search(encoded, 0, EXIF_BYTES) if b"Exif" in encoded[:EXIF_BYTES] else None
    if exif is not None:
        found = _moment(re.findall(r"\d+", exif[0].decode()))
        if found is not None:
            return found
    named = _NAMED_TIME.search(name[-NAME_CHARACTERS:])
    return None if named is None else _moment([part for part in named.groups() if part is not None])


def _moment(parts: Sequence[str]) -> datetime | None:
    """Year, month, day and, if there are more, hour and minute, by the camera's own clock, which is compared with itself alone."""
    year, month, day, hour, minute = [int(part) for part in (*parts, "0", "0")][:5]
    try:
        return datetime(year, month, day, hour, minute, tzinfo=UTC)
    except ValueError:
        return None


def _looks(frame: NDArray[np.uint8]) -> list[float]:
    """Mean, spread, mean of each colour, and mean and spread of the rim of a picture [H, W, 3], in grey levels."""
    coarse = frame[::COARSE, ::COARSE].astype(np.float32)
    grey = coarse.mean(axis=2)
    down, right = max(1, grey.shape[0] // RIM), max(1, grey.shape[1] // RIM)
    rim = np.concatenate([grey[:down].ravel(), grey[-down:].ravel(), grey[:, :right].ravel(), grey[:, -right:].ravel()])
    return [float(x) for x in (grey.mean(), grey.std(), *coarse.mean(axis=(0, 1)), rim.mean(), rim.std())]


def _kinds(encoded: Sequence[bytes], names: Sequence[str]) -> Numbers:
    """One column for each kind of file, by its first bytes and its ending, 1 where a picture is of it."""
    kinds = [(one[:2], PurePosixPath(name).suffix) for one, name in zip(encoded, names, strict=True)]
    return np.array([[float(kind == one) for one in sorted(set(kinds))] for kind in kinds])


def _times(moments: Sequence[datetime | None]) -> dict[str, Numbers]:
    """Day and hour of each picture; nothing where one of them does not tell."""
    if any(moment is None for moment in moments):
        return {}
    known = [moment for moment in moments if moment is not None]
    days = np.array([moment.toordinal() for moment in known], np.float64)
    middle = days - days.mean() if len(days) else days
    turns = np.array([(moment.hour + moment.minute / 60) / 24 * 2 * math.pi for moment in known])
    return {"day": np.stack([middle, middle**2], axis=1), "hour": np.stack([np.sin(turns), np.cos(turns)], axis=1)}
