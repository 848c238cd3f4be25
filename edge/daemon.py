"""The topology: builds every stage, connects them, runs them, drains them.

Four threads beside the main one, which only waits and feeds the watchdog. Two network threads, one for each MQTT connection (ingest and
publish, so that a flag never waits behind a frame), only hand over. One inference thread decides everything in turn. The journal's thread
writes to disk, and tells, what must not be lost.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Mapping, Sequence
from importlib import metadata

from edge.alarm.machine import ulid
from edge.annunciator import Annunciator, Context
from edge.board import check_board, machine_facts
from edge.bundle import Bundle
from edge.channel import Channel, resolve_channels, resolve_rules
from edge.clock import Clock
from edge.envelope import Incoming, Subscription
from edge.errors import EdgeError
from edge.explaining import Parts, make_explainer
from edge.frame import Drop
from edge.health import Health
from edge.infer import Engine, ProofResult, prove
from edge.journal import Journal
from edge.lens import Lens
from edge.messages import Asset, ModelInfo
from edge.mqtt import Connection
from edge.path import FramePath
from edge.preprocess import Limits, Preprocessor
from edge.publish import Policy, Publisher, state_message
from edge.realtime import Grant, make_realtime, trim_memory
from edge.report import Reporter, offline_state
from edge.session import Brake
from edge.settings import PublishSettings, Site
from edge.slot import Slots
from edge.snapshot import Snapshots
from edge.source import Source
from edge.sparkplug.setup import sparkplug_session
from edge.standing import site_alarms
from edge.systemd import notify, watchdog_interval_s
from edge.worker import Inbox, Worker

NS_PER_MS = 1_000_000
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

    Raises:
        ConfigError: site and bundle do not fit together.
        WrongBoard: the bundle was made for other hardware.
    """

    def __init__(self, site: Site, bundle: Bundle, clock: Clock | None = None) -> None:
        self._site = site
        self._bundle = bundle
        self._clock = clock or Clock()
        self._started_ns = self._clock.monotonic_ns()
        self._session = ulid(self._clock.wall_ns(), secrets.randbits(80))
        self._version = package_version()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._turned_ns = self._started_ns
        self._refused: set[str] = set()
        self.proof: ProofResult | None = None
        self.grant = Grant("ordinary", 0, "not asked for")

        refuse_other_board(site, bundle)
        self._specs = resolve_channels(site, bundle.manifest)
        self._budgets_ms = camera_budgets_ms(site, bundle)
        self._source = Source(site, self._budgets_ms)
        self._slots = Slots([camera.id for camera in site.cameras])
        self._brake = Brake(lambda: self._slots.waiting() > 0)
        self._inbox = Inbox()
        self._health = Health(
            {camera: round(budget * NS_PER_MS) for camera, budget in self._budgets_ms.items()},
            [sensor.id for sensor in site.sensors],
            self._started_ns,
        )
        self._ingest, self._outlet = self._connections()
        self._journal = Journal(
            site.node.state_dir,
            prefix=site.prefix(),
            send=self._outlet.publish,
            monotonic_ns=self._clock.monotonic_ns,
            wall_ns=self._clock.wall_ns,
        )
        model = ModelInfo(name=bundle.manifest.name, version=bundle.manifest.version, sha256=bundle.sha256)
        self._sparkplug = sparkplug_session(
            site,
            self._specs,
            model=model,
            version=self._version,
            run_id=self._session,
            put_command=self._put_command,
            clock=self._clock,
        )
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
            site_alarms(site, self._specs),
            self._publisher,
            Context(model.name, model.sha256, Asset(path=site.node.asset_path, rds_pp=site.node.rds_pp)),
            new_id=lambda wall_ns: ulid(wall_ns, secrets.randbits(80)),
            start_ns=self._started_ns,
            start_wall_ns=self._clock.wall_ns(),
            restored=self._journal.restored,
        )
        self._note("started")
        if self._sparkplug is not None:
            for alarm in self._annunciator.conditions(self._clock.wall_ns()):
                self._sparkplug.hear(alarm)
        self._model = model
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
        self._note("stopped")
        self._journal.settle()
        self._outlet.stop(
            [state_message(self._site.prefix(), offline_state(self._session, self._version, ("stopped",)))],
            STOP_TIMEOUT_S,
        )
        self._journal.stop()

    def _note(self, what: str) -> None:
        """Journal what the daemon itself does."""
        event = self._publisher.event("system", "daemon", what, self._clock.wall_ns(), detail=self._version)
        self._publisher.record(self._clock.monotonic_ns(), [event])

    def alive(self) -> bool:
        """Whether every thread turns; a broker that is down does not matter."""
        now_ns = self._clock.monotonic_ns()
        networks = [self._ingest, self._outlet] + ([] if self._sparkplug is None else [self._sparkplug])
        return now_ns - self._turned_ns < STUCK_NS and all(network.alive(now_ns) for network in networks)

    def summary(self) -> str:
        """One line for the log: what is watched, and what the proof said here."""
        proof = self.proof
        speed = f", picture to scores p50 {proof.frame_p50_ms:.1f} ms of {proof.budget_ms:g} ms" if proof else ""
        return (
            f"{self._model.name} version {self._model.version}, {len(self._site.cameras)} cameras, {len(self._site.sensors)} sensors, "
            f"{len(self._specs)} faults{speed}, inference thread {self.grant.policy} {self.grant.priority}"
        )

    @property
    def health(self) -> Health:
        """The ledger."""
        return self._health

    # --- the network threads: hand over, never work -----------------------------------------------------------------------------------

    def _connections(self) -> tuple[Connection, Connection]:
        node, prefix = self._site.node.id, self._site.prefix()
        ingest = Connection(
            self._site.broker,
            client_id=f"{node}-in",
            subscriptions=self._source.subscriptions(),
            on_message=self._arrived,
        )
        outlet = Connection(
            self._site.broker,
            client_id=node,
            subscriptions=[Subscription(f"{prefix}/cmd/+", 1, no_retained=True)],
            on_message=self._commanded,
            session_expiry_s=SESSION_EXPIRY_S,
            on_forgotten=lambda: self._journal.forgotten(),  # noqa: PLW0108 - the journal is built after its connection
            on_up=self._reconnected,
            on_down=lambda _reason: self._journal.link_down(),
            on_acknowledged=self._acknowledged,
            will=state_message(prefix, offline_state(self._session, self._version, ("connection lost",))),
        )
        return ingest, outlet

    def _arrived(self, incoming: Incoming) -> None:
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

    def _commanded(self, incoming: Incoming) -> None:
        if not incoming.topic.startswith(f"{self._site.prefix()}/cmd/"):
            return  # a session that the broker kept may hold subscriptions of an earlier site file
        self._put_command(incoming)

    def _put_command(self, incoming: Incoming) -> None:
        self._inbox.put_command(incoming)
        self._slots.wake()
        self._brake.pull()

    def _acknowledged(self, number: int, now_ns: int) -> None:
        self._publisher.acknowledged(number, now_ns)
        self._journal.acknowledged(number, now_ns)

    def _reconnected(self) -> None:
        self._journal.link_up()
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
                self._turned_ns = self._clock.monotonic_ns()
        except BaseException as error:  # noqa: BLE001 - whatever ends this thread must reach the main one
            self._failure = error
            self._ready.set()

    def _prepare(self) -> Worker:
        """Load and prove the bundle on this thread, so that ONNX Runtime's own threads inherit its scheduling."""
        priority = self._site.runtime.realtime_priority
        if priority > 0:
            self.grant = make_realtime(priority=priority)
        engine = load_engine(self._bundle, self._site.runtime.intra_op_threads)
        preprocessors = {
            camera.id: Preprocessor(self._bundle.manifest.input, Limits(camera.max_bytes, camera.max_pixels))
            for camera in self._site.cameras
        }
        prover = next(iter(preprocessors.values()), Preprocessor(self._bundle.manifest.input))
        budget_ms = min(self._budgets_ms.values(), default=self._bundle.manifest.target.budget_ms)
        self.proof = prove(engine, self._bundle, prover, budget_ms, self._clock.monotonic_ns)
        trim_memory()  # loading a graph leaves most of its size behind as freed memory: 269 -> 211 MB for 87 MB of weights
        rules = resolve_rules(self._site)
        channels = [Channel(spec, rules) for spec in self._specs]
        lenses = {
            camera.id: Lens(camera.picture, round(camera.stale_after_ms * NS_PER_MS)) for camera in self._site.cameras
        }
        snapshots = Snapshots(self._site, self._outlet.publish)
        path = FramePath(
            preprocessors=preprocessors,
            lenses=lenses,
            engine=engine,
            channels=by_camera(self._site, channels),
            publisher=self._publisher,
            health=self._health,
            on_picture=snapshots.seen,
            monotonic_ns=self._clock.monotonic_ns,
            wall_ns=self._clock.wall_ns,
        )
        parts = Parts(
            self._site, self._bundle, channels, engine, preprocessors,
            self._annunciator, self._publisher, self._health, self._clock,
        )  # fmt: skip
        return Worker(
            site=self._site,
            clock=self._clock,
            path=path,
            channels=channels,
            rules=rules,
            annunciator=self._annunciator,
            publisher=self._publisher,
            journal=self._journal,
            health=self._health,
            reporter=self._reporter(),
            inbox=self._inbox,
            lenses=lenses,
            explainer=make_explainer(parts, self._brake, self.proof.infer_p99_ms),
            snapshots=snapshots,
        )

    def _reporter(self) -> Reporter:
        return Reporter(
            session=self._session,
            version=self._version,
            model=self._model,
            channels=self._specs,
            annunciator=self._annunciator,
            health=self._health,
            publisher=self._publisher,
            heartbeat_ns=round(self._site.publish.heartbeat_s * NS_PER_S),
            start_ns=self._started_ns,
            link=self._outlet.stats,
            journal=self._journal.stats,
            realtime=f"{self.grant.policy}:{self.grant.priority}",
        )


def refuse_other_board(site: Site, bundle: Bundle) -> None:
    """Raise WrongBoard if the bundle was made for other hardware, unless the site allows that."""
    if not site.runtime.allow_other_board:
        facts = machine_facts()
        check_board(bundle.manifest.target, arch=facts.arch, cpu_flags=facts.cpu_flags, memory_mib=facts.memory_mib)


def load_engine(bundle: Bundle, intra_op_threads: int | None = None) -> Engine:
    """The bundle's graph, ready to run, with its own thread count or another."""
    execution = bundle.manifest.execution
    if intra_op_threads is not None:
        execution = execution.model_copy(update={"intra_op_threads": intra_op_threads})
    return Engine.load(
        bundle.graph, execution, input_name=bundle.manifest.input.name, output_name=bundle.manifest.output
    )


def camera_budgets_ms(site: Site, bundle: Bundle) -> dict[str, float]:
    """The budget of each camera: its own, or the bundle's."""
    return {camera.id: camera.budget_ms or bundle.manifest.target.budget_ms for camera in site.cameras}


def publish_policy(settings: PublishSettings) -> Policy:
    """Settings in the publisher's own terms."""
    return Policy(
        every_frame=settings.flags == "frame",
        flag_repeat_ns=round(settings.flag_repeat_s * NS_PER_S),
        value_min_interval_ns=round(settings.value_min_interval_ms * NS_PER_MS),
        value_deadband=settings.value_deadband,
    )


def by_camera(site: Site, channels: Sequence[Channel]) -> Mapping[str, Sequence[Channel]]:
    """The channels that look at each camera's frames."""
    return {camera.id: [channel for channel in channels if channel.spec.camera == camera.id] for camera in site.cameras}


def package_version() -> str:
    """This installation's version; 0 when it runs from a source tree that was never installed."""
    try:
        return metadata.version("plantflag")
    except metadata.PackageNotFoundError:
        return "0"
