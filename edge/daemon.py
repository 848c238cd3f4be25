"""The topology: builds every stage, connects them, runs them, drains them.

Four threads beside the main one, which only waits and feeds the watchdog. Two network threads, one for each MQTT connection (ingest and
publish, so that a flag never waits behind a frame), only hand over. One inference thread decides everything in turn. The journal's thread
writes to disk, and tells, what must not be lost.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from importlib import metadata

from edge.alarm.machine import ulid
from edge.annunciator import Annunciator
from edge.bundle import Bundle
from edge.clock import Clock
from edge.command import CommandDesk
from edge.envelope import Incoming, Subscription
from edge.errors import EdgeError
from edge.frame import Drop
from edge.health import Health
from edge.infer import ProofResult
from edge.journal import Journal
from edge.messages import Reply, State, timestamp
from edge.mqtt import Connection
from edge.publish import Publisher, state_message
from edge.realtime import Grant, make_realtime, trim_memory
from edge.refusal import Refusals
from edge.reload import Order, Reloader, Result, Trial
from edge.report import offline_state
from edge.session import Brake
from edge.settings import Site
from edge.slot import Slots
from edge.source import Source
from edge.sparkplug.session import Session
from edge.sparkplug.setup import sparkplug_catalogue, sparkplug_session
from edge.systemd import notify, watchdog_interval_s
from edge.topics import STATE
from edge.twin import TwinDetector
from edge.watch import House, Memory, Proven, make_plan, make_worker, prove_plan, publish_policy, recall_views, remember
from edge.worker import Inbox, Worker

NS_PER_S = 1_000_000_000
STUCK_NS = 5 * NS_PER_S  # an inference thread that did not turn for so long hangs
STOP_TIMEOUT_S = 2.0
SESSION_EXPIRY_S = 3600  # the broker's memory of our session is how we notice that it lost its memory

_log = logging.getLogger(__name__)


class Daemon:
    """One bundle, watched through one site's cameras and sensors.

    Args:
        site: settings.
        bundle: opened, so its files are intact.
        clock: the two clocks.
        reread: reads the site file again, for a reload; None: there is none.

    Raises:
        ConfigError: site and bundle do not fit together.
        WrongBoard: the bundle was made for other hardware.
    """

    def __init__(
        self, site: Site, bundle: Bundle, clock: Clock | None = None, reread: Callable[[], Site] | None = None
    ) -> None:
        self._plan = make_plan(site, bundle)
        self._clock = clock or Clock()
        self._started_ns = self._clock.monotonic_ns()
        self._twin_ns: int | None = None
        self._session = ulid(self._clock.wall_ns(), secrets.randbits(80))
        self._twin_detector = TwinDetector(self._session, timestamp(self._clock.wall_ns()))
        self._version = package_version()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._turned_ns = self._started_ns
        self._refused: set[str] = set()
        self.proof: ProofResult | None = None
        self.grant = Grant("ordinary", 0, "not asked for")

        self._wire = threading.Lock()  # held while a message is taken in, and while a reload exchanges what takes it
        self._source = Source(site, self._plan.budgets_ms)
        self._slots = Slots([camera.id for camera in site.cameras])
        self._brake = Brake(lambda: False)
        self._inbox = Inbox()
        self._health = Health(self._plan.budgets_ns, [sensor.id for sensor in site.sensors], self._started_ns)
        self._ingest, self._outlet = self._connections()
        self._journal = Journal(
            site.node.state_dir,
            prefix=site.prefix(),
            send=self._outlet.publish,
            monotonic_ns=self._clock.monotonic_ns,
            wall_ns=self._clock.wall_ns,
        )
        self._sparkplug = self._edge_node()
        self._refusals = Refusals(site.prefix(), [speaker.denied for speaker in self._speakers()])
        self._publisher = Publisher(
            prefix=site.prefix(),
            session=self._session,
            epoch=self._journal.epoch,
            policy=publish_policy(site.publish),
            send=self._outlet.publish,
            record=self._journal.record,
            on_acknowledged=self._health.flag_acknowledged,
            tap=None if self._sparkplug is None else self._sparkplug.hear,
        )
        self._annunciator = Annunciator(
            self._plan.alarms,
            self._publisher,
            self._plan.context,
            new_id=lambda wall_ns: ulid(wall_ns, secrets.randbits(80)),
            start_ns=self._started_ns,
            start_wall_ns=self._clock.wall_ns(),
            restored=self._journal.restored,
        )
        self._note("started")
        kept = self._journal.stats()
        if kept.set_aside:
            self._note("journal set aside", kept.reason)
        if site.forgets():
            self._note("alarm states begin anew", "node.state_dir is not set: what stood before this start is unknown")
        if self._sparkplug is not None:
            for alarm in self._annunciator.conditions(self._clock.wall_ns()):
                self._sparkplug.hear(alarm)
        self._reloader = Reloader(reread, self._slots.wake, site.runtime.realtime_priority)
        self._hung_up = False
        self._trial: Trial | None = None  # from here on the inference thread's own
        self._desk = CommandDesk(site.commands.refused)
        self._live: tuple[Proven, Memory] | None = None
        self._thread = threading.Thread(target=self._infer, name="inference", daemon=True)

    # --- life ----------------------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Prove the bundle on this machine, then connect; returns when frames are being judged.

        Raises:
            BundleError: the proof does not hold here, so nothing goes live.
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
            EdgeError: the inference thread died.
        """
        interval_s = watchdog_interval_s() or 1.0
        waited_s = 0.0
        while not self._stop.wait(interval_s if timeout_s is None else min(interval_s, timeout_s - waited_s)):
            if self._failure is not None:
                raise EdgeError(f"the inference thread died: {self._failure}") from self._failure
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
        self._hung_up = True

    def stop(self) -> None:
        """Drain: no more frames, then the last words, then goodbye."""
        notify("STOPPING=1")
        self._stop.set()
        self._ingest.stop(timeout_s=0.5)
        self._slots.wake()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)
        if self._sparkplug is not None:
            self._sparkplug.stop(STOP_TIMEOUT_S)
        ended = "stopped" if self._failure is None else "failed"
        self._note(ended, "" if self._failure is None else f"{type(self._failure).__name__}: {self._failure}")
        self._journal.settle()
        self._outlet.stop(
            [state_message(self._plan.site.prefix(), offline_state(self._session, self._version, (ended,)))],
            STOP_TIMEOUT_S,
        )
        self._journal.stop()

    def _note(self, what: str, detail: str = "") -> None:
        """Journal what the daemon itself does."""
        told = detail[:300] or self._version
        event = self._publisher.event("system", "daemon", what, self._clock.wall_ns(), detail=told)
        self._publisher.record(self._clock.monotonic_ns(), [event])

    def alive(self) -> bool:
        """Whether every thread turns; a broker that is down does not matter."""
        now_ns = self._clock.monotonic_ns()
        return now_ns - self._turned_ns < STUCK_NS and all(speaker.alive(now_ns) for speaker in self._speakers())

    def summary(self) -> str:
        """One line for the log: what is watched, and what the proof said here."""
        proof, plan = self.proof, self._plan
        speed = f", picture to scores p50 {proof.frame_p50_ms:.1f} ms of {proof.budget_ms:g} ms" if proof else ""
        return (
            f"{plan.model.name} version {plan.model.version}, {len(plan.site.cameras)} cameras, {len(plan.site.sensors)} sensors, "
            f"{len(plan.channels)} faults{speed}, inference thread {self.grant.policy} {self.grant.priority}, "
            f"state {'not kept' if plan.site.node.state_dir is None else f'in {plan.site.node.state_dir}'}"
        )

    @property
    def health(self) -> Health:
        """The ledger."""
        return self._health

    # --- the network threads: hand over, never work -----------------------------------------------------------------------------------

    def _connections(self) -> tuple[Connection, Connection]:
        site, prefix = self._plan.site, self._plan.site.prefix()
        ingest = Connection(
            site.broker,
            client_id=f"{site.node.id}-in",
            subscriptions=self._source.subscriptions(),
            on_message=self._arrived,
        )
        outlet = Connection(
            site.broker,
            client_id=site.node.id,
            subscriptions=[Subscription(f"{prefix}/cmd/+", 1, no_retained=True), Subscription(STATE.at(prefix), 1)],
            on_message=self._commanded,
            session_expiry_s=SESSION_EXPIRY_S,
            on_forgotten=lambda: self._journal.forgotten(),  # noqa: PLW0108 - the journal is built after its connection
            on_up=self._reconnected,
            on_down=lambda _reason: self._disconnected(),
            on_acknowledged=self._acknowledged,
            will=state_message(prefix, offline_state(self._session, self._version, ("connection lost",))),
        )
        return ingest, outlet

    def _edge_node(self) -> Session | None:
        return sparkplug_session(
            self._plan.site,
            self._plan.channels,
            model=self._plan.model,
            version=self._version,
            run_id=self._session,
            put_command=self._put_command,
            clock=self._clock,
        )

    def _speakers(self) -> list[Connection | Session]:
        """Everything that has a connection of its own."""
        return [self._ingest, self._outlet, *([] if self._sparkplug is None else [self._sparkplug])]

    def _arrived(self, incoming: Incoming) -> None:
        with self._wire:
            self._take_in(incoming)

    def _take_in(self, incoming: Incoming) -> None:
        accepted = self._source.accept(incoming)
        for frame in accepted.frames:
            self._health.frame_received(frame.camera, frame.received_ns)
            replaced = self._slots.put(frame)
            self._brake.pull()
            if replaced is not None:
                self._health.frame_dropped(replaced.camera, Drop.REPLACED)
        for reading in accepted.readings:
            self._health.reading_received(reading.sensor, reading.received_ns)
            self._inbox.put_reading(reading)
        for rejection in accepted.rejections:
            if rejection.camera is not None and rejection.reason != Drop.RETAINED.value:
                self._health.frame_received(rejection.camera, incoming.received_ns)
            self._health.rejected(rejection.reason, camera=rejection.camera, sensor=rejection.sensor)
            self._log_first(rejection.camera or rejection.sensor or "somebody", rejection.reason, rejection.detail)

    def _heard_state(self, incoming: Incoming) -> None:
        """Our own words come back; others under our name may be a twin's."""
        said = State.model_validate_json(incoming.payload)
        if self._twin_detector.shown_by(said, retained=incoming.retained):
            self._twin_ns = self._clock.monotonic_ns()
            for connection in (self._ingest, self._outlet):
                connection.give_way()

    def _commanded(self, incoming: Incoming) -> None:
        if incoming.topic == STATE.at(self._plan.site.prefix()):
            self._heard_state(incoming)
            return
        if not incoming.topic.startswith(f"{self._plan.site.prefix()}/cmd/"):
            return  # a session that the broker kept may hold subscriptions of an earlier site file
        self._put_command(incoming)

    def _put_command(self, incoming: Incoming) -> None:
        self._inbox.put_command(incoming)
        self._slots.wake()
        self._brake.pull()

    def _acknowledged(self, number: int, now_ns: int) -> None:
        self._publisher.acknowledged(number, now_ns)
        self._journal.acknowledged(number, now_ns)

    def _disconnected(self) -> None:
        self._journal.link_down()
        self._refusals.link_down()

    def _reconnected(self) -> None:
        self._journal.link_up()
        self._refusals.link_up(self._clock.monotonic_ns())
        self._inbox.reconnected = True
        self._slots.wake()

    def _log_first(self, who: str, reason: str, detail: str) -> None:
        key = f"{who}:{reason}"
        if key not in self._refused:
            self._refused.add(key)
            _log.warning("input of %s refused: %s: %s; counted from now on", who, reason, detail)

    # --- the inference thread ----------------------------------------------------------------------------------------------------------

    def _infer(self) -> None:
        try:
            worker = self._prepare()
            self._ready.set()
            while not self._stop.is_set():
                frame = self._slots.take(worker.wait_s())
                worker.turn(frame)
                worker = self._renew(worker)
                self._turned_ns = self._clock.monotonic_ns()
        except BaseException as error:  # noqa: BLE001 - whatever ends this thread must reach the main one
            self._failure = error
            self._ready.set()

    def _prepare(self) -> Worker:
        """Load and prove the bundle on this thread, so that ONNX Runtime's own threads inherit its scheduling."""
        priority = self._plan.site.runtime.realtime_priority
        if priority > 0:
            self.grant = make_realtime(priority=priority)
        proven = prove_plan(self._plan, self._clock.monotonic_ns)
        views = recall_views(self._plan, self._journal.restored, self._annunciator.stands, self._clock.wall_ns())
        return self._go_live(proven, remember(self._plan, stands=self._annunciator.stands, views=views))

    def _go_live(self, proven: Proven, memory: Memory) -> Worker:
        self._plan, self.proof, self._live = proven.plan, proven.proof, (proven, memory)
        self._brake = proven.brake
        self._brake.frame_waits = lambda: self._slots.waiting() > 0
        return make_worker(proven, memory, self._house())

    def _house(self) -> House:
        return House(
            clock=self._clock,
            session=self._session,
            version=self._version,
            started_ns=self._started_ns,
            realtime=f"{self.grant.policy}:{self.grant.priority}",
            annunciator=self._annunciator,
            publisher=self._publisher,
            journal=self._journal,
            health=self._health,
            inbox=self._inbox,
            desk=self._desk,
            send=self._outlet.publish,
            link=self._outlet.stats,
            taken_over=self._taken_over_ns,
            refused=lambda: self._refusals.words(self._clock.monotonic_ns()),
            reload=lambda request, incoming: self._reloader.ask(Order(request, incoming), self._plan),
        )

    def _taken_over_ns(self) -> int | None:
        moments = [self._twin_ns, self._ingest.stats().taken_over_ns, self._outlet.stats().taken_over_ns]
        return max((moment for moment in moments if moment is not None), default=None)

    # --- reload: between two frames ----------------------------------------------------------------------------------------------------

    def _renew(self, worker: Worker) -> Worker:
        """Begin the reload that a signal asked for, exchange what is proven, judge what is on trial; mostly there is nothing to do."""
        if self._hung_up:
            self._hung_up = False
            refusal = self._reloader.ask(Order(), self._plan)
            if refusal is not None:
                self._note("reload refused", refusal)
        result = self._reloader.take()
        if result is not None:
            return self._finish(result, worker)
        if self._trial is not None:
            return self._judge(self._trial, worker)
        return worker

    def _finish(self, result: Result, worker: Worker) -> Worker:
        """Exchange the two, or say why not."""
        proven = result.proven
        if proven is None:
            _log.warning("reload refused: %s", result.problem)
            self._note("reload refused", result.problem)
        else:
            former, tally = self._live, self._health.tally()
            self._annunciator.settle(self._clock.monotonic_ns())  # of a reload before this one
            worker = self._exchange(proven)
            assert former is not None  # noqa: S101 - narrows the type; something ran
            self._trial = Trial(former, tally, self._clock.monotonic_ns())
            _log.info("reloaded: %s", self.summary())
            self._note("reloaded", f"{proven.plan.model.name} version {proven.plan.model.version}, on trial")
        order = result.order
        if order.request is not None and order.incoming is not None:
            reply = Reply(
                request_id=order.request.command.request_id,
                ok=proven is not None,
                code="ok" if proven is not None else "not_allowed",
                detail=result.problem if proven is None else f"{self.summary()}; on trial",
            )
            worker.answer(order.request, reply, order.incoming)
        return worker

    def _judge(self, trial: Trial, worker: Worker) -> Worker:
        verdict, told = trial.judge(self._health.tally(), self._clock.monotonic_ns())
        if verdict == "running":
            return worker
        gone = [trial.former]
        if verdict == "failed":
            assert self._live is not None  # noqa: S101 - narrows the type; something runs
            gone = [self._live]
            worker = self._exchange(*trial.former)
            _log.error("reload taken back, %s version %d runs again: %s", *self._named(), told)
        self._note("reload kept" if verdict == "passed" else "reload taken back", told)
        self._trial = None
        if self._annunciator.settle(self._clock.monotonic_ns()):
            self._inbox.reconnected = True  # so that the broker forgets them too
        threading.Thread(target=_let_go, args=(gone,), name="let-go", daemon=True).start()
        return worker

    def _exchange(self, proven: Proven, former: Memory | None = None) -> Worker:
        """Put a proven plan in the place of the one that runs: alarms keep their states, frames that wait stay, everything is said anew."""
        assert self._live is not None  # noqa: S101 - narrows the type; something ran
        plan, memory = proven.plan, remember(proven.plan, self._live[1], former, stands=self._annunciator.stands)
        now_ns, now_wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        with self._wire:
            source = Source(plan.site, plan.budgets_ms)
            source.succeed(self._source)
            moved = source.subscriptions() != self._source.subscriptions()
            self._slots.expect(plan.budgets_ms)
            self._health.expect(plan.budgets_ns, [sensor.id for sensor in plan.site.sensors], now_ns)
            self._source = source
        if moved:
            self._ingest.resubscribe(source.subscriptions())
        self._desk.refused = plan.site.commands.refused
        self._publisher.change(publish_policy(plan.site.publish), [channel.id for channel in plan.channels])
        self._annunciator.adopt(plan.alarms, plan.context, now_ns, now_wall_ns)
        if self._sparkplug is not None:
            self._sparkplug.hear(sparkplug_catalogue(plan.site, plan.channels, plan.model, self._version))
        self._inbox.reconnected = True  # so that state, meta, alarms and flags are said anew in the next turn
        return self._go_live(proven, memory)

    def _named(self) -> tuple[str, int]:
        return self._plan.model.name, self._plan.model.version


def _let_go(gone: list[tuple[Proven, Memory]]) -> None:
    """Give back what a bundle took, on a thread that nobody waits for."""
    gone.clear()
    trim_memory()


def package_version() -> str:
    """This installation's version; 0 when it runs from a source tree that was never installed."""
    try:
        return metadata.version("plantflag")
    except metadata.PackageNotFoundError:
        return "0"
