"""Watches what was promised of each fault: that its false alarms keep their bound, and that normal frames score as they did.

Runs beside the path, on the inference thread; time is an argument. The tests themselves are in `edge.health.overbound` and `edge.health.drift`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edge.alarm.annunciator import Annunciator
from edge.alarm.catalogue import Concern, alarm_id
from edge.beside import Beside, Verdicts
from edge.errors import RejectedInput
from edge.frame import Evidence, Frame, Quality, Verdict
from edge.health.drift import DriftTest, Reference, same
from edge.health.overbound import LIMIT, BoundTest
from edge.publish.entry import PlainState
from edge.publish.publisher import Publisher
from edge.site.settings import Site
from edge.units import NS_PER_S
from edge.verdict.channel import Channel, ChannelSpec

KEPT_BOUND = "bound/"  # name under which each fault's test survives a restart
KEPT_DRIFT = "drift/"  # the same of what normal frames score
SECONDS_A_DAY = 86_400
LOOK_NS = NS_PER_S
LONGEST_LOOK_NS = 5 * NS_PER_S  # time that was not sampled is not known
KEEP_NS = 600 * NS_PER_S
ENOUGH = 1.0  # of a stake: below it nothing is evidence against the bound any more
CALM = 0.5  # of what is enough to call it a drift: below it the alarm clears

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Tests:
    """What is watched of each fault: how often its alarm is false, and what normal frames score."""

    bounds: Mapping[str, BoundTest] = field(default_factory=dict)
    drifts: Mapping[str, DriftTest] = field(default_factory=dict)


def new_tests(site: Site, channels: Sequence[ChannelSpec]) -> Tests:
    """The tests of a site, before anything was seen."""
    armed = {channel.id for channel in channels if channel.armed}
    bounds = {
        fault.id: BoundTest(fault.alarm.bound_ns)
        for fault in site.faults
        if fault.id in armed and fault.alarm is not None and fault.alarm.bound_ns is not None
    }
    block_ns = round(site.drift.block_s * NS_PER_S)
    mean_blocks = site.drift.mean_days * SECONDS_A_DAY / site.drift.block_s
    drifts = {
        channel.id: DriftTest(Reference(channel.fault.normal, channel.fault.independent), block_ns, mean_blocks)
        for channel in channels
        if site.drift.enabled and channel.fault is not None and channel.fault.normal
    }
    return Tests(bounds, drifts)


def going_on(tests: Tests, known: Tests) -> Tests:
    """These tests, or the known ones in their place where they ask the same."""
    bounds = {
        name: known.bounds[name] if name in known.bounds and known.bounds[name].bound_ns == test.bound_ns else test
        for name, test in tests.bounds.items()
    }
    drifts = {
        name: known.drifts[name] if name in known.drifts and same(known.drifts[name], test) else test
        for name, test in tests.drifts.items()
    }
    return Tests(bounds, drifts)


def recalled(tests: Tests, kept: Mapping[str, Any]) -> Tests:
    """These tests as an earlier start kept them; what cannot be read starts again."""
    bounds = {name: _restored(test, kept.get(KEPT_BOUND + name), name) for name, test in tests.bounds.items()}
    drifts = {name: _restored(test, kept.get(KEPT_DRIFT + name), name) for name, test in tests.drifts.items()}
    return Tests(bounds, drifts)


Test = TypeVar("Test", BoundTest, DriftTest)


def _restored(test: Test, data: object, name: str) -> Test:
    if data is not None:
        try:
            test.restore(data)
        except RejectedInput as error:
            _log.warning("fault %s: %s; it is counted from now on", name, error)
    return test


class PromiseMonitor(Beside):
    """Counts alarms and known time, looks at scores, and samples the alarms about what is not as promised.

    Args:
        tests: by fault, which is also the id of its alarm.
        channels: every flag channel.
        annunciator: where those alarms are sampled.
        publisher: records what must survive a restart.
        wall_ns: the wall clock.
    """

    name = "promise"

    def __init__(
        self,
        tests: Tests,
        channels: Sequence[Channel],
        annunciator: Annunciator,
        publisher: Publisher,
        wall_ns: Callable[[], int],
    ) -> None:
        self._channels = {channel.spec.id: channel for channel in channels}
        self._bounds, self._drifts = tests.bounds, tests.drifts
        self._annunciator = annunciator
        self._publisher = publisher
        self._wall_ns = wall_ns
        self._looked_ns: int | None = None
        self._keep_ns: int | None = None

    def raised(self, alarm_id: str, occurrence_id: str, now_ns: int) -> None:
        """An alarm was raised: it counts, until an operator labels it true."""
        if alarm_id in self._bounds:
            self._bounds[alarm_id].count(occurrence_id)
            self._keep_bound(alarm_id, now_ns)

    def labelled(self, alarm_id: str, occurrence_id: str, now_ns: int, *, valid: bool) -> None:
        """An operator labelled an alarm true or false."""
        if alarm_id in self._bounds:
            self._bounds[alarm_id].label(occurrence_id, valid=valid)
            self._keep_bound(alarm_id, now_ns)

    def seen(self, frame: Frame, verdicts: Verdicts, problem: Exception | None = None) -> None:
        """A frame was judged: its scores are normal ones, but for those of a fault whose alarm is active."""
        del problem
        for channel, _ in verdicts:
            name = channel.spec.id
            test, vision = self._drifts.get(name), channel.vision(frame.received_ns)
            if test is None or vision is None or vision.score is None or vision.quality is not Quality.GOOD:
                continue
            if not self._annunciator.is_active(name) and test.take(vision.score, frame.received_ns):
                self._record(KEPT_DRIFT + name, test.to_dict(), frame.received_ns)

    def tick(self, now_ns: int) -> None:
        """Once a second: let known time pass for each fault, and look at its stake."""
        since_ns = self._looked_ns
        if since_ns is not None and now_ns - since_ns < LOOK_NS:
            return
        self._looked_ns = now_ns
        passed_ns = 0 if since_ns is None else min(now_ns - since_ns, LONGEST_LOOK_NS)
        for name, test in self._bounds.items():
            if self._counts(name, now_ns):
                test.advance(passed_ns)
            self._sample(name, Concern.OVERBOUND, test.stake / LIMIT, ENOUGH / LIMIT, now_ns)
        for name, drift in self._drifts.items():
            self._sample(name, Concern.DRIFT, drift.strength, CALM, now_ns)
        if self._keep_ns is None or now_ns >= self._keep_ns:
            self._keep_ns = now_ns + KEEP_NS
            for name in self._bounds:
                self._keep_bound(name, now_ns)

    def _counts(self, name: str, now_ns: int) -> bool:
        """Whether an alarm of this fault could be raised now and seen: its verdict is known, and it is not hidden."""
        return self._annunciator.is_shown(name) and self._channels[name].evidence(now_ns).verdict is not Verdict.UNKNOWN

    def _sample(self, name: str, concern: Concern, strength: float, calm: float, now_ns: int) -> None:
        """Active once the evidence against a promise is enough, and until nearly none is left."""
        name = alarm_id(name, concern)
        broken = strength >= (calm if self._annunciator.is_active(name) else 1.0)
        evidence = Evidence(Verdict.FAULT if broken else Verdict.OK, 1.0 if broken else 0.0, Quality.GOOD)
        self._annunciator.sample(name, evidence, now_ns, self._wall_ns())

    def _keep_bound(self, name: str, now_ns: int) -> None:
        self._record(KEPT_BOUND + name, self._bounds[name].to_dict(), now_ns)

    def _record(self, name: str, body: Mapping[str, Any], now_ns: int) -> None:
        self._publisher.record(now_ns, (), (), {name: PlainState(body)})
