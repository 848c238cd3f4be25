"""The inference thread: frames by earliest deadline, and between them readings, commands, timers and reports.

Everything that decides or publishes happens here, on one thread, so verdicts, alarms and messages need no locks and come in one order. The
network threads only leave things in the slots and the inbox. `turn` is one round and takes no clock of its own, so tests drive it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

from edge.beside import Beside
from edge.commands import Commands
from edge.frame import Frame
from edge.health.monitor import SelfMonitor
from edge.health.status import Reporter
from edge.path import FramePath
from edge.services import Services
from edge.units import NS_PER_MS, NS_PER_S
from edge.verdict.rules import Rule
from edge.windows import Windows

TICK_NS = 50 * NS_PER_MS

_log = logging.getLogger(__name__)


class Worker:
    """Takes one turn after another: a frame, then everything else that is due.

    Args:
        services: shared.
        path: takes frames to flags and alarms.
        rules: the sensor rules by id.
        windows: what readings fill beside the rules; it is one of those beside the path.
        monitor: samples the alarms of the system.
        reporter: heartbeat, state and meta.
        commands: carries out what is asked.
        beside: what runs beside the path; it gets the time left over.
    """

    def __init__(
        self,
        services: Services,
        *,
        path: FramePath,
        rules: Mapping[str, Rule],
        windows: Windows,
        monitor: SelfMonitor,
        reporter: Reporter,
        commands: Commands,
        beside: Beside,
    ) -> None:
        self._services = services
        self._clock, self._inbox, self._errors = services.clock, services.inbox, services.errors
        self._path = path
        self._windows = windows
        self._rules = tuple(rules.values())
        self._rules_of: dict[str, list[Rule]] = {}
        for rule in rules.values():
            for sensor in rule.spec.sensors:
                self._rules_of.setdefault(sensor, []).append(rule)
        self._monitor = monitor
        self._reporter = reporter
        self._commands = commands
        self._beside = beside
        self._next_tick_ns = self._clock.monotonic_ns()

    def turn(self, frame: Frame | None) -> None:
        """Take one frame, if there is one, to its flags and alarms; then do whatever else is due."""
        if frame is not None:
            self._path.process(frame)
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._next_tick_ns or self._inbox.urgent():
            self._next_tick_ns = now_ns + TICK_NS
            self._tick(now_ns, self._clock.wall_ns())
        if frame is None:
            self._beside.step()

    def wait_s(self) -> float:
        """How long the worker may wait for the next frame, s."""
        now_ns = self._clock.monotonic_ns()
        return 0.0 if self._beside.ready(now_ns) else max(0.0, (self._next_tick_ns - now_ns) / NS_PER_S)

    def _tick(self, now_ns: int, now_wall_ns: int) -> None:
        """One stage after another; one that fails stops no other (docs/decisions/008-threads.md describes the flags then)."""
        services, errors = self._services, self._errors
        overflow = self._inbox.take_overflow()
        if overflow:
            services.health.rejected("inbox_overflow", count=overflow)
        for camera, at_ns in self._inbox.take_lost().items():
            errors.guarded("flags", partial(self._path.lose, camera, at_ns))
        self._path.between(self._take_readings())
        renumbered = self._renumber(now_ns, now_wall_ns)
        announce = self._monitor.sample(now_ns, now_wall_ns)
        errors.guarded("alarms", partial(services.annunciator.tick, now_ns, now_wall_ns))
        while (incoming := self._inbox.take_command()) is not None:
            errors.guarded("commands", partial(self._commands.take, incoming, now_ns, now_wall_ns))
        if any((announce, renumbered, self._inbox.take_reconnected(), services.journal.fell_behind())):
            errors.guarded("report", partial(self._reporter.announce, now_ns, now_wall_ns))
        errors.guarded("journal", partial(services.journal.relieve, now_ns))
        if not errors.guarded("report", partial(self._reporter.publish_state, now_ns, now_wall_ns)):
            errors.guarded("report", partial(self._reporter.publish_failure, now_wall_ns))
        errors.guarded("report", partial(self._reporter.publish_heartbeat, now_ns, now_wall_ns))
        self._beside.tick(now_ns)

    def _renumber(self, now_ns: int, now_wall_ns: int) -> bool:
        """Continue in a higher epoch where the broker retains one of an earlier start; returns whether all is to be published again in it."""
        epoch, publisher = self._inbox.take_epoch(), self._services.publisher
        if epoch is None:
            return False
        before = publisher.epoch
        publisher.renumber(epoch)
        self._services.journal.renumber(epoch)
        why = f"after {before}: the broker keeps epoch {epoch - 1} of an earlier start, so the clock was set back since"
        publisher.record(now_ns, [publisher.event("system", "daemon", "epoch raised", now_wall_ns, detail=why)])
        _log.warning("epoch %d %s", epoch, why)
        return True

    def _take_readings(self) -> set[str]:
        """Hand each reading to its rules and windows; one that a rule cannot take makes that rule unknown. Returns the sensors that they are of."""
        updated: set[str] = set()
        for rule in self._rules:
            rule.begin_interval()
        for reading in self._inbox.take_readings():
            updated.add(reading.sensor)
            self._errors.guarded("windows", partial(self._windows.take, reading))
            for rule in self._rules_of.get(reading.sensor, ()):
                try:
                    rule.update(reading)
                except Exception as error:  # noqa: BLE001 - one rule must not end the others, nor this thread
                    self._errors.caught("rules", error)
                    rule.miss(reading.received_ns)
        return updated
