"""What a site file and a bundle make together: checked, loaded, proven, and at last a worker; a reload makes a second one beside the first.

Nothing here is changed once it is made. What lives as long as the daemon (connections, journal, alarms) is handed in as `House`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edge.annunciator import AlarmEntry, Annunciator, Context
from edge.board import check_board, machine_facts
from edge.bundle import Bundle
from edge.channel import Channel, ChannelSpec, resolve_channels, resolve_rules
from edge.clock import Clock
from edge.command import CommandDesk, Request
from edge.envelope import ConnectionStats, Incoming, Outgoing
from edge.explaining import Parts, Voice, load_voice, make_explainer, rehearse_painting
from edge.health import Health
from edge.infer import Engine, ProofResult, prove
from edge.journal import Journal
from edge.lens import Lens
from edge.messages import Asset, ModelInfo
from edge.path import FramePath
from edge.preprocess import Limits, Preprocessor
from edge.publish import Policy, Publisher
from edge.realtime import trim_memory
from edge.report import Reporter
from edge.rules import Rule
from edge.sections import PublishSettings
from edge.session import Brake
from edge.settings import Site
from edge.snapshot import Snapshots
from edge.standing import site_alarms
from edge.worker import Inbox, Worker

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """A site and a bundle that fit together, on this board; nothing is loaded yet."""

    site: Site
    bundle: Bundle
    model: ModelInfo
    channels: tuple[ChannelSpec, ...]
    alarms: tuple[AlarmEntry, ...]
    budgets_ms: Mapping[str, float]

    @property
    def budgets_ns(self) -> dict[str, int]:
        """The budget of each camera, ns."""
        return {camera: round(budget * NS_PER_MS) for camera, budget in self.budgets_ms.items()}

    @property
    def context(self) -> Context:
        """What every alarm message carries."""
        node = self.site.node
        return Context(self.model.name, self.model.sha256, Asset(path=node.asset_path, rds_pp=node.rds_pp))


@dataclass(frozen=True, slots=True)
class Proven:
    """A plan whose bundle is loaded and gave on this machine what it promises."""

    plan: Plan
    engine: Engine
    proof: ProofResult
    brake: Brake
    voice: Voice | None
    painting_ns: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Memory:
    """What remembers frames and readings; the next watch takes over what means the same there."""

    plan: Plan
    rules: Mapping[str, Rule]
    channels: tuple[Channel, ...]
    lenses: Mapping[str, Lens]


@dataclass(frozen=True, slots=True)
class House:
    """What lives as long as the daemon."""

    clock: Clock
    session: str
    version: str
    started_ns: int
    realtime: str
    annunciator: Annunciator
    publisher: Publisher
    journal: Journal
    health: Health
    inbox: Inbox
    desk: CommandDesk
    send: Callable[[Outgoing], int | None]
    link: Callable[[], ConnectionStats]
    taken_over: Callable[[], int | None]
    refused: Callable[[], Sequence[str] | None]
    reload: Callable[[Request, Incoming], str | None]


def make_plan(site: Site, bundle: Bundle) -> Plan:
    """Join a site and a bundle.

    Raises:
        ConfigError: they do not fit together.
        WrongBoard: the bundle was made for other hardware.
    """
    refuse_other_board(site, bundle)
    channels = resolve_channels(site, bundle.manifest)
    return Plan(
        site=site,
        bundle=bundle,
        model=ModelInfo(name=bundle.manifest.name, version=bundle.manifest.version, sha256=bundle.sha256),
        channels=channels,
        alarms=tuple(site_alarms(site, channels)),
        budgets_ms=camera_budgets_ms(site, bundle),
    )


def prove_plan(plan: Plan, clock_ns: Callable[[], int]) -> Proven:
    """Load the bundle and repeat its proof on this thread; threads that ONNX Runtime starts inherit its scheduling.

    Raises:
        BundleError: the bundle may not go live here.
    """
    manifest = plan.bundle.manifest
    engine = load_engine(plan.bundle, plan.site.runtime.intra_op_threads)
    budget_ms = min(plan.budgets_ms.values(), default=manifest.target.budget_ms)
    proof = prove(
        engine, plan.bundle, next(iter(preprocessors(plan).values()), Preprocessor(manifest.input)), budget_ms, clock_ns
    )
    brake = Brake(lambda: False)
    voice = load_voice(plan.site, plan.bundle, brake, clock_ns)
    painting_ns = rehearse_painting(plan.site, plan.bundle, clock_ns)
    trim_memory()  # loading a graph leaves most of its size behind as freed memory: 269 -> 211 MB for 87 MB of weights
    return Proven(plan, engine, proof, brake, voice, painting_ns)


def remember(plan: Plan, before: Memory | None = None) -> Memory:
    """Channels, rules and lenses of a plan, going on from those before where they mean the same."""
    rules = resolve_rules(plan.site)
    lenses = {camera.id: Lens(camera.picture, round(camera.stale_after_ms * NS_PER_MS)) for camera in plan.site.cameras}
    if before is None:
        return Memory(plan, rules, tuple(Channel(spec, rules) for spec in plan.channels), lenses)
    for name, rule in before.rules.items():
        if name in rules and rules[name].spec == rule.spec:
            rules[name] = rule
    if before.plan.bundle.manifest.input == plan.bundle.manifest.input:  # a lens measures the tensor
        cameras = {camera.id: camera for camera in before.plan.site.cameras}
        for camera in plan.site.cameras:
            old = cameras.get(camera.id)
            if old and (old.picture, old.stale_after_ms) == (camera.picture, camera.stale_after_ms):
                lenses[camera.id] = before.lenses[camera.id]
    channels = tuple(Channel(spec, rules) for spec in plan.channels)
    earlier = {channel.spec.id: channel for channel in before.channels}
    for channel in channels:
        if channel.spec.id in earlier:
            channel.succeed(earlier[channel.spec.id])
    return Memory(plan, rules, channels, lenses)


def make_worker(proven: Proven, memory: Memory, house: House) -> Worker:
    """The worker of a proven plan."""
    plan = proven.plan
    snapshots = Snapshots(plan.site, house.send)
    prepared = preprocessors(plan)
    path = FramePath(
        preprocessors=prepared,
        lenses=memory.lenses,
        engine=proven.engine,
        channels=by_camera(plan.site, memory.channels),
        publisher=house.publisher,
        health=house.health,
        on_picture=snapshots.seen,
        monotonic_ns=house.clock.monotonic_ns,
        wall_ns=house.clock.wall_ns,
    )
    parts = Parts(
        plan.site, plan.bundle, memory.channels, proven.engine, prepared,
        house.annunciator, house.publisher, house.health, house.clock,
    )  # fmt: skip
    return Worker(
        site=plan.site,
        clock=house.clock,
        path=path,
        channels=memory.channels,
        rules=memory.rules,
        annunciator=house.annunciator,
        publisher=house.publisher,
        journal=house.journal,
        health=house.health,
        reporter=_reporter(plan, house),
        inbox=house.inbox,
        desk=house.desk,
        lenses=memory.lenses,
        explainer=make_explainer(parts, proven.brake, proven.proof.infer_p99_ms, proven.voice, proven.painting_ns),
        snapshots=snapshots,
        taken_over=house.taken_over,
        refused=house.refused,
        reload=house.reload,
    )


def _reporter(plan: Plan, house: House) -> Reporter:
    return Reporter(
        session=house.session,
        version=house.version,
        model=plan.model,
        channels=plan.channels,
        annunciator=house.annunciator,
        health=house.health,
        publisher=house.publisher,
        heartbeat_ns=round(plan.site.publish.heartbeat_s * NS_PER_S),
        start_ns=house.started_ns,
        link=house.link,
        journal=house.journal.stats,
        realtime=house.realtime,
        refused=house.refused,
    )


def preprocessors(plan: Plan) -> dict[str, Preprocessor]:
    """The preprocess stage of each camera."""
    return {
        camera.id: Preprocessor(plan.bundle.manifest.input, Limits(camera.max_bytes, camera.max_pixels))
        for camera in plan.site.cameras
    }


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
