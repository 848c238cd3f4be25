"""From presentation time to capture time: a stream's own times, set against when its pictures arrive; pure.

A stream counts from a beginning of its own. The picture that travelled fastest shows where that lies: none arrives before it was taken.
"""

from __future__ import annotations

from edge.units import NS_PER_S

WINDOW_NS = 30 * NS_PER_S  # the beginning is found again so often, because the clocks of camera and device drift apart
JUMP_NS = 20 * NS_PER_S  # later than this is no delay: the camera restarted its count


class PresentationClock:
    """Capture times of one connection to one stream.

    Args:
        window_ns: how long the fastest picture counts, ns; it counts for one more such window.
    """

    def __init__(self, window_ns: int = WINDOW_NS) -> None:
        self._window_ns = window_ns
        self._began_ns = 0
        self._now: int | None = None  # arrival minus presentation of the fastest picture of this window
        self._before: int | None = None
        self._last_presented_ns: int | None = None
        self._last_ns: int | None = None

    def captured_ns(self, presented_ns: int | None, arrived_ns: int) -> int:
        """When a picture was taken, monotonic ns: never after its arrival, and never before the picture in front of it.

        Args:
            presented_ns: the stream's own time, ns; None: it has none, so the arrival counts.
            arrived_ns: monotonic ns.
        """
        found = arrived_ns if presented_ns is None else self._mapped(presented_ns, arrived_ns)
        if self._last_ns is not None:
            found = max(found, self._last_ns + 1)
        self._last_ns = min(found, arrived_ns)
        return self._last_ns

    def _mapped(self, presented_ns: int, arrived_ns: int) -> int:
        offset = arrived_ns - presented_ns
        backwards = self._last_presented_ns is not None and presented_ns < self._last_presented_ns - JUMP_NS
        self._last_presented_ns = presented_ns
        anchor = self._anchor()
        if anchor is None or backwards or offset - anchor > JUMP_NS:
            self._began_ns, self._now, self._before = arrived_ns, offset, None
        elif arrived_ns - self._began_ns > self._window_ns:
            self._began_ns, self._now, self._before = arrived_ns, offset, self._now
        else:
            self._now = offset if self._now is None else min(self._now, offset)
        anchor = self._anchor()
        return arrived_ns if anchor is None else presented_ns + anchor

    def _anchor(self) -> int | None:
        known = [offset for offset in (self._now, self._before) if offset is not None]
        return min(known, default=None)
