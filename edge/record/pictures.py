r"""A folder of one camera's pictures: at most one in a while, none twice, none that shows what the last one showed; within a size.

The name of a file is the time of its picture in UTC, so that a recipe can group them: ``grouping.pattern = "(\d{8}T\d{4})"`` puts a minute together.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.errors import RejectedInput
from edge.frame import Frame
from edge.wire.message import timestamp
from edge.wire.topics import content_type

#: Encoded picture to a small uint8 tensor; raises RejectedInput for what cannot be judged.
Prepare = Callable[[bytes], NDArray[np.uint8]]
#: Encoded picture to the encoded part of it that is kept; raises RejectedInput likewise.
Cut = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which pictures are kept.

    Args:
        every_ns: at most one in so long.
        novelty: least mean difference from the last kept one, of 255; 0: whatever is no exact copy.
        max_bytes: of this camera's folder, with what was there before; beyond it nothing is kept.
    """

    every_ns: int
    novelty: float
    max_bytes: int


class PictureFolder:
    """Keeps pictures of one camera.

    Args:
        folder: is made; pictures that are there count as kept.
        choice: which are kept.
        prepare: makes a small tensor of a picture, by which two are compared; a picture that it refuses is not kept.
        cut: what is kept of an encoded picture; one that it refuses is not kept.

    Raises:
        OSError: the disk refuses; so does `offer`.
    """

    def __init__(self, folder: Path, choice: Choice, prepare: Prepare, cut: Cut = bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.counts: Counter[str] = Counter()  # by what became of each picture
        self._choice = choice
        self._prepare = prepare
        self._cut = cut
        self._seen = {hashlib.sha256(path.read_bytes()).digest() for path in folder.iterdir() if path.is_file()}
        self._held_bytes = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        self._last: NDArray[np.uint8] | None = None
        self._next_ns: int | None = None

    @property
    def full(self) -> bool:
        """Whether the size is reached."""
        return self._held_bytes >= self._choice.max_bytes

    def offer(self, frame: Frame) -> str:
        """Keep a picture or not; what became of it: kept, soon, copy, alike, full, or the reason of a rejection."""
        outcome = self._decide(frame)
        self.counts[outcome] += 1
        return outcome

    def _decide(self, frame: Frame) -> str:
        if self._next_ns is not None and frame.received_ns < self._next_ns:
            return "soon"
        try:
            frame = replace(frame, encoded=self._cut(frame.encoded))
        except RejectedInput as error:
            return error.reason
        if self._held_bytes + len(frame.encoded) > self._choice.max_bytes:
            self._held_bytes = self._choice.max_bytes
            return "full"
        content = hashlib.sha256(frame.encoded).digest()
        if content in self._seen:
            return "copy"
        try:
            tensor = self._prepare(frame.encoded)
        except RejectedInput as error:
            return error.reason
        if self._last is not None and _difference(tensor, self._last) < self._choice.novelty:
            return "alike"
        self._write(frame)
        self._seen.add(content)
        self._last = tensor
        self._held_bytes += len(frame.encoded)
        self._next_ns = frame.received_ns + self._choice.every_ns
        return "kept"

    def _write(self, frame: Frame) -> None:
        """Whole or not at all."""
        wall_ns = frame.received_wall_ns if frame.captured_wall_ns is None else frame.captured_wall_ns
        name = re.sub("[-:]", "", timestamp(wall_ns)) + f"_{frame.seq}"
        path = self.folder / f"{name}.{'png' if content_type(frame.encoded) == 'image/png' else 'jpg'}"
        part = path.with_suffix(".part")
        part.write_bytes(frame.encoded)
        os.replace(part, path)  # noqa: PTH105 - Path.replace is the same, os.replace says that it is atomic


def _difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())
