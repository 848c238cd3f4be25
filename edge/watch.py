"""What a site file and a bundle make together: checked, loaded, proven, and at last a worker; a reload makes a second one beside the first.

Nothing here is changed once it is made. What lives as long as the daemon (connections, journal, alarms) is handed in as `House`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge.annunciator import AlarmEntry, Annunciator, Context
from edge.board import check_board, machine_facts
from edge.bundle import Bundle
from edge.channel import Channel, ChannelSpec, resolve_channels, resolve_rules
from edge.clock import Clock
from edge.command import CommandDesk, Request
from edge.envelope import ConnectionStats, Incoming, Outgoing
from edge.errors import RejectedInput
from edge.explaining import Parts, Voice, load_voice, make_explainer, rehearse_painting
from edge.health import Health
from edge.infer import Engine, ProofResult, prove
from edge.journal import Journal
from edge.lens import LEARNED, REMEMBERED, RENEW_EVERY_NS, Baseline, Lens, Trouble, from_dict
from edge.messages import Asset, ModelInfo
from edge.path import FramePath
from edge.preprocess import Limits, Preprocessor
from edge.publish import Policy, Publisher
from edge.realtime import trim_memory
from edge.report import Reporter
from edge.rules import Rule
from edge.sections import CameraSettings, PublishSettings
from edge.self_monitoring import KEPT_VIEW
from edge.session import Brake
from edge.settings import Site
from edge.snapshot import Snapshots
from edge.standing import alarm_id, site_alarms
from edge.worker import Inbox, Worker

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
BASELINE_DEPTH_NS = REMEMBERED * RENEW_EVERY_NS  # an older baseline says nothing of a plant that changed meanwhile

Standing = Callable[[str], bool]  # whether an alarm stands, by its id

_log = logging.getLogger(__name__)


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
    def tensor(self) -> str:
        """What kind of pictures the lenses measure: of another kind, what was learned says nothing."""
        return self.bundle.manifest.input.model_dump_json()

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


def remember(
    plan: Plan,
    before: Memory | None = None,
    former: Memory | None = None,
    *,
    stands: Standing = lambda _alarm: False,
    views: Mapping[str, Baseline] | None = None,
) -> Memory:
    """Channels, rules and lenses of a plan, going on from earlier ones where they mean the same.

    Args:
        plan: what is watched.
        before: what ran until now.
        former: what ran before that, when it comes back: it knows what the one between did not have.
        stands: whether an alarm stands; what a new lens begins with.
        views: what cameras' good pictures looked like at an earlier start.
    """
    earlier = [memory for memory in (before, former) if memory is not None]
    rules = resolve_rules(plan.site)
    for memory in reversed(earlier):  # the newest last: it wins
        rules |= {name: rule for name, rule in memory.rules.items() if name in rules and rules[name].spec == rule.spec}
    lenses = {
        camera.id: _lens(plan, camera, earlier, stands, (views or {}).get(camera.id)) for camera in plan.site.cameras
    }
    channels = tuple(Channel(spec, rules) for spec in plan.channels)
    known = {channel.spec.id: channel for memory in reversed(earlier) for channel in memory.channels}
    for channel in channels:
        if channel.spec.id in known:
            channel.succeed(known[channel.spec.id])
    return Memory(plan, rules, channels, lenses)


def _lens(
    plan: Plan, camera: CameraSettings, earlier: Sequence[Memory], stands: Standing, usual: Baseline | None
) -> Lens:
    """The lens that looked at this camera's tensors, or a new one that goes on from what was learned and what stands."""
    for memory in earlier:
        if camera.id in memory.lenses and memory.plan.tensor == plan.tensor:  # a lens measures the tensor
            old = next(item for item in memory.plan.site.cameras if item.id == camera.id)
            if (old.picture, old.stale_after_ms) == (camera.picture, camera.stale_after_ms):
                return memory.lenses[camera.id]
            usual = memory.lenses[camera.id].baseline
            break
    standing = {trouble for trouble in Trouble if stands(alarm_id(camera.id, trouble))}
    return Lens(camera.picture, round(camera.stale_after_ms * NS_PER_MS), usual, standing)


def recall_views(plan: Plan, kept: Mapping[str, Any], stands: Standing, now_wall_ns: int) -> dict[str, Baseline]:
    """What cameras' good pictures looked like before this start.

    One that is older than a baseline is deep counts only while something that was seen against it stands: it must not be learned as good.
    """
    views = {}
    for camera in plan.site.cameras:
        try:
            found = from_dict(kept[KEPT_VIEW + camera.id], plan.tensor) if KEPT_VIEW + camera.id in kept else None
        except RejectedInput as error:
            _log.warning("camera %s: %s; it is learned anew", camera.id, error)
            continue
        needed = any(stands(alarm_id(camera.id, trouble)) for trouble in LEARNED)
        if found is not None and (needed or now_wall_ns - found[1] <= BASELINE_DEPTH_NS):
            views[camera.id] = found[0]
    return views


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
        tensor=plan.tensor,
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
