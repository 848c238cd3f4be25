"""The topology: builds every stage, connects them, runs them, drains them.

The main thread only waits and feeds the watchdog. Network threads, one for each connection (ingest and publish are two, so that a flag never
waits behind a frame), only hand over. One inference thread decides everything in turn. The journal's thread writes what must not be lost to
disk and publishes it. docs/decisions/008-threads.md lists every thread, and who owns what.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable

from edge.alarm.annunciator import Annunciator
from edge.alarm.labels import Labels
from edge.assembly import make_stages, prove_plan, publish_policy, recall_kinds, recall_views
from edge.broker.connection import Connection
from edge.broker.credentials import client_id
from edge.broker.refusal import Refusals
from edge.bundle import Bundle
from edge.changeover import Changeover, kept_profile
from edge.collect.collector import Collector
from edge.commands import turn_away
from edge.errors import EdgeError
from edge.evidence.recorder import Evidence
from edge.health.connection_watch import ConnectionWatch, Findings
from edge.health.ledger import Health
from edge.health.status import offline_state
from edge.intake.inbox import Inbox
from edge.intake.inlet import Inlet
from edge.intake.slot import Slots
from edge.own_topics import OwnTopics, own_subscriptions
from edge.plan import Plan, make_plan, with_profile
from edge.publish.journal import Journal
from edge.publish.publisher import Publisher, state_message
from edge.rehearsal import rehearse
from edge.reload import Live, Reloader
from edge.services import Services, journal_daemon
from edge.site.settings import Site
from edge.sparkplug.connection import SparkplugConnection
from edge.sparkplug.setup import make_catalogue, make_connection
from edge.succession import Succession
from edge.system.clock import Clock
from edge.system.internal_errors import InternalErrors
from edge.system.realtime import Grant, make_realtime
from edge.system.systemd import notify, watchdog_interval_s
from edge.system.version import package_version
from edge.trigger.inspections import Inspections
from edge.units import NS_PER_S
from edge.wire.command import CommandDesk, Request
from edge.wire.envelope import Incoming
from edge.wire.ulid import ulid

_log = logging.getLogger(__name__)

PAUSE_S = 0.05  # after a round that failed, so that a lasting fault does not take the whole core
STUCK_NS = 5 * NS_PER_S  # an inference thread without a completed turn for so long hangs
STOP_TIMEOUT_S = 2.0
INPUTS, OUTPUTS = "inputs", "flags, alarms and commands"  # what our connections are for, in the state's reasons
SESSION_EXPIRY_S = 3600  # the broker's memory of our session is how we notice that it lost its sessions


class Daemon:
    """One site, watched through its cameras, with its bundle, and its sensors.

    Args:
        site: settings.
        bundle: opened, so its files are intact; None: the site has no camera.
        clock: the two clocks.
        reread: reads the site file again, for a reload; None: there is none.

    Raises:
        ConfigError: site and bundle do not fit together.
        WrongBoard: the bundle was made for other hardware.
    """

    def __init__(
        self, site: Site, bundle: Bundle | None, clock: Clock | None = None, reread: Callable[[], Site] | None = None
    ) -> None:
        self._plan = make_plan(site, bundle)
        self._clock = clock or Clock()
        self._prefix, self._errors = site.prefix(), InternalErrors(self._clock.monotonic_ns)  # a reload changes neither
        self._started_ns = self._clock.monotonic_ns()
        self._session = ulid(self._clock.wall_ns(), secrets.randbits(80))
        self._version = package_version()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._turned_ns = self._started_ns
        self.grant = Grant("ordinary", 0, "not asked for")

        self._live: Live | None = None  # set by the inference thread once the bundle is proven
        self._slots = Slots([camera.id for camera in site.cameras])
        self._inbox = Inbox()
        self._health = Health(self._plan.budgets_ns, [sensor.id for sensor in site.sensors], self._started_ns)
        #: Where everything that comes in is taken in, from whichever thread it came.
        self.inlet = self._make_inlet()
        self._ingest, self._outlet = self._connections()
        self._connection_watch = ConnectionWatch((INPUTS, OUTPUTS))
        self._journal = self._make_journal()
        self._plan = with_profile(self._plan, kept_profile(self._journal.restored))
        self._own_topics = self._make_own_topics()
        self._sparkplug = self._edge_node()
        self._refusals = Refusals(
            self._prefix, [*(client.denied for client in self._clients()), self._own_topics.denied]
        )
        self._publisher = self._make_publisher()
        self._annunciator = self._make_annunciator()
        self._evidence = self._recorder()
        self._collector = Collector(
            self._plan.site.node.state_dir, clock=self._clock, subject=self._annunciator.subject
        )
        self._inspections = self._make_inspections()
        self._changeover = self._make_changeover()
        self._journal_start()
        self._reloader = Reloader(reread, self._slots.wake, site.runtime.realtime_priority, self._errors)
        self._succession = Succession(self._annunciator, self._publisher, self._clock, self._journal.restored)
        self._desk = CommandDesk(site.commands.refused)
        self._thread = threading.Thread(target=self._infer, name="inference", daemon=True)

    # --- life ----------------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Prove the bundle on this machine, then connect; returns when frames are being judged.

        A machine that is too busy to keep the budget now is no reason to leave the plant unwatched: `node-slow` reports it.

        Raises:
            BundleError: the bundle gives other scores here, so nothing goes live.
        """
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self.stop()
            raise self._failure
        self._journal.start()
        self._outlet.start()
        self._ingest.start()
        if self._sparkplug is not None:
            self._sparkplug.start()
        notify("READY=1")

    def wait(self, timeout_s: float | None = None) -> None:
        """Wait until `request_stop`, feeding the watchdog only while every thread makes progress.

        Raises:
            EdgeError: a thread died that others cannot do without.
        """
        interval_s = watchdog_interval_s() or 1.0
        waited_s = 0.0
        while not self._stop.wait(interval_s if timeout_s is None else min(interval_s, timeout_s - waited_s)):
            if self._failure is not None:
                raise EdgeError(f"the inference thread died: {self._failure}") from self._failure
            if any(part.ended() for part in (self._journal, *self._clients())):
                raise EdgeError("a thread of the journal or of a connection died; see the log for the reason")
            if self.alive():
                notify("WATCHDOG=1")
            waited_s += interval_s
            if timeout_s is not None and waited_s >= timeout_s:
                return

    def request_stop(self) -> None:
        """End `wait`; safe in a signal handler."""
        self._stop.set()

    def hang_up(self) -> None:
        """Ask for a reload, as SIGHUP does; safe in a signal handler."""
        self._reloader.hang_up()

    def stop(self) -> None:
        """Drain: no more frames, then the last messages, then DISCONNECT."""
        notify("STOPPING=1")
        self._stop.set()
        self._ingest.stop(timeout_s=0.5)
        self._slots.wake()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        self._evidence.stop(STOP_TIMEOUT_S)
        self._collector.stop(STOP_TIMEOUT_S)
        if self._sparkplug is not None:
            self._sparkplug.stop(STOP_TIMEOUT_S)
        ended = "stopped" if self._failure is None else "failed"
        self._note(
            ended, self._version if self._failure is None else f"{type(self._failure).__name__}: {self._failure}"
        )
        self._journal.flush()
        self._outlet.stop(
            [state_message(self._prefix, offline_state(self._session, self._version, (ended,)))],
            STOP_TIMEOUT_S,
        )
        self._journal.stop()

    def _journal_start(self) -> None:
        """Journal the start and what it found."""
        self._note("started", self._version)
        kept = self._journal.stats()
        if kept.set_aside:
            self._note("journal set aside", kept.reason)
        if self._plan.site.loses_states():
            self._note("alarm states begin anew", "node.state_dir is not set: the states before this start are unknown")

    def _hand_to_sparkplug(self) -> None:
        """Sparkplug gets the alarms' states at the moment when frames begin to be judged: proving the bundle takes a while."""
        if self._sparkplug is not None:
            for alarm in self._annunciator.conditions(self._clock.wall_ns()):
                self._sparkplug.put(alarm)

    def _note(self, what: str, detail: str) -> None:
        journal_daemon(self._publisher, self._clock, what, detail)

    def alive(self) -> bool:
        """Whether every thread turns; a broker that is down does not matter."""
        now_ns = self._clock.monotonic_ns()
        return now_ns - self._turned_ns < STUCK_NS and all(client.alive(now_ns) for client in self._clients())

    def summary(self) -> str:
        """One line for the log: what is watched, and what the proof gave here; for a daemon that has started."""
        return "not started" if self._live is None else self._live.summary()

    @property
    def health(self) -> Health:
        """The ledger."""
        return self._health

    # --- the parts, each made once, in the order of `__init__` -------------------------------------------------------------------------

    def _make_inlet(self) -> Inlet:
        return Inlet(
            self._plan.site,
            self._plan.budgets_ms,
            slots=self._slots,
            inbox=self._inbox,
            counters=self._health,
            arrival=self._stop_spare_work,
        )

    def _make_journal(self) -> Journal:
        return Journal(
            self._plan.site.node.state_dir,
            prefix=self._prefix,
            send=self._outlet.publish,
            monotonic_ns=self._clock.monotonic_ns,
            wall_ns=self._clock.wall_ns,
            errors=self._errors,
        )

    def _make_own_topics(self) -> OwnTopics:
        return OwnTopics(
            self._prefix,
            self._session,
            self._journal.epoch,
            self._clock,
            inbox=self._inbox,
            wake=self._slots.wake,
            rejected=self._health.rejected,
            put_command=self._put_command,
            give_way=self._give_way,
        )

    def _make_publisher(self) -> Publisher:
        return Publisher(
            prefix=self._prefix,
            session=self._session,
            epoch=self._journal.epoch,
            policy=publish_policy(self._plan.site.publish),
            send=self._outlet.publish,
            record=self._journal.record,
            on_acknowledged=self._health.flag_acknowledged,
            tap=None if self._sparkplug is None else self._sparkplug.put,
        )

    def _make_annunciator(self) -> Annunciator:
        return Annunciator(
            self._plan.alarms,
            self._publisher,
            self._plan.context,
            new_id=lambda wall_ns: ulid(wall_ns, secrets.randbits(80)),
            start_ns=self._started_ns,
            start_wall_ns=self._clock.wall_ns(),
            restored=self._journal.restored,
        )

    def _make_changeover(self) -> Changeover:
        return Changeover(
            self._annunciator,
            self._publisher,
            self._clock,
            restored=self._journal.restored,
            take=self._inbox.take_recipe,
            rejected=self._health.rejected,
        )

    def _make_inspections(self) -> Inspections:
        return Inspections(
            session=self._session,
            clock=self._clock,
            publisher=self._publisher,
            take=self._inbox.take_triggers,
            count=self._health.inspected,
        )

    def _connections(self) -> tuple[Connection, Connection]:
        site, prefix = self._plan.site, self._prefix
        ingest = Connection(
            site.broker,
            client_id=client_id(f"{site.node.id}-in", site.broker),
            subscriptions=self.inlet.subscriptions(),
            on_message=self.inlet.arrived,
            errors=self._errors,
        )
        outlet = Connection(
            site.broker,
            client_id=client_id(site.node.id, site.broker),
            subscriptions=own_subscriptions(prefix),
            on_message=lambda incoming: self._own_topics.arrived(incoming),  # noqa: PLW0108 - it needs the journal's epoch, and the journal this
            session_expiry_s=SESSION_EXPIRY_S,
            on_session_lost=lambda: self._journal.session_lost(),  # noqa: PLW0108 - the journal is built after its connection
            on_up=self._reconnected,
            on_down=lambda _reason: self._disconnected(),
            on_acknowledged=self._acknowledged,
            errors=self._errors,
            will=state_message(prefix, offline_state(self._session, self._version, ("connection lost",))),
        )
        return ingest, outlet

    def _edge_node(self) -> SparkplugConnection | None:
        return make_connection(
            self._plan.site,
            self._plan.channels,
            model=self._plan.model,
            version=self._version,
            run_id=self._session,
            put_command=self._put_command,
            clock=self._clock,
            errors=self._errors,
        )

    def _recorder(self) -> Evidence:
        return Evidence(
            self._plan.site.node.state_dir,
            prefix=self._prefix,
            session=self._session,
            clock=self._clock,
            send=self._outlet.publish,
            subject=self._annunciator.subject,
            readings=self._health.values,
        )

    # --- the network threads: hand over, never work -----------------------------------------------------------------------------------

    def _clients(self) -> list[Connection | SparkplugConnection]:
        """Everything that has a connection of its own."""
        return [self._ingest, self._outlet, *([] if self._sparkplug is None else [self._sparkplug])]

    def _put_command(self, incoming: Incoming) -> None:
        if not self._inbox.put_command(incoming):
            turn_away(self._publisher, incoming, self._prefix, self.inlet.is_subscribed)
        self._slots.wake()
        self._stop_spare_work()

    def _stop_spare_work(self) -> None:
        """Stop work in idle time: a message came that must not wait for it."""
        live = self._live
        if live is not None:
            live.proven.brake.pull()

    def _give_way(self) -> None:
        for connection in (self._ingest, self._outlet):
            connection.give_way()

    def _acknowledged(self, number: int, now_ns: int) -> None:
        self._publisher.acknowledged(number, now_ns)
        self._journal.acknowledged(number, now_ns)

    def _disconnected(self) -> None:
        self._journal.link_down()
        self._own_topics.link_down()
        self._refusals.link_down()

    def _reconnected(self) -> None:
        self._journal.link_up()
        self._refusals.link_up(self._clock.monotonic_ns())
        self._inbox.reconnect()
        self._slots.wake()

    # --- the inference thread ----------------------------------------------------------------------------------------------------------

    def _infer(self) -> None:
        try:
            live = self._prepare()
            self._hand_to_sparkplug()
            self._ready.set()
            while not self._stop.is_set():
                self._round(live)
        except BaseException as error:  # noqa: BLE001 - whatever ends this thread must reach the main one
            self._failure = error
            self._ready.set()

    def _round(self, live: Live) -> None:
        """One round; a fault of this program is counted and the next round comes. Only good rounds feed the watchdog."""
        try:
            live.worker.turn(self._slots.take(live.worker.wait_s()))
            self._turned_ns = self._clock.monotonic_ns()
        except Exception as error:  # noqa: BLE001 - it ends this round only; MemoryError ends the thread
            self._errors.caught("inference", error)
            self._stop.wait(PAUSE_S)
        self._errors.guarded("reload", live.renew)

    def _prepare(self) -> Live:
        """Load and prove the bundle on this thread, so that ONNX Runtime's own threads inherit its scheduling."""
        priority = self._plan.site.runtime.realtime_priority
        if priority > 0:
            self.grant = make_realtime(priority=priority)
        self._succession.refuse_older(self._plan)
        if self._plan.bundle is not None:
            rehearse(self._plan.bundle, self._plan.site)
        proven = prove_plan(self._plan, self._clock.monotonic_ns, slow_is_fatal=False)
        is_active = self._annunciator.is_active
        if proven.proof is not None and proven.proof.too_slow:
            _log.warning("%s Frames are judged all the same; it is measured again.", proven.proof.too_slow)
        views = recall_views(self._plan, self._journal.restored, is_active, self._clock.wall_ns())
        self._live = Live(
            self._services(),
            self._reloader,
            proven,
            make_stages(
                self._plan,
                is_active=is_active,
                views=views,
                kinds=recall_kinds(self._plan, self._journal.restored),
                kept=self._journal.restored,
            ),
            self._succession,
            frame_waits=lambda: self._slots.waiting() > 0,
            reconfigure=self._reconfigure,
            changeover=self._changeover,
        )
        return self._live

    def _services(self) -> Services:
        return Services(
            clock=self._clock,
            prefix=self._prefix,
            session=self._session,
            version=self._version,
            started_ns=self._started_ns,
            realtime=f"{self.grant.policy}:{self.grant.priority}",
            annunciator=self._annunciator,
            labels=Labels(self._annunciator, self._publisher, self._journal.restored),
            publisher=self._publisher,
            journal=self._journal,
            health=self._health,
            inbox=self._inbox,
            desk=self._desk,
            send=self._outlet.publish,
            link=self._outlet.stats,
            taken_over=self._taken_over_ns,
            connections=self._watch_connections,
            errors=self._errors,
            evidence=self._evidence,
            collector=self._collector,
            inspections=self._inspections,
            refused=lambda: self._refusals.words(self._clock.monotonic_ns()),
            others_wait=lambda camera: self._slots.waiting(but=camera) > 0,
            profile=self._changeover.command,
            unknown_profile=lambda: self._changeover.unknown,
            reload=self._ask_reload,
            is_input=self.inlet.is_subscribed,
        )

    def _watch_connections(self, now_ns: int) -> Findings:
        return self._connection_watch.findings(now_ns, {INPUTS: self._ingest.stats(), OUTPUTS: self._outlet.stats()})

    def _taken_over_ns(self) -> int | None:
        moments = [
            self._own_topics.duplicate_ns,
            self._ingest.stats().taken_over_ns,
            self._outlet.stats().taken_over_ns,
        ]
        return max((moment for moment in moments if moment is not None), default=None)

    def _ask_reload(self, request: Request) -> str | None:
        plan = self._plan if self._live is None else self._live.plan
        return self._reloader.ask(request, plan, self._succession.record)

    def _reconfigure(self, plan: Plan, now_ns: int) -> None:
        """Give another plan to the parts outside the inference thread."""
        if self.inlet.reconfigure(plan.site, plan.budgets_ms, now_ns):
            self._ingest.resubscribe(self.inlet.subscriptions())
        if self._sparkplug is not None:
            self._sparkplug.put(make_catalogue(plan.site, plan.channels, plan.model, self._version))
