"""The deletion check: fills in the place by which a fitted head found a fault, and asks again. A head that sees the fault gives a lower score then.

A head can be right for the wrong reason, by a reflection or by the light of the day. The check asks for pictures that the head never saw, fills
the hottest connected place of its own map from its rim, and counts how often the evidence falls. A fault that is all over a picture has no such
place, so a failed check is reported prominently and disarms nothing: the bound on false alarms holds either way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exporters.fit.feature_cache import Features
from exporters.fit.grids import on_finest

LEAST_SHARE = 0.9  # of the pictures, whose evidence must fall
HALF_WAY = 0.5  # from the usual patch to the hottest: what is warmer belongs to the place
LARGEST_SHARE = 0.25  # of the picture; a larger place is cut down to its hottest patches
PICTURES = 24  # of each fault; more add nothing
RIM = 4  # px around the place, whose colours fill it
AT_ONCE = 16  # frames in memory beside their features


@dataclass(frozen=True, slots=True)
class Deletion:
    """Of one fault: pictures asked about, how many fell, and the mean fall in units of evidence."""

    fault: str
    pictures: int
    fell: int
    mean_fall: float

    @property
    def holds(self) -> bool:
        """Whether the head looks at the fault."""
        return self.fell >= LEAST_SHARE * self.pictures and self.mean_fall > 0

    @property
    def note(self) -> str:
        """A line of the report."""
        result = (
            f"filled in where the head looks, {self.fell} of {self.pictures} pictures with {self.fault} score lower"
        )
        if self.holds:
            return f"Deletion check: {result}."
        return (
            f"DELETION CHECK FAILED: {result}, and the mean evidence {'falls' if self.mean_fall > 0 else 'rises'}. The head may tell {self.fault} "
            "by the light or the ground; or the fault is all over the picture. Give normal and faulty pictures of the same hour, and masks."
        )


def check(
    head: nn.Module,
    features: Features,
    frames: NDArray[np.uint8],
    labels: NDArray[np.bool_],
    *,
    folds: Sequence[int],
    faults: Sequence[str],
) -> list[Deletion]:
    """Ask about pictures that show a fault, each by the member that never saw it, or by all where none did.

    Args:
        head: with `depths` and `where`.
        features: as `Model.features` gives them.
        frames: uint8 [n, H, W, 3], none of them fitted on by the member that judges.
        labels: bool [n, K].
        folds: the member of each picture, -1: all; empty: the head has no members.
        faults: K ids.
    """
    found = []
    for column, fault in enumerate(faults):
        rows = np.flatnonzero(labels[:, column]).tolist()
        rows = rows[:: max(1, -(-len(rows) // PICTURES))]
        falls = [_fall(head, features, frames[row], column, folds[row] if len(folds) else -1) for row in rows]
        if falls:
            found.append(Deletion(fault, len(falls), int(sum(fall > 0 for fall in falls)), float(np.mean(falls))))
    return found


def _fall(head: nn.Module, features: Features, frame: NDArray[np.uint8], column: int, member: int) -> float:
    """Evidence of the picture less that of the picture filled in."""
    ask = _asking(head, features, column, member)
    before, warmth = ask(frame)
    after, _ = ask(filled(frame, hottest(warmth)))
    return before - after


def _asking(
    head: nn.Module, features: Features, column: int, member: int
) -> Callable[[NDArray[np.uint8]], tuple[float, NDArray[np.float32]]]:
    depths: tuple[float, ...] = head.depths  # type: ignore[assignment] # heads carry the depths they read
    judge: nn.Module = head.heads[member] if member >= 0 else head  # type: ignore[index,assignment] # members of a head in folds

    def ask(frame: NDArray[np.uint8]) -> tuple[float, NDArray[np.float32]]:
        with torch.inference_mode():
            pooled, *layers = (part.float() for part in features(frame[None], depths))
            pixels = (torch.from_numpy(frame[None]),) if getattr(judge, "sees_frame", False) else ()
            evidence: Tensor = judge(pooled, *layers, *pixels)
            warmth: Tensor = judge.where(pooled, *on_finest(layers), *pixels)  # type: ignore[operator] # see its docstring
        return float(evidence[..., column].mean()), warmth[0, column].numpy()

    return ask


def hottest(warmth: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The connected place around the hottest cell of a map [rows, columns]: bool of the same shape."""
    top = np.unravel_index(int(warmth.argmax()), warmth.shape)
    most = max(1, int(LARGEST_SHARE * warmth.size))
    level = max(
        float(np.median(warmth)) * HALF_WAY + float(warmth.max()) * (1 - HALF_WAY),
        float(np.sort(warmth, axis=None)[-most]),
    )
    warm, place = warmth >= level, np.zeros(warmth.shape, np.bool_)
    place[top] = True
    while True:  # grows by a cell each time
        grown = warm & _grown(place, 1, 1)
        if (grown == place).all():
            return place
        place = grown


def filled(frame: NDArray[np.uint8], cells: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture uint8 [H, W, 3] whose cells [rows, columns], and half a cell around them, take the colours of their rim, the nearer the more."""
    height, width = frame.shape[:2]
    rows = np.minimum(np.arange(height) * len(cells) // height, len(cells) - 1)
    columns = np.minimum(np.arange(width) * cells.shape[1] // width, cells.shape[1] - 1)
    inside = _grown(cells[rows][:, columns], height // len(cells) // 2, width // cells.shape[1] // 2)
    rim = _grown(inside, RIM, RIM) & ~inside
    if not rim.any():
        return frame
    places, around = np.argwhere(inside).astype(np.float32), np.argwhere(rim)[::RIM].astype(np.float32)
    squares = (places**2).sum(axis=1)[:, None] + (around**2).sum(axis=1)[None] - 2 * places @ around.T
    weight = 1.0 / np.maximum(squares, 1.0)
    colours = frame[tuple(around.astype(np.int64).T)].astype(np.float32)
    changed = frame.copy()
    changed[inside] = np.rint(weight @ colours / weight.sum(axis=1, keepdims=True)).astype(np.uint8)
    return changed


def _grown(inside: NDArray[np.bool_], down: int, right: int) -> NDArray[np.bool_]:
    """With all pixels that are at most so far away along rows and columns."""
    for axis, reach in ((0, down), (1, right)):
        counts = np.cumsum(np.insert(inside.astype(np.int32), 0, 0, axis=axis), axis=axis)
        last = inside.shape[axis]
        places = np.arange(last)
        upper = counts.take(np.minimum(places + reach + 1, last), axis=axis)
        inside = upper > counts.take(np.maximum(places - reach, 0), axis=axis)
    return inside
