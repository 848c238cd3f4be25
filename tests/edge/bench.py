"""The inference thread on a fake clock: a worker with everything around it but the network, over real stages.

The graph is real (how red, green and blue a picture is), the pictures are real JPEG; only time and the wire are ours. Each stage that asks
for the time moves it on by `step_ns`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from edge.alarm.annunciator import Annunciator
from edge.alarm.labels import Labels
from edge.assembly import make_stages, make_worker, prove_plan, publish_policy
from edge.bundle import open_bundle
from edge.collect.collector import Collector
from edge.evidence.recorder import Evidence
from edge.explain.beside import Explanations
from edge.frame import Frame, Reading
from edge.health.ledger import Health
from edge.intake.inbox import Inbox
from edge.plan import make_plan
from edge.publish.journal import Journal
from edge.publish.publisher import Publisher
from edge.services import Services
from edge.site.settings import Site
from edge.system.clock import Clock
from edge.system.internal_errors import InternalErrors
from edge.trigger.inspections import Inspections
from edge.wire.command import CommandDesk
from edge.wire.envelope import ConnectionStats, Incoming, Outgoing
from edge.wire.message import timestamp
from edge.worker import TICK_NS
from tests.stand.bundles import colour_bundle, flat_jpeg

MS = 1_000_000
WALL_NS = 1_800_000_000_000_000_000
RED, DARK = flat_jpeg(255, 0, 0), flat_jpeg(10, 10, 10)
ALARM = {
    "severity": 700,
    "message": "It is red",
    "operator_action": "Look",
    "consequence": "Red parts",
    "off_delay_ms": 100.0,
}


class FakeTime:
    """A clock that each reading moves on a little, as work does."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.step_ns = 10_000
        self.jumped_ns = 0

    def monotonic_ns(self) -> int:
        """Now, and time goes on."""
        self.now_ns += self.step_ns
        return self.now_ns

    def wall_ns(self) -> int:
        """The wall clock runs along, unless somebody sets it."""
        return WALL_NS + self.now_ns + self.jumped_ns


class Bench:
    """A worker with everything around it but the network."""

    def __init__(self, folder: Path, *, made: dict[str, Any] | None = None, **site: Any) -> None:
        colour_bundle(folder, **(made or {}))
        base: dict[str, Any] = {
            "bundle": folder,
            "node": {"id": "n"},
            "cameras": ({"id": "cam"},),
            "sensors": ({"id": "vibration", "stale_after_ms": 1000},),
            "rules": ({"id": "shaking", "sensor": "vibration", "kind": "above", "limit": 4.0},),
            "faults": (
                {"id": "red", "camera": "cam", "alarm": ALARM},
                {"id": "loose", "rules": ("shaking",), "alarm": ALARM},
            ),
            "publish": {"flags": "frame", "heartbeat_s": 1.0},
            "explain": {"enabled": False},
            "runtime": {"allow_other_board": True},
        }
        self.site = Site.model_validate(base | site)
        self.time = FakeTime()
        self.sent: list[Outgoing] = []
        self.synchronised: bool | None = True
        self.refused: Sequence[str] | None = ()
        self.errors = InternalErrors(self.time.monotonic_ns)
        self.inbox = Inbox()
        clock = Clock(self.time.monotonic_ns, self.time.wall_ns, lambda: self.synchronised)
        plan = make_plan(self.site, open_bundle(folder))
        proven = prove_plan(plan, clock.monotonic_ns)
        self.time.now_ns = 0
        self.stages = make_stages(plan)
        self.picture_monitors = self.stages.picture_monitors
        self.health = Health(plan.budgets_ns, [sensor.id for sensor in self.site.sensors], 0)
        self.journal = Journal(
            None, prefix="p", send=self._send, monotonic_ns=clock.monotonic_ns, wall_ns=clock.wall_ns
        )
        self.journal.link_up()
        publisher = Publisher(
            prefix="p",
            session="s",
            epoch=7,
            policy=publish_policy(self.site.publish),
            send=self._send,
            record=self.journal.record,
            on_acknowledged=self.health.flag_acknowledged,
        )
        ids = iter(range(1000))
        self.annunciator = Annunciator(
            plan.alarms, publisher, plan.context, new_id=lambda _wall: f"id{next(ids)}", start_ns=0
        )
        self.services = Services(
            clock=clock,
            prefix=self.site.prefix(),
            session="s",
            version="0",
            started_ns=0,
            realtime="other:0",
            annunciator=self.annunciator,
            labels=Labels(self.annunciator, publisher, {}),
            publisher=publisher,
            journal=self.journal,
            health=self.health,
            inbox=self.inbox,
            desk=CommandDesk(self.site.commands.refused),
            send=self._send,
            link=lambda: ConnectionStats(True, "5", None, 1, 0, len(self.sent), 0, 0, {}, 0, 0, None, 0),  # noqa: FBT003 - a record's fields
            connections=lambda _now_ns: ("G", ()),
            taken_over=lambda: None,
            refused=lambda: self.refused,
            errors=self.errors,
            evidence=Evidence(
                self.site.node.state_dir,
                prefix=self.site.prefix(),
                session="s",
                clock=clock,
                send=self._send,
                subject=self.annunciator.subject,
                readings=self.health.values,
            ),
            collector=Collector(
                self.site.node.state_dir, clock=clock, subject=self.annunciator.subject, random=Random(1)
            ),
            inspections=Inspections(
                session="s",
                clock=clock,
                publisher=publisher,
                take=self.inbox.take_triggers,
                count=self.health.inspected,
            ),
            reload=lambda _request: "there is nothing to reload",
        )
        self.proven = proven
        self.worker = make_worker(proven, self.stages, self.services)
        self.seq = 0

    @property
    def explanations(self) -> Explanations:
        """What explains, beside the path."""
        return next(member for member in self.worker._beside._members if isinstance(member, Explanations))  # type: ignore[attr-defined] # it is a group

    def _send(self, message: Outgoing) -> int:
        self.sent.append(message)
        return len(self.sent)

    def frame(self, encoded: bytes, *, waited_ms: float = 0.0) -> None:
        """One frame comes and is taken after it waited."""
        self.seq += 1
        received = self.time.now_ns
        self.health.frame_received("cam", received)
        self.time.now_ns += round(waited_ms * MS)
        self.turn(Frame("cam", self.seq, encoded, received, WALL_NS, received + 40 * MS))

    def turn(self, frame: Frame | None = None) -> None:
        """One round of the inference thread, then one of the journal's."""
        self.worker.turn(frame)
        self.journal.turn()

    def idle(self, duration_ms: float) -> None:
        """Time passes without frames."""
        until = self.time.now_ns + round(duration_ms * MS)
        while self.time.now_ns < until:
            self.time.now_ns += TICK_NS
            self.turn()

    def reading(self, value: float, sensor: str = "vibration") -> None:
        """A sensor value comes."""
        self.health.reading_received(sensor, self.time.now_ns)
        self.inbox.put_reading(Reading(sensor, value, self.time.now_ns))

    def command(self, verb: str, **fields: Any) -> dict[str, Any]:
        """A command comes; returns the reply."""
        body = {
            "request_id": f"r{self.time.now_ns}-{verb}",
            "issued_at": timestamp(self.time.wall_ns()),
            "user": "op",
        } | fields
        self.inbox.put_command(Incoming(f"p/cmd/{verb}", json.dumps(body).encode(), False, 0, 0))  # noqa: FBT003 - a record's field
        self.turn()
        return self.take(f"res/{verb}")[-1]

    def take(self, topic: str) -> list[dict[str, Any]]:
        """Bodies sent on a topic since the last `clear`."""
        return [json.loads(message.payload) for message in self.sent if message.topic == f"p/{topic}"]

    def last(self, topic: str) -> dict[str, Any]:
        """The newest body on a topic."""
        return self.take(topic)[-1]
