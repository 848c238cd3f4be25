"""What lives as long as the daemon, in one record that the workers of all reloads share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge.alarm.annunciator import Annunciator
from edge.alarm.entry import Ne107
from edge.alarm.labels import Labels
from edge.collect.collector import Collector
from edge.evidence.recorder import Evidence
from edge.health.ledger import Health
from edge.intake.inbox import Inbox
from edge.publish.journal import Journal
from edge.publish.publisher import Publisher
from edge.system.clock import Clock
from edge.system.internal_errors import InternalErrors
from edge.trigger.inspections import Inspections
from edge.wire.command import CommandDesk, Request, refuse, without_paths
from edge.wire.envelope import ConnectionStats, Outgoing
from edge.wire.requests import Reply


@dataclass(frozen=True, slots=True)
class Services:
    """Shared by everything on the inference thread.

    Args:
        prefix: ``{root}/{node}``.
        session: id of this run.
        version: of this program.
        started_ns: monotonic ns when the daemon began.
        realtime: scheduling of the inference thread, for people.
        desk: checks commands; what was answered before a reload is not executed again after it.
        send: hands a message to the publishing connection; None means that it could not.
        link: counters of the publishing connection.
        taken_over: when another client last took over one of our connections, monotonic ns; None: never.
        refused: what the broker rejects of us now; None: not known yet.
        connections: whether our connections stay up at a monotonic ns, as an NE 107 letter and reasons.
        errors: where exceptions go that are faults of this program.
        evidence: keeps what is seen around alarms.
        collector: keeps pictures by score.
        inspections: answers triggers.
        profile: has another profile hold, or returns why not; None: the answer comes later.
        unknown_profile: what the plant asks for and no profile is called; empty: nothing.
        reload: begins a reload, or returns why not; None: it is under way.
        others_wait: whether a frame of another camera than this one waits.
        is_input: whether a topic is one of the site's inputs.
    """

    clock: Clock
    prefix: str
    session: str
    version: str
    started_ns: int
    realtime: str
    annunciator: Annunciator
    labels: Labels
    publisher: Publisher
    journal: Journal
    health: Health
    inbox: Inbox
    desk: CommandDesk
    send: Callable[[Outgoing], int | None]
    link: Callable[[], ConnectionStats]
    taken_over: Callable[[], int | None]
    refused: Callable[[], Sequence[str] | None]
    connections: Callable[[int], tuple[Ne107, tuple[str, ...]]]
    errors: InternalErrors
    evidence: Evidence
    collector: Collector
    inspections: Inspections
    reload: Callable[[Request], str | None]
    profile: Callable[[Request, int, int], Reply | None] = lambda request, _now_ns, _now_wall_ns: refuse(
        request.command, "not_allowed", "the site file has no [[profiles]]"
    )
    unknown_profile: Callable[[], str] = lambda: ""
    others_wait: Callable[[str], bool] = lambda _camera: False
    is_input: Callable[[str], bool] = lambda _topic: False


def journal_daemon(publisher: Publisher, clock: Clock, what: str, detail: str) -> None:
    """Journal what the daemon itself does."""
    event = publisher.event("system", "daemon", what, clock.wall_ns(), detail=without_paths(detail)[:300])
    publisher.record(clock.monotonic_ns(), [event])
