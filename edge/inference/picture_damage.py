"""Whether one picture shows what decoders leave that hid damage: rows that repeat, a level that jumps, or a rest that is another picture."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

MOST_DOWN = 0.15  # grey levels from a row to the next, on average: repeated and encoded again it is 0.02, a real row has its own noise
LEAST_ACROSS = 1.0  # grey levels from a column to the next: a blank wall repeats its rows by right
LEAST_REST = 0.04  # of the rows: a picture of one row alone is drawn, not smeared
LIVELY = 2.0  # times that, from row to row in the rest of the picture: else the whole picture is so
LEAST_JUMP = 6.0  # grey levels
STILL = 2.5  # grey levels that a row's middle value changes by itself
ALIKE = 4.0  # grey levels around the jump that still are the same picture
ALIKE_SHARE = 0.7  # of the pixels on each side of the jump
LEAST_ROWS = 8  # on each side of a jump: fewer prove nothing
CHANGED = 12  # grey levels that a pixel's change is more than noise
EVERY = 2  # columns looked at
TORN_SHARE = 0.25  # of a row's pixels that changed beyond what is usual there
RESTLESS_SHARE = 0.1  # of the rows above: else the whole picture changes
SMOOTHED_ROWS = 5  # a row or two may be equal by chance
REMEMBERED = 60  # frames that show how much usually changes
LEAST_USUAL = 10
DECODED_OTHERWISE_SHARE = 0.25  # of the rows
EDGE_ROWS = 10  # over which a jump begins: a row of blocks, of a picture that was enlarged


def repeated_rows(tensor: NDArray[np.uint8]) -> slice:
    """The longest run of rows that show one row again and again, though that row has detail and the rest of the picture has other rows; empty: none.

    Args:
        tensor: uint8 [1, height, width, 3].
    """
    green = tensor[0, :, :, 1].astype(np.int16)
    if min(green.shape) < 2:
        return slice(0, 0)
    down = np.abs(np.diff(green, axis=0)).mean(axis=1)
    across = np.abs(np.diff(green, axis=1)).mean(axis=1)[1:]
    run = _longest_run((down <= MOST_DOWN) & (across >= LEAST_ACROSS))
    rest = np.concatenate((down[: run.start], down[run.stop :]))
    usual = rest.size >= LEAST_REST * len(green) and float(np.quantile(rest, 0.75)) >= LIVELY * MOST_DOWN
    return run if usual else slice(0, 0)


def repeated_share(tensor: NDArray[np.uint8]) -> float:
    """Share of the picture, 0..1, that `repeated_rows` takes."""
    run = repeated_rows(tensor)
    return float((run.stop - run.start) / tensor.shape[1])


def as_before(tensor: NDArray[np.uint8], before: NDArray[np.uint8], rows: slice) -> bool:
    """Whether some rows show what they showed before: a fence, not a smear."""
    change = tensor[0, rows].astype(np.int16) - before[0, rows]
    return float(np.abs(change).mean()) <= ALIKE


def jump_row(tensor: NDArray[np.uint8], before: NDArray[np.uint8]) -> int | None:
    """The row from which on everything is lighter, darker or of another tint by one amount than just before, while nothing above changed; None: there is none.

    Args:
        tensor: uint8 [1, height, width, 3].
        before: the same view, of the same shape.
    """
    change = tensor[0, :, ::2].astype(np.int16) - before[0, :, ::2]
    rows = np.median(change, axis=1)  # [height, 3]
    moved = np.abs(rows).max(axis=1) >= LEAST_JUMP
    still = np.abs(rows).max(axis=1) <= STILL
    first = int(np.argmax(moved)) if moved.any() else 0
    if first < LEAST_ROWS or len(moved) - first < LEAST_ROWS + EDGE_ROWS:
        return None
    above, below = slice(0, first - EDGE_ROWS // 2), slice(first + EDGE_ROWS, None)
    if first <= EDGE_ROWS // 2 or not still[above].all() or not moved[below].all():
        return None
    amount = np.median(rows[below], axis=0)
    alike_below = (np.abs(change[below] - amount).max(axis=2) <= ALIKE).mean()
    alike_above = (np.abs(change[above]).max(axis=2) <= ALIKE).mean()
    return first if min(alike_below, alike_above) >= ALIKE_SHARE else None


class Torn:
    """Whether everything below some row is suddenly another picture, though nothing above it changed more than this camera's frames usually do.

    A decoder that lost its way shows the rest of the picture moved, or at another level, down to the last row.
    """

    def __init__(self) -> None:
        self._usual: deque[NDArray[np.float32]] = deque(maxlen=REMEMBERED)
        self._head: int | None = None
        self._heads_alike = 0

    def look(self, tensor: NDArray[np.uint8], before: NDArray[np.uint8], head: int | None = None) -> bool:
        """Compare a frame with the one before, both uint8 [1, height, width, 3] of one shape; a torn one teaches nothing.

        `head` is a digest of the tables that a picture is decoded by: where they never changed, a change of them and of the whole picture is damage.
        """
        other_head = head != self._head and self._heads_alike >= LEAST_USUAL
        self._heads_alike = self._heads_alike + 1 if head == self._head else 1
        self._head = head
        here, there = tensor[0, :, ::EVERY, 1], before[0, :, ::EVERY, 1]
        change = np.maximum(here, there) - np.minimum(here, there)
        changed = (change > CHANGED).mean(axis=1, dtype=np.float32)
        torn = len(self._usual) >= LEAST_USUAL and self._torn(changed, other_head=other_head)
        if not torn:
            self._usual.append(changed)
        return torn

    def _torn(self, changed: NDArray[np.float32], *, other_head: bool) -> bool:
        news = changed - np.max(self._usual, axis=0)
        if other_head and np.mean(news > 0.0) >= DECODED_OTHERWISE_SHARE:
            return True
        spread = np.convolve(news > TORN_SHARE, np.ones(SMOOTHED_ROWS), "same") >= SMOOTHED_ROWS / 2
        calm = np.flatnonzero(np.logical_not(spread))
        first = int(calm[-1]) + 1 if len(calm) else 0
        if not LEAST_ROWS <= first <= len(changed) - LEAST_ROWS:
            return False
        return float(np.mean(news[: first - SMOOTHED_ROWS // 2 - 1] > TORN_SHARE)) <= RESTLESS_SHARE


def _longest_run(mask: NDArray[np.bool_]) -> slice:
    """The longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return slice(0, 0)
    longest = int(np.argmax(ends - starts))
    return slice(int(starts[longest]), int(ends[longest]))
