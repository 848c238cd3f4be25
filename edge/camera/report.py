"""What the process says of its camera now: set by the thread that reads and by the one that publishes, published when it changes."""

from __future__ import annotations

import threading

from edge.camera.shot import Shot
from edge.wire.camera import CameraStatus, CameraTrouble
from edge.wire.message import timestamp


class Report:
    """The camera's status; all methods from any thread.

    Args:
        now_wall_ns: when the process began, ns since the epoch.
    """

    def __init__(self, now_wall_ns: int) -> None:
        self._lock = threading.Lock()
        self._status = CameraStatus(state="offline", ts=timestamp(now_wall_ns), reason=CameraTrouble.CONNECTING)
        self._picture_ns: int | None = None
        self._oversize: CameraStatus | None = None  # while what comes is too large to be published

    def pictured(self, shot: Shot, now_ns: int, now_wall_ns: int) -> None:
        """A picture came."""
        width, height = shot.size_px() or (None, None)
        fresh = CameraStatus(
            state="online",
            ts=timestamp(now_wall_ns),
            coding=shot.coding,
            transcoded=shot.transcoded,
            width=width,
            height=height,
        )
        with self._lock:
            self._picture_ns = now_ns
            self._become(fresh)

    def failed(self, trouble: CameraTrouble, detail: str, now_wall_ns: int) -> None:
        """The source gives no pictures."""
        with self._lock:
            self._become(CameraStatus(state="offline", ts=timestamp(now_wall_ns), reason=trouble, detail=detail))

    def watch(self, stall_ns: int, now_ns: int, now_wall_ns: int) -> None:
        """Notice that a source which seems well has given nothing for so long."""
        with self._lock:
            if self._status.state == "online" and self._picture_ns is not None and now_ns - self._picture_ns > stall_ns:
                self._become(CameraStatus(state="offline", ts=timestamp(now_wall_ns), reason=CameraTrouble.STALLED))

    def sized(self, size: int, max_bytes: int, now_wall_ns: int) -> None:
        """A picture was encoded, and is so large."""
        detail = f"{size} bytes encoded, more than {max_bytes}"
        with self._lock:
            if size <= max_bytes:
                self._oversize = None
            elif self._oversize is None:
                self._oversize = CameraStatus(
                    state="offline", ts=timestamp(now_wall_ns), reason=CameraTrouble.TOO_LARGE, detail=detail
                )

    def now(self) -> CameraStatus:
        """The status as it is; the same record until it changes."""
        with self._lock:
            return self._oversize if self._oversize is not None and self._status.state == "online" else self._status

    def _become(self, fresh: CameraStatus) -> None:
        """Change to another status; one that differs in its time alone is the same."""
        if self._status.model_copy(update={"ts": fresh.ts}) != fresh:
            self._status = fresh
