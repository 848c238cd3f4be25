"""Builds a worker from a site and a bundle: checked, loaded, proven and wired; a reload builds a second one.

Nothing here is changed once it is made. What lives as long as the daemon (connections, journal, alarms) is handed in as `Services`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from edge import grid
from edge.alarm.catalogue import alarm_id
from edge.beside import Group, joined
from edge.bundle import Bundle
from edge.commands import Commands, answer, node_handlers
from edge.errors import RejectedInput
from edge.explain.setup import LoadedSpeech, Parts, make_explanations, prepare_speech, rehearse_painting
from edge.frame import Trouble
from edge.grid import Grid
from edge.health.monitor import KEPT_KINDS, KEPT_VIEW, SelfMonitor
from edge.health.promise import PromiseMonitor, Tests, going_on, new_tests, recalled
from edge.health.status import ProfilesNow, Reporter
from edge.inference import picture_contract
from edge.inference.engine import Engine, NoEngine
from edge.inference.onnx_session import Brake
from edge.inference.picture_contract import Kind
from edge.inference.picture_quality import LEARNED, REMEMBERED, RENEW_EVERY_NS, Baseline, PictureMonitor, from_dict
from edge.inference.preprocess import CALIBRATION, PictureLimits, Preprocessor, machine_slowness
from edge.inference.proof import ProofResult, prove, prove_windows
from edge.inference.window_engine import WindowEngine
from edge.path import FramePath
from edge.plan import Plan, profile_of, resolve_rules, resolve_windows
from edge.publish.publisher import Policy
from edge.publish.snapshot import Snapshots
from edge.services import Services
from edge.site.inputs import CameraSettings
from edge.site.sections import PublishSettings
from edge.system.memory import trim_memory
from edge.timing import Timing
from edge.units import NS_PER_MS, NS_PER_S
from edge.verdict.channel import Channel
from edge.verdict.rules import Rule, linked
from edge.windows import Windows
from edge.wire.messages import ProfileInfo
from edge.worker import Worker

LEAST_DECODE_SHARE = 0.25  # of the budget: a proof on a busy machine must not reject every picture
BASELINE_DEPTH_NS = REMEMBERED * RENEW_EVERY_NS  # an older baseline is no measure of a plant that changed meanwhile

IsActive = Callable[[str], bool]  # whether an alarm is active, by its id

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Proven:
    """A plan whose bundle is loaded and passed its proof on this machine; without cameras there is nothing to load or to prove."""

    plan: Plan
    brake: Brake
    engine: Engine | None = None
    proof: ProofResult | None = None
    speech: LoadedSpeech | None = None
    painting_ns: Mapping[str, int] = field(default_factory=dict)
    slowness: float = 1.0  # of decoding, on this machine
    windows: Mapping[str, WindowEngine] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages that remember frames and readings; a reload takes over what means the same."""

    plan: Plan
    rules: Mapping[str, Rule]
    channels: tuple[Channel, ...]
    picture_monitors: Mapping[str, PictureMonitor]
    promises: Tests = field(default_factory=Tests)
    windows: Mapping[str, Grid] = field(default_factory=dict)


def prove_plan(plan: Plan, clock_ns: Callable[[], int], *, slow_is_fatal: bool = True) -> Proven:
    """Load the bundle and repeat its proof on this thread; threads that ONNX Runtime starts inherit its scheduling.

    Raises:
        BundleError: the bundle may not go live here; `slow_is_fatal`: also because it is too slow now.
    """
    brake, bundle = Brake(lambda: False), plan.bundle
    if bundle is None:
        return Proven(plan, brake)
    windows = prove_windows(bundle, clock_ns, slow_is_fatal=slow_is_fatal)
    if not plan.site.cameras:
        return Proven(plan, brake, windows=windows)
    engine = load_engine(bundle, plan.site.runtime.intra_op_threads, plan.site.runtime.provider)
    preprocessor = Preprocessor(bundle.manifest.frame_input, CALIBRATION)
    proof = prove(engine, bundle, preprocessor, min(plan.budgets_ms.values()), clock_ns, slow_is_fatal=slow_is_fatal)
    speech = prepare_speech(plan.site, bundle, brake, clock_ns)
    painting_ns = rehearse_painting(plan.site, bundle, clock_ns)
    trim_memory()  # loading a graph leaves most of its size behind as freed memory: 269 -> 211 MB for 87 MB of weights
    return Proven(plan, brake, engine, proof, speech, painting_ns, machine_slowness(), windows)


def make_stages(
    plan: Plan,
    before: Stages | None = None,
    former: Stages | None = None,
    *,
    is_active: IsActive = lambda _alarm: False,
    views: Mapping[str, Baseline] | None = None,
    kinds: Mapping[str, Sequence[Kind]] | None = None,
    kept: Mapping[str, Any] | None = None,
) -> Stages:
    """Channels, rules and picture monitors of a plan, continued from earlier ones where they mean the same.

    Args:
        plan: what is watched.
        before: what ran until now.
        former: what ran before that, when it is restored: it knows what the one between did not have.
        is_active: whether an alarm is active; what a new picture monitor starts with.
        views: what cameras' good pictures looked like at an earlier start.
        kinds: what kinds of picture were accepted of each camera at an earlier start.
        kept: what an earlier start kept, for what was promised of each fault.
    """
    earlier = [stages for stages in (before, former) if stages is not None]
    rules = resolve_rules(plan.site, profile_of(plan.site, plan.profile))
    for stages in reversed(earlier):  # the newest last: it wins
        rules |= {name: rule for name, rule in stages.rules.items() if name in rules and rules[name].spec == rule.spec}
    linked(rules)  # again: a rule that is kept may be gated by one that is new
    picture_monitors = {
        camera.id: _picture_monitor(
            plan, camera, earlier, is_active, (views or {}).get(camera.id), (kinds or {}).get(camera.id, ())
        )
        for camera in plan.site.cameras
    }
    channels = tuple(Channel(spec, rules) for spec in plan.channels)
    known = {channel.spec.id: channel for stages in reversed(earlier) for channel in stages.channels}
    for channel in channels:
        if channel.spec.id in known:
            channel.succeed(known[channel.spec.id])
    manifest = None if plan.bundle is None else plan.bundle.manifest
    windows = {name: Grid(spec) for name, spec in resolve_windows(plan.site, manifest).items()}
    promises = recalled(new_tests(plan.site, plan.channels), kept or {})
    for stages in reversed(earlier):
        promises = going_on(promises, stages.promises)
        windows = grid.going_on(windows, stages.windows)
    return Stages(plan, rules, channels, picture_monitors, promises, windows)


def _picture_monitor(  # noqa: PLR0917 - what a monitor begins with
    plan: Plan,
    camera: CameraSettings,
    earlier: Sequence[Stages],
    is_active: IsActive,
    usual: Baseline | None,
    kinds: Sequence[Kind],
) -> PictureMonitor:
    """The monitor that measured this camera's tensors, or a new one that starts from what was learned and what is active."""
    before = next(
        (stages.picture_monitors[camera.id] for stages in earlier if camera.id in stages.picture_monitors), None
    )
    if before is not None:
        kinds = before.contract.accepted  # of the camera's own pictures: they are the same whatever the graph takes
    for stages in earlier:
        if camera.id in stages.picture_monitors and stages.plan.tensor == plan.tensor:  # it measures the tensor
            old = next(item for item in stages.plan.site.cameras if item.id == camera.id)
            if (old.picture, old.stale_after_ms) == (camera.picture, camera.stale_after_ms):
                return stages.picture_monitors[camera.id]
            usual = stages.picture_monitors[camera.id].baseline
            break
    active = {trouble for trouble in Trouble if is_active(alarm_id(camera.id, trouble))}
    return PictureMonitor(camera.picture, round(camera.stale_after_ms * NS_PER_MS), usual, active, kinds)


def recall_views(plan: Plan, kept: Mapping[str, Any], is_active: IsActive, now_wall_ns: int) -> dict[str, Baseline]:
    """What cameras' good pictures looked like before this start.

    One that is older than a baseline is deep counts only while a trouble that was found by it is active: it must not be learned as good.
    """
    views = {}
    for camera in plan.site.cameras:
        try:
            found = from_dict(kept[KEPT_VIEW + camera.id], plan.tensor) if KEPT_VIEW + camera.id in kept else None
        except RejectedInput as error:
            _log.warning("camera %s: %s; it is learned again", camera.id, error)
            continue
        needed = any(is_active(alarm_id(camera.id, trouble)) for trouble in LEARNED)
        if found is not None and (needed or now_wall_ns - found[1] <= BASELINE_DEPTH_NS):
            views[camera.id] = found[0]
    return views


def recall_kinds(plan: Plan, kept: Mapping[str, Any]) -> dict[str, Sequence[Kind]]:
    """What kinds of picture were accepted of each camera before this start."""
    found: dict[str, Sequence[Kind]] = {}
    for camera in plan.site.cameras:
        try:
            found[camera.id] = picture_contract.from_dict(kept.get(KEPT_KINDS + camera.id, picture_contract.NOTHING))
        except RejectedInput as error:
            _log.warning("camera %s: %s; it is learned again", camera.id, error)
    return found


def make_worker(proven: Proven, stages: Stages, services: Services) -> Worker:
    """The worker of a proven plan."""
    plan, prepared = proven.plan, preprocessors(proven.plan, proven.proof, proven.slowness)
    engine = proven.engine or NoEngine()
    parts = Parts(
        plan.site, plan.bundle, [channel for channel in stages.channels if channel.spec.held], engine, prepared,
        services.annunciator, services.publisher, services.health.explained, services.clock,
    )  # fmt: skip
    infer_ms = 0.0 if proven.proof is None else proven.proof.infer_p99_ms
    timing = _timing(proven, prepared, services)
    windows = Windows(
        stages.windows,
        proven.windows,
        stages.channels,
        brake=proven.brake,
        judged=lambda channels: path.judged(channels),  # noqa: PLW0108 - the path is made below
        rejected=lambda reason, sensor: services.health.rejected(reason, sensor=sensor),
        monotonic_ns=services.clock.monotonic_ns,
    )
    services.health.watch_regions(
        {
            camera: {region.id: plan.cover_ns(camera, region) for region in regions}
            for camera, regions in plan.regions.items()
        }
    )
    beside = Group(
        (  # whatever runs beside the path, one line each; what judges comes first
            windows,
            services.inspections.reconfigure(
                plan.site, stages.channels, plan.model, partial(answer, services), plan.profile
            ),
            Snapshots(plan.site, services.send, services.annunciator.subject),
            services.evidence.reconfigure(plan.site, stages.channels, plan.model, plan.profile),
            services.collector.reconfigure(plan.site, stages.channels),
            make_explanations(parts, proven.brake, infer_ms, proven.speech, proven.painting_ns),
            *(() if timing is None else (timing,)),
            PromiseMonitor(
                stages.promises, stages.channels, services.annunciator, services.publisher, services.clock.wall_ns
            ),
        ),
        services.errors,
        services.clock.monotonic_ns,
    )
    services.annunciator.listen([beside.raised])
    services.labels.listen([beside.labelled])
    path = FramePath(
        preprocessors=prepared,
        picture_monitors=stages.picture_monitors,
        engine=engine,
        channels=stages.channels,
        publisher=services.publisher,
        annunciator=services.annunciator,
        health=services.health,
        beside=beside,
        errors=services.errors,
        clock=services.clock,
        others_wait=services.others_wait,
    )
    monitor, reporter = _monitor(plan, stages, services, timing), _reporter(plan, services)
    return Worker(
        services,
        path=path,
        rules=stages.rules,
        windows=windows,
        monitor=monitor,
        reporter=reporter,
        commands=Commands(services, joined(node_handlers(services, monitor, reporter), beside.verbs)),
        beside=beside,
    )


def _timing(proven: Proven, prepared: Mapping[str, Preprocessor], services: Services) -> Timing | None:
    """Measures whether a machine that was too busy for the proof keeps the budget now; None: there are no pictures."""
    bundle, engine = proven.plan.bundle, proven.engine
    if bundle is None or engine is None or proven.proof is None:
        return None
    picture = (bundle.path / bundle.manifest.proof.golden[0].file).read_bytes()
    preprocessor = next(iter(prepared.values()))
    return Timing(proven.proof, lambda: engine.run(preprocessor.prepare(picture)), services.clock.monotonic_ns)


def _monitor(plan: Plan, stages: Stages, services: Services, timing: Timing | None) -> SelfMonitor:
    return SelfMonitor(
        site=plan.site,
        clock=services.clock,
        channels=stages.channels,
        annunciator=services.annunciator,
        publisher=services.publisher,
        journal=services.journal,
        health=services.health,
        picture_monitors=stages.picture_monitors,
        tensor=plan.tensor,
        taken_over=services.taken_over,
        refused=services.refused,
        clocks_differ_ns=lambda: services.desk.clocks_differ_ns,
        too_slow=None if timing is None else timing.too_slow,
        doubtful=lambda: bool(services.unknown_profile()),
        errors=services.errors,
    )


def _reporter(plan: Plan, services: Services) -> Reporter:
    return Reporter(
        session=services.session,
        version=services.version,
        model=plan.model,
        channels=plan.channels,
        annunciator=services.annunciator,
        health=services.health,
        publisher=services.publisher,
        heartbeat_ns=round(plan.site.publish.heartbeat_s * NS_PER_S),
        start_ns=services.started_ns,
        link=services.link,
        journal=services.journal.stats,
        realtime=services.realtime,
        refused=services.refused,
        connections=services.connections,
        collected=services.collector.figures,
        profiles=ProfilesNow(
            plan.profile,
            tuple(ProfileInfo(id=one.id, title=one.title or one.id) for one in plan.site.profiles),
            services.unknown_profile,
        ),
        errors=services.errors,
    )


def summary(proven: Proven, realtime: str) -> str:
    """One line for the log: what is watched, the result of the proof here, and how the inference thread is scheduled."""
    plan, proof = proven.plan, proven.proof
    took = "" if proof is None else f"picture to scores p50 {proof.frame_p50_ms:.1f} ms of {proof.budget_ms:g} ms, "
    return (
        f"{plan.title}, {len(plan.site.cameras)} cameras, {len(plan.site.sensors)} sensors, "
        f"{len(plan.channels)} faults, {took}"
        f"inference thread {realtime.replace(':', ' ')}, "
        f"state {'not kept' if plan.site.node.state_dir is None else f'in {plan.site.node.state_dir}'}"
    )


def preprocessors(plan: Plan, proof: ProofResult | None, slowness: float) -> dict[str, Preprocessor]:
    """The preprocess stage of each camera."""
    if plan.bundle is None or proof is None:
        return {}
    return {
        camera.id: Preprocessor(
            plan.bundle.manifest.frame_input,
            picture_limits(camera, plan.budgets_ms[camera.id], proof.infer_p99_ms, slowness),
            plan.regions[camera.id],
        )
        for camera in plan.site.cameras
    }


def picture_limits(camera: CameraSettings, budget_ms: float, infer_ms: float, slowness: float) -> PictureLimits:
    """What a camera may send: decoding may take what inference leaves of the budget, and a quarter of it in any case."""
    return PictureLimits(
        max_bytes=camera.max_bytes,
        max_pixels=camera.max_pixels,
        allowance_ms=max(budget_ms - infer_ms, LEAST_DECODE_SHARE * budget_ms),
        slowness=slowness,
        min_side_px=camera.min_side_px,
    )


def load_engine(bundle: Bundle, intra_op_threads: int | None = None, provider: str | None = None) -> Engine:
    """The bundle's graph, ready to run, with its own thread count and execution provider or others."""
    changes = {"intra_op_threads": intra_op_threads, "provider": provider}
    execution = bundle.manifest.execution.model_copy(
        update={name: value for name, value in changes.items() if value is not None}
    )
    return Engine.load(
        bundle.graph, execution, input_name=bundle.manifest.frame_input.name, output_name=bundle.manifest.frame_output
    )


def publish_policy(settings: PublishSettings) -> Policy:
    """Settings in the publisher's own terms."""
    return Policy(
        every_frame=settings.flags == "frame",
        flag_repeat_ns=round(settings.flag_repeat_s * NS_PER_S),
        value_min_interval_ns=round(settings.value_min_interval_ms * NS_PER_MS),
        value_deadband=settings.value_deadband,
    )
