"""States in words what a set of normal pictures lacks to teach what is normal: number, one size, variety; pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.errors import RejectedInput
from edge.inference.picture_header import read_header
from edge.inference.preprocess import CALIBRATION
from exporters.pictures.copies import NEAR_BITS
from exporters.pictures.grouping import difference_hashes

SHAPES_APART = 1.1  # ratio of two pictures' widths over heights from which stretching them to one frame shows


def notes(encoded: Sequence[bytes], frames: NDArray[np.uint8]) -> tuple[str, ...]:
    """One sentence for each lack; none: there is none.

    Args:
        encoded: the normal pictures as they came.
        frames: the same, uint8 [n, H, W, 3].
    """
    found = (_one(frames), _sizes(encoded), _alike(frames))
    return tuple(note for note in found if note)


def _one(frames: NDArray[np.uint8]) -> str:
    if len(frames) != 1:
        return ""
    return (
        "ONE PICTURE: what is normal is guessed from the patches of a single normal image, so any other light or part may be flagged. "
        "Add normal images; each one makes it better."
    )


def _sizes(encoded: Sequence[bytes]) -> str:
    sizes = set()
    for one in encoded:
        try:
            header = read_header(one, CALIBRATION)
        except RejectedInput:  # a picture that cannot be read was refused before
            continue
        sizes.add((header.width, header.height))
    shapes = sorted(sizes, key=lambda size: size[0] / size[1])
    if len(shapes) < 2 or shapes[-1][0] * shapes[0][1] < SHAPES_APART * shapes[0][0] * shapes[-1][1]:
        return ""
    (low, high), (wide, flat) = shapes[0], shapes[-1]
    return (
        f"MIXED SIZES: the normal images have {len(shapes)} sizes, from {low} x {high} to {wide} x {flat} px, and all are stretched to one frame. "
        "Cut them to one shape, or make a bundle for each, unless the camera sends them so."
    )


def _alike(frames: NDArray[np.uint8]) -> str:
    if len(frames) < 2:
        return ""
    packed = np.packbits(difference_hashes(frames).reshape(len(frames), -1), axis=1)
    apart = np.bitwise_count(packed ^ packed[:1]).sum(axis=1)
    if apart.max() > NEAR_BITS:
        return ""
    return (
        f"ALL ALIKE: the {len(frames)} normal images are nearly one and the same picture, so a little other light or place will be flagged. "
        "Add images of other parts and other hours."
    )
