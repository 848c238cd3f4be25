"""Publishes a camera's newest picture as soon as the broker takes it, and its status when that changes; a picture that must wait is replaced."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from typing import Protocol

from edge.camera.newest import Newest
from edge.camera.report import Report
from edge.camera.shot import Shot
from edge.units import NS_PER_MS, NS_PER_S
from edge.wire.camera import CameraStatus, CameraTrouble
from edge.wire.envelope import ConnectionStats, Outgoing
from edge.wire.topics import CAMERA_IN, JSON, content_type

WAIT_S = 0.1  # for a picture, in one turn
MAX_PENDING = 1  # pictures that the broker has not taken yet; one more would be old when it is its turn


class Outlet(Protocol):
    """The connection to the broker, as far as it is used here."""

    @property
    def connected(self) -> bool:
        """Whether it is up."""

    def publish(self, message: Outgoing) -> int | None:
        """Hand over one message; None: it was dropped."""

    def stats(self) -> ConnectionStats:
        """Its counters."""


class Bridge:
    """Publishes what one camera gives.

    Args:
        topics: of its frames, and of its status.
        newest: where pictures come from.
        report: the camera's condition.
        outlet: where everything goes.
        quality: JPEG quality of what has to be encoded.
        max_bytes: a larger picture is not published.
        interval_ns: between two pictures, ns; 0: as they come.
        stall_ns: without a picture for so long the camera is offline, ns.
        monotonic_ns: clock of pauses and ages.
        wall_ns: clock of stamps.
    """

    def __init__(
        self,
        topics: tuple[str, str],
        newest: Newest,
        report: Report,
        outlet: Outlet,
        *,
        quality: int,
        max_bytes: int,
        interval_ns: int,
        stall_ns: int,
        monotonic_ns: Callable[[], int],
        wall_ns: Callable[[], int],
    ) -> None:
        self._frame_topic, self._status_topic = topics
        self._newest = newest
        self._report = report
        self._outlet = outlet
        self._quality = quality
        self._max_bytes = max_bytes
        self._interval_ns = interval_ns
        self._stall_ns = stall_ns
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._due_ns = 0
        self._last_status: CameraStatus | None = None
        self.published = 0

    def republish_status(self) -> None:
        """The broker may have lost the status: publish it again."""
        self._last_status = None

    def turn(self) -> None:
        """Publish the newest picture, if one is due and there is one, and the status, if it is another."""
        left_ns = self._due_ns - self._monotonic_ns()
        if left_ns > 0:
            self._idle(min(WAIT_S, left_ns / NS_PER_S))
        elif self._outlet.connected and self._outlet.stats().pending > MAX_PENDING:
            self._idle(NS_PER_MS / NS_PER_S)
        elif (shot := self._newest.take(WAIT_S)) is not None:
            self._due_ns = max(self._due_ns + self._interval_ns, self._monotonic_ns()) if self._interval_ns else 0
            self._publish(shot)
        self._report.watch(self._stall_ns, self._monotonic_ns(), self._wall_ns())
        self._publish_status()

    def _publish(self, shot: Shot) -> None:
        if not self._outlet.connected:
            return
        encoded = shot.encoded(self._quality)
        self._report.sized(len(encoded), self._max_bytes, self._wall_ns())
        if len(encoded) <= self._max_bytes:
            self.published += self._outlet.publish(frame_message(self._frame_topic, encoded, shot)) is not None

    def _publish_status(self) -> None:
        status = self._report.now()
        if status != self._last_status and self._outlet.connected:
            message = status_message(self._status_topic, status)
            if self._outlet.publish(message) is not None:
                self._last_status = status

    @staticmethod
    def _idle(pause_s: float) -> None:
        time.sleep(pause_s)


def frame_message(topic: str, encoded: bytes, shot: Shot) -> Outgoing:
    """One picture as the daemon takes it: when it was captured, its checksum, and what it was before it was encoded again."""
    properties = [("ts", str(shot.captured_wall_ns)), ("crc32", f"{zlib.crc32(encoded):08x}")]
    if shot.transcoded:
        properties.append(("transcoded", shot.coding))
    return Outgoing(topic, encoded, 0, content_type=content_type(encoded), user_properties=tuple(properties))


def status_message(topic: str, status: CameraStatus) -> Outgoing:
    """The camera's status, retained."""
    return Outgoing(topic, status.encode(), CAMERA_IN.qos, retain=CAMERA_IN.retain, content_type=JSON)


def will(topic: str) -> Outgoing:
    """What the broker says for us when we vanish."""
    return status_message(topic, CameraStatus(state="offline", ts=None, reason=CameraTrouble.GONE))
