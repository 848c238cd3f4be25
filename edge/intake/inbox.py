"""Readings, triggers, commands and what else the network threads know wait here for the inference thread; bounded: of readings the oldest are discarded, a command too many is not taken."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from edge.frame import Reading, Recipe, Trigger
from edge.wire.envelope import Incoming

MAX_READINGS = 8192  # between two ticks; at 2,000 a second there are 100
MAX_TRIGGERS = 1024  # of all cameras, between two ticks
MAX_COMMANDS = 1024  # an operator may acknowledge every alarm of a plant at once


@dataclass(slots=True)
class Inbox:
    """What the network threads leave for the inference thread; what does not fit is counted. One lock guards all of it."""

    readings: deque[Reading] = field(default_factory=lambda: deque(maxlen=MAX_READINGS))
    commands: deque[Incoming] = field(default_factory=deque)
    triggers: deque[Trigger] = field(default_factory=lambda: deque(maxlen=MAX_TRIGGERS))
    recipe: Recipe | None = None
    reconnected: bool = False
    overflow: int = 0
    epoch: int | None = None
    lost: dict[str, int] = field(default_factory=dict)  # cameras and when, monotonic ns; bounded by the site
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def put_reading(self, reading: Reading) -> None:
        """Leave a sensor value."""
        with self._lock:
            self.overflow += len(self.readings) == MAX_READINGS
            self.readings.append(reading)

    def put_trigger(self, trigger: Trigger) -> None:
        """Leave word that a part is before a camera."""
        with self._lock:
            self.overflow += len(self.triggers) == MAX_TRIGGERS
            self.triggers.append(trigger)

    def put_recipe(self, recipe: Recipe) -> None:
        """Leave word which product is made now; only the newest counts."""
        with self._lock:
            self.recipe = recipe

    def take_recipe(self) -> Recipe | None:
        """The newest word of that since the last call."""
        with self._lock:
            found, self.recipe = self.recipe, None
        return found

    def put_lost(self, camera: str, received_ns: int) -> None:
        """Leave word that a camera's gateway is offline."""
        with self._lock:
            self.lost[camera] = received_ns

    def put_command(self, incoming: Incoming) -> bool:
        """Leave a command; false: too many wait already, so its sender is asked to try again."""
        with self._lock:
            if len(self.commands) >= MAX_COMMANDS:
                self.overflow += 1
                return False
            self.commands.append(incoming)
            return True

    def reconnect(self) -> None:
        """The broker may have lost everything: all of it is to be published again."""
        with self._lock:
            self.reconnected = True

    def renumber(self, epoch: int) -> None:
        """The broker retains a higher epoch from an earlier start: everything is to be published again in this one."""
        with self._lock:
            self.epoch = epoch

    def urgent(self) -> bool:
        """Whether something is here that does not wait for the next tick."""
        with self._lock:
            return bool(self.commands) or bool(self.triggers) or self.reconnected or self.epoch is not None

    def take_readings(self) -> list[Reading]:
        """What is there now, oldest first."""
        with self._lock:
            found = list(self.readings)
            self.readings.clear()
        return found

    def take_triggers(self) -> list[Trigger]:
        """Those that came since the last call, oldest first."""
        with self._lock:
            found = list(self.triggers)
            self.triggers.clear()
        return found

    def take_lost(self) -> dict[str, int]:
        """Cameras whose gateway went offline since the last call, and when."""
        with self._lock:
            found, self.lost = self.lost, {}
        return found

    def take_command(self) -> Incoming | None:
        """The oldest command."""
        with self._lock:
            return self.commands.popleft() if self.commands else None

    def take_overflow(self) -> int:
        """How many were discarded since the last call."""
        with self._lock:
            lost, self.overflow = self.overflow, 0
        return lost

    def take_epoch(self) -> int | None:
        """The epoch to go on with, once; None: the present one."""
        with self._lock:
            found, self.epoch = self.epoch, None
        return found

    def take_reconnected(self) -> bool:
        """Whether all is to be published again; asked once, answered once."""
        with self._lock:
            found, self.reconnected = self.reconnected, False
        return found
