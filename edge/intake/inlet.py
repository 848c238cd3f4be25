"""Takes in every incoming message: reads it, counts it, and leaves it for the inference thread.

Network threads call it, and only hand over. One lock is held while a message is taken in, and while a reload exchanges what reads it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from edge.frame import Drop, Frame, Quality
from edge.intake.inbox import Inbox
from edge.intake.slot import Slots
from edge.intake.source import Rejection, Source
from edge.site.settings import Site
from edge.units import NS_PER_MS
from edge.wire.camera import CameraTrouble
from edge.wire.envelope import Incoming, Subscription

_log = logging.getLogger(__name__)


class Counters(Protocol):
    """The ledger, as far as it counts what comes in."""

    def frame_received(self, camera: str, now_ns: int) -> None:
        """A frame arrived, whatever becomes of it."""

    def frame_dropped(self, camera: str, drop: Drop, reason: str | None = None) -> None:
        """A frame gets no verdict."""

    def reading_received(self, sensor: str, now_ns: int, value: float) -> None:
        """A sensor value was accepted."""

    def rejected(self, reason: str, *, camera: str | None = None, sensor: str | None = None, count: int = 1) -> None:
        """A message was refused."""

    def camera_reported(self, camera: str, trouble: CameraTrouble | None) -> None:
        """`edge-camera` reports why it has no pictures of a camera; None: it has."""

    def reconfigure(self, budgets_ns: Mapping[str, int], sensors: Sequence[str], now_ns: int) -> None:
        """Other cameras, budgets and sensors from now on."""


class Inlet:
    """Takes messages in.

    Args:
        site: whose cameras and sensors.
        budgets_ms: budget of each camera, ms.
        slots: where frames wait.
        inbox: where readings wait.
        counters: where all of it is counted.
        arrival: called after each frame: work in time left over is stopped.
    """

    def __init__(
        self,
        site: Site,
        budgets_ms: Mapping[str, float],
        *,
        slots: Slots,
        inbox: Inbox,
        counters: Counters,
        arrival: Callable[[], None],
    ) -> None:
        self._lock = threading.Lock()
        self._source = Source(site, budgets_ms)
        self._slots = slots
        self._inbox = inbox
        self._counters = counters
        self._arrival = arrival
        self._logged: set[str] = set()

    def subscriptions(self) -> list[Subscription]:
        """Every topic that brings something in."""
        return self._source.subscriptions()

    def is_subscribed(self, topic: str) -> bool:
        """Whether a topic brings something in: what we publish there would come back as a frame or a reading."""
        with self._lock:
            return self._source.is_subscribed(topic)

    def arrived(self, incoming: Incoming) -> None:
        """Take in what one message holds."""
        with self._lock:
            accepted = self._source.accept(incoming)
            for frame in accepted.frames:
                self._take(frame)
            for reading in accepted.readings_in_order:
                if reading.quality is not Quality.BAD:
                    self._counters.reading_received(reading.sensor, reading.received_ns, reading.value)
                self._inbox.put_reading(reading)
            for trigger in accepted.triggers:
                self._inbox.put_trigger(trigger)
            if accepted.recipe is not None:
                self._inbox.put_recipe(accepted.recipe)
            if accepted.triggers or accepted.recipe is not None:
                self._slots.wake()
            for camera in accepted.lost:
                self._inbox.put_lost(camera, incoming.received_ns)
            for camera, trouble in accepted.cameras:
                self._counters.camera_reported(camera, trouble)
            for rejection in accepted.rejections:
                self._reject(rejection, incoming.received_ns)

    def reconfigure(self, site: Site, budgets_ms: Mapping[str, float], now_ns: int) -> bool:
        """Another site from now on; frames that wait stay. Returns whether it brings other subscriptions."""
        source = Source(site, budgets_ms)
        with self._lock:
            source.succeed(self._source)
            moved = source.subscriptions() != self._source.subscriptions()
            self._slots.reconfigure(budgets_ms)
            budgets_ns = {camera: round(budget_ms * NS_PER_MS) for camera, budget_ms in budgets_ms.items()}
            self._counters.reconfigure(budgets_ns, [sensor.id for sensor in site.sensors], now_ns)
            self._source = source
        return moved

    def _take(self, frame: Frame) -> None:
        self._counters.frame_received(frame.camera, frame.received_ns)
        replaced = self._slots.put(frame)
        self._arrival()
        if replaced is not None:
            self._counters.frame_dropped(replaced.camera, Drop.REPLACED)

    def _reject(self, rejection: Rejection, received_ns: int) -> None:
        """Count it, and log the first of its kind."""
        if rejection.camera is not None and rejection.reason != Drop.RETAINED.value:
            self._counters.frame_received(rejection.camera, received_ns)
        self._counters.rejected(rejection.reason, camera=rejection.camera, sensor=rejection.sensor)
        sender = rejection.camera or rejection.sensor or "an unknown source"
        if (key := f"{sender}:{rejection.reason}") not in self._logged:
            self._logged.add(key)
            _log.warning("input of %s refused: %s: %s; counted from now on", sender, rejection.reason, rejection.detail)
