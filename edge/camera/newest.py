"""A place for one picture between the thread that reads the source and the one that publishes: the newest gives the older one's place."""

from __future__ import annotations

import threading

from edge.camera.shot import Shot


class Newest:
    """Holds the newest picture; all methods from any thread. `replaced` counts pictures that were not taken in time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._shot: Shot | None = None
        self.taken = 0
        self.replaced = 0

    def put(self, shot: Shot) -> None:
        """Leave a picture; never waits."""
        with self._changed:
            if self._shot is not None:
                self.replaced += 1
            self._shot = shot
            self._changed.notify()

    def take(self, timeout_s: float) -> Shot | None:
        """The newest picture, once; None if none comes within `timeout_s`."""
        with self._changed:
            self._changed.wait_for(lambda: self._shot is not None, timeout_s)
            shot, self._shot = self._shot, None
            self.taken += shot is not None
            return shot

    def empty(self) -> None:
        """Discard what waits: its source is gone, and it would be older the longer it waits."""
        with self._changed:
            self.replaced += self._shot is not None
            self._shot = None
