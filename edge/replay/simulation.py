"""Runs a recording through the daemon's own worker: the same stages, rules, delays and alarm machine, on a clock that jumps.

Only three things are another's: the clock, the wire (what is published is collected), and the graph, whose scores were computed before; where faults
look at regions, the graph itself runs. So nothing is late here: a backtest says what would have been seen, `edge-daemon bench` says how fast.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import merge
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.alarm.annunciator import Annunciator
from edge.alarm.labels import Labels
from edge.assembly import Proven, make_stages, make_worker, prove_plan, publish_policy
from edge.bundle import Bundle
from edge.collect.collector import Collector
from edge.errors import InferenceFailed
from edge.evidence.recorder import Evidence
from edge.frame import Frame, Reading
from edge.health.ledger import Health
from edge.inference.engine import Engine
from edge.inference.onnx_session import Brake
from edge.intake.inbox import Inbox
from edge.plan import make_plan
from edge.publish.journal import Journal
from edge.publish.publisher import Publisher
from edge.replay.recorded import Picture, Recorded, Value
from edge.replay.scores import Scored
from edge.services import Services
from edge.site.settings import Site
from edge.system.clock import Clock
from edge.system.internal_errors import InternalErrors
from edge.trigger.inspections import Inspections
from edge.units import NS_PER_S
from edge.wire.command import CommandDesk
from edge.wire.envelope import ConnectionStats, Outgoing
from edge.worker import TICK_NS, Worker

# in a longer gap nothing more happens: every delay of a site has passed, unless it is longer itself
SETTLE_NS = 60 * NS_PER_S
_FLAG, _EVENT = "flag/", "event"
_LINK = ConnectionStats(True, "5", None, 1, 0, 0, 0, 0, {}, 0, 0, None, 0)  # noqa: FBT003 - a record's fields


@dataclass(frozen=True, slots=True)
class Seen:
    """One published flag: wall ns, verdict, score and quality."""

    at_ns: int
    verdict: str
    score: float | None
    quality: str


@dataclass(frozen=True, slots=True)
class Change:
    """One transition of an alarm, such as ``NORM->UNACK_ALM``."""

    at_ns: int
    alarm: str
    what: str
    occurrence: str | None

    @property
    def raised(self) -> bool:
        """Whether an operator would have been called: a change of quality or severity while it is active is no new call."""
        before, _, after = self.what.partition("->")
        return after == "UNACK_ALM" and before != after


@dataclass(slots=True)
class Outcome:
    """What would have happened.

    Args:
        span_ns: from the first to the last of what was recorded.
        flags: by fault, in order of time.
        changes: of all alarms, in order of time.
        refused: pictures without a verdict, by reason.
        computed: tiles that got their scores, by camera and region.
    """

    span_ns: int = 0
    flags: dict[str, list[Seen]] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    internal_errors: dict[str, int] = field(default_factory=dict)
    computed: dict[str, int] = field(default_factory=dict)


class RecordedScores(Engine):
    """Takes the place of the graph: gives the scores of the picture that is replayed now."""

    def __init__(self, faults: int) -> None:
        self.now = Scored((0.0,) * faults)

    def run(self, tensor: NDArray[np.uint8], brake: Brake | None = None) -> NDArray[np.float32]:
        """Scores float32 [faults].

        Raises:
            InferenceFailed: it gave none then.
        """
        del tensor, brake
        if self.now.scores is None:
            raise InferenceFailed(self.now.problem)
        return np.asarray(self.now.scores, np.float32)


class Simulation:
    """A daemon without a network, whose time is an argument.

    Args:
        site: what is watched; its flags are published with every frame, whatever it says.
        bundle: opened; None: sensors only.
        start_ns: wall ns at which its time begins.
    """

    def __init__(self, site: Site, bundle: Bundle | None, start_ns: int) -> None:
        site = site.model_copy(update={"publish": site.publish.model_copy(update={"flags": "frame"})})
        self.outcome = Outcome()
        self._start_ns, self._elapsed_ns = start_ns, 0
        clock = Clock(lambda: self._elapsed_ns, lambda: self._start_ns + self._elapsed_ns, lambda: True)
        plan = make_plan(site, bundle)
        #: Whether `run` needs scores of the pictures; where faults look at regions, a picture has several, and the graph runs here.
        self.needs_scores = bool(plan.regions) and all(
            tile.is_whole for regions in plan.regions.values() for region in regions for tile in region.tiles
        )
        self._scores = RecordedScores(0 if bundle is None else len(bundle.manifest.frame_faults))
        self._budgets_ns = plan.budgets_ns
        self._seq = dict.fromkeys(plan.budgets_ns, 0)
        self._inbox, self._errors = Inbox(), InternalErrors(clock.monotonic_ns)
        health = Health(plan.budgets_ns, [sensor.id for sensor in site.sensors], 0)
        journal = Journal(
            None, prefix=site.prefix(), send=self._take, monotonic_ns=clock.monotonic_ns, wall_ns=clock.wall_ns
        )
        journal.link_up()
        publisher = Publisher(
            prefix=site.prefix(),
            session="backtest",
            epoch=0,
            policy=publish_policy(site.publish),
            send=self._take,
            record=journal.record,
            on_acknowledged=health.flag_acknowledged,
        )
        numbers = iter(range(1 << 40))
        annunciator = Annunciator(
            plan.alarms,
            publisher,
            plan.context,
            new_id=lambda _wall: f"{next(numbers)}",
            start_ns=0,
            start_wall_ns=start_ns,
        )
        services = Services(
            clock=clock, prefix=site.prefix(), session="backtest", version="", started_ns=0, realtime="replay",
            annunciator=annunciator, labels=Labels(annunciator, publisher, {}), publisher=publisher, journal=journal, health=health, inbox=self._inbox,
            desk=CommandDesk(()), send=self._take, link=lambda: _LINK, taken_over=lambda: None, refused=lambda: (),
            connections=lambda _now_ns: ("G", ()), errors=self._errors,
            evidence=Evidence(
                None, prefix=site.prefix(), session="", clock=clock, send=self._take,
                subject=annunciator.subject, readings=health.values,
            ),
            collector=Collector(None, clock=clock, subject=annunciator.subject),
            inspections=Inspections(
                session="", clock=clock, publisher=publisher, take=self._inbox.take_triggers, count=health.inspected
            ),
            reload=lambda _request: "a backtest reloads nothing",
        )  # fmt: skip
        self._health, self._journal, self._prefix = health, journal, f"{site.prefix()}/"
        self._worker = self._make_worker(prove_plan(plan, _real_ns, slow_is_fatal=False), services)

    def _make_worker(self, proven: Proven, services: Services) -> Worker:
        if proven.proof is not None:
            quick = replace(proven.proof, frame_p50_ms=0.0)  # how fast this machine is does not matter here
            engine = self._scores if self.needs_scores else proven.engine
            proven = replace(proven, proof=quick, engine=engine, speech=None)
        return make_worker(proven, make_stages(proven.plan), services)

    def run(self, recorded: Recorded, scores: Mapping[Path, Scored]) -> Outcome:
        """Replay a recording, with the scores of its pictures where it `needs_scores`."""
        last_ns = self._start_ns
        for event in _in_order(recorded.pictures, recorded.values):
            self._pass_time(event.at_ns)
            if isinstance(event, Picture):
                self._show(event, scores[event.path] if self.needs_scores else None)
            else:
                self._read(event)
            last_ns = event.at_ns
        self._pass_time(last_ns + 2 * TICK_NS)  # what the last reading did; a silence after the end is not the camera's
        self.outcome.span_ns = last_ns - self._start_ns
        self.outcome.internal_errors = self._errors.counts()
        self.outcome.computed = {
            f"{camera}/{name}": region.computed
            for camera, report in self._health.cameras(self._elapsed_ns).items()
            for name, region in report.regions.items()
        }
        return self.outcome

    def _pass_time(self, until_ns: int) -> None:
        """Ticks as the daemon has them; of a long gap only its first minute."""
        end_ns = until_ns - self._start_ns
        settled_ns = min(end_ns, self._elapsed_ns + SETTLE_NS)
        while self._elapsed_ns + TICK_NS < settled_ns:
            self._elapsed_ns += TICK_NS
            self._turn(None)
        self._elapsed_ns = max(self._elapsed_ns, end_ns)

    def _show(self, picture: Picture, scored: Scored | None) -> None:
        camera, now_ns = picture.camera, self._elapsed_ns
        if camera not in self._seq:
            self._refuse(f"camera {camera} is none of the site's")
            return
        try:
            encoded = picture.path.read_bytes()
        except OSError as error:
            self._refuse(f"cannot be read: {error.strerror}")
            return
        self._seq[camera] += 1
        self._scores.now = scored or self._scores.now
        self._health.frame_received(camera, now_ns)
        self._turn(Frame(camera, self._seq[camera], encoded, now_ns, picture.at_ns, now_ns + self._budgets_ns[camera]))
        self._turn(None)

    def _read(self, value: Value) -> None:
        if value.quality.value != "bad":
            self._health.reading_received(value.sensor, self._elapsed_ns, value.value)
        self._inbox.put_reading(Reading(value.sensor, value.value, self._elapsed_ns, value.at_ns, 0, value.quality))

    def _turn(self, frame: Frame | None) -> None:
        self._worker.turn(frame)
        self._journal.turn()

    def _refuse(self, reason: str) -> None:
        self.outcome.refused[reason] = self.outcome.refused.get(reason, 0) + 1

    def _take(self, message: Outgoing) -> int:
        """The wire: flags and events are kept, everything else is dropped."""
        topic, now_ns = message.topic.removeprefix(self._prefix), self._start_ns + self._elapsed_ns
        if topic.startswith(_FLAG):
            flag: dict[str, Any] = json.loads(message.payload)
            if flag["frame_seq"] is not None or flag["cam"] is None:
                seen = Seen(now_ns, flag["verdict"], flag["score"], flag["q"])
                self.outcome.flags.setdefault(flag["ch"], []).append(seen)
        elif topic == _EVENT:
            event: dict[str, Any] = json.loads(message.payload)
            if event["kind"] == "alarm":
                self.outcome.changes.append(Change(now_ns, event["subject"], event["what"], event["occurrence_id"]))
        return 1


def _in_order(pictures: Sequence[Picture], values: Sequence[Value]) -> Iterator[Picture | Value]:
    return merge(pictures, values, key=lambda one: one.at_ns)


def _real_ns() -> int:
    import time  # noqa: PLC0415 - the only place that looks at a real clock

    return time.monotonic_ns()
