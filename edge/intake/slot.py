"""One newest-only mailbox for each camera, emptied by earliest deadline first.

Frames wait here still encoded, so that dropping one costs nothing. Memory is bounded by design: one frame a camera. This module reads no
clock; only the wait in `Slots.take` is timed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from edge.frame import Frame


class Slots:
    """The mailboxes between the network threads and the inference worker.

    Args:
        cameras: the cameras of this site; a frame of any other is a mistake of the caller.
    """

    def __init__(self, cameras: Iterable[str]) -> None:
        self._held: dict[str, Frame | None] = dict.fromkeys(cameras)
        self._changed = threading.Condition()
        self._woken = False

    def put(self, frame: Frame) -> Frame | None:
        """Hold the newest frame of its camera; returns the frame that thereby got no turn, to be counted, or None.

        Raises:
            KeyError: the camera is none of this site's.
        """
        with self._changed:
            held = self._held[frame.camera]
            if held is not None and held.seq > frame.seq:
                return frame
            self._held[frame.camera] = frame
            self._changed.notify()
            return held

    def take(self, timeout_s: float) -> Frame | None:
        """The waiting frame with the earliest deadline; None after ``timeout_s`` without one, or at once after `wake`."""
        with self._changed:
            self._changed.wait_for(lambda: self._woken or self._next() is not None, timeout_s)
            if self._woken:  # before any frame, so that a flood of frames cannot keep the worker from its other work
                self._woken = False
                return None
            frame = self._next()
            if frame is not None:
                self._held[frame.camera] = None
            return frame

    def wake(self) -> None:
        """Make one `take`, the waiting or the next, return None at once: the worker has other work to look at."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def reconfigure(self, cameras: Iterable[str]) -> None:
        """Other cameras from now on: a frame that waits stays, unless its camera goes."""
        with self._changed:
            self._held = {camera: self._held.get(camera) for camera in cameras}

    def waiting(self, but: str | None = None) -> int:
        """How many frames wait for their turn now, those of one camera left out."""
        with self._changed:
            return sum(frame is not None for camera, frame in self._held.items() if camera != but)

    def _next(self) -> Frame | None:
        waiting = [frame for frame in self._held.values() if frame is not None]
        return min(waiting, key=lambda frame: (frame.deadline_ns, frame.received_ns), default=None)


def cannot_make_it(frame: Frame, now_ns: int, expected_ns: int) -> bool:
    """Whether a frame would miss its deadline even if its work began now and took the expected time."""
    return now_ns + expected_ns > frame.deadline_ns
