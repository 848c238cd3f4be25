"""Predicts when the next frame will come, so that no step begins that would delay it; pure."""

from __future__ import annotations

from collections import deque

REMEMBERED = 8  # intervals of a camera
FOREVER_NS = 2**62


class _Camera:
    """The newest arrivals of one camera."""

    __slots__ = ("gaps_ns", "last_ns")

    def __init__(self) -> None:
        self.last_ns: int | None = None
        self.gaps_ns: deque[int] = deque(maxlen=REMEMBERED)


class Pace:
    """Learns each camera's rhythm from its arrivals."""

    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}

    def seen(self, camera: str, received_ns: int) -> None:
        """A frame came."""
        entry = self._cameras.setdefault(camera, _Camera())
        if entry.last_ns is not None and received_ns > entry.last_ns:
            entry.gaps_ns.append(received_ns - entry.last_ns)
        entry.last_ns = received_ns

    def spare_ns(self, now_ns: int) -> int:
        """Until the next frame of any camera; 0 while one is overdue. A camera that missed two turns no longer counts, nor one without a rhythm."""
        return min((_spare_ns(entry, now_ns) for entry in self._cameras.values()), default=FOREVER_NS)


def _spare_ns(entry: _Camera, now_ns: int) -> int:
    if entry.last_ns is None or not entry.gaps_ns:
        return FOREVER_NS
    ordered = sorted(entry.gaps_ns)
    # one pair that came close together does not stop everything, a faster camera soon does
    gap_ns = ordered[len(ordered) // 4]
    since_ns = now_ns - entry.last_ns
    return FOREVER_NS if since_ns > 2 * gap_ns else max(0, gap_ns - since_ns)
