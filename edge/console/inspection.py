"""`check` and `bench`: whether a site would run here, and how fast its bundle is on this machine."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from edge.alarm.catalogue import site_alarms
from edge.assembly import load_engine, picture_limits
from edge.broker.credentials import try_credentials
from edge.bundle import Bundle
from edge.console.profiles import profile_lines
from edge.console.readiness import try_state_dir
from edge.console.regions import accepted_size, region_lines
from edge.health.status import rss_mib
from edge.inference.decode_cost import largest_pixels
from edge.inference.picture_header import read_header
from edge.inference.picture_scale import scale_notes
from edge.inference.preprocess import CALIBRATION, Preprocessor, machine_slowness
from edge.inference.proof import ProofResult, prove, prove_windows
from edge.plan import camera_budgets_ms, refuse_doubtful, resolve_channels, watched_regions
from edge.rehearsal import rehearse
from edge.site.ambiguity import ambiguities
from edge.site.cadence import haste
from edge.site.inputs import CameraSettings
from edge.site.packet_room import packet_doubts
from edge.site.settings import STATES_ARE_LOST, Site
from edge.sparkplug.setup import try_servers
from edge.system.board import board_notes, check_board, machine_facts
from edge.system.realtime import make_realtime
from edge.units import NS_PER_MS, NS_PER_S, percentile
from edge.verdict.channel import ChannelSpec

WARM_UP_RUNS = 10


def check_site(site: Site, bundle: Bundle | None) -> Iterator[str]:
    """Validate a site with its bundle on this machine, line by line; secrets are opened, the broker is not contacted.

    Raises:
        ConfigError: site, bundle and files do not fit together.
        BundleError: the bundle may not go live here.
    """
    if bundle is None:
        yield "bundle    none: there is no camera and no window of readings, so nothing is proven and no budget has to be kept"
    else:
        yield from _bundle_lines(site, bundle)
    try_credentials(site.broker)
    if site.node.state_dir is not None:
        try_state_dir(site.node.state_dir)
    try_servers(site)
    if bundle is not None:
        refuse_doubtful(site, bundle)
    channels = resolve_channels(site, None if bundle is None else bundle.manifest)
    budgets = {} if bundle is None else camera_budgets_ms(site, bundle)
    proof = None
    if bundle is not None:
        rehearse(bundle, site)
        proof = _proof(site, bundle, budgets) if site.cameras else None
        yield from _proof_lines(bundle, proof)
    slowness = machine_slowness()
    for camera in site.cameras:
        yield f"camera    {camera.id} on {site.frame_topic(camera)}, budget {budgets[camera.id]:g} ms"
        yield from _trigger_lines(site, camera)
        if bundle is not None and proof is not None:
            limits = picture_limits(camera, budgets[camera.id], proof.infer_p99_ms, slowness)
            stage = Preprocessor(bundle.manifest.frame_input, limits, watched_regions(channels, camera.id))
            yield from _picture_lines(camera, stage)
            size = accepted_size(site, camera.id)
            yield from region_lines(camera, stage, size, budgets[camera.id], proof.infer_p99_ms)
    for doubt in packet_doubts(site):
        yield f"pictures  TOO LARGE: {doubt}"
    yield from _sensor_lines(site)
    yield from _fault_lines(site, channels)
    yield from profile_lines(site, None if bundle is None else bundle.manifest)
    if site.loses_states():
        yield f"state     NOT KEPT: {STATES_ARE_LOST}"
    else:
        yield f"state     {'not kept; there is no alarm' if site.node.state_dir is None else f'kept in {site.node.state_dir}'}"
    yield f"broker    {site.broker.host}:{site.broker.port}, topics below {site.prefix()}; not contacted"


def _trigger_lines(site: Site, camera: CameraSettings) -> Iterator[str]:
    """Which frames answer a camera's triggers, and a warning where its pictures come too seldom for that."""
    wanted = camera.trigger
    if wanted is None:
        return
    span_ms = wanted.before_ms + wanted.after_ms
    text = (
        f"trigger   {camera.id} on {site.trigger_topic(camera)}: frames from {wanted.before_ms:g} ms before to {wanted.after_ms:g} ms after, "
        f"answered within {wanted.timeout_ms:g} ms"
    )
    sent = None if camera.source is None else camera.source.fps
    if sent is not None and span_ms < 1000.0 / sent:
        text += (
            f"; TOO SHORT: a picture comes every {1000.0 / sent:.0f} ms, so some parts get none: raise after_ms or fps"
        )
    yield text


def _sensor_lines(site: Site) -> Iterator[str]:
    for sensor in site.sensors:
        yield f"sensor    {sensor.id} on {site.sensor_topic(sensor)}"
    for doubt in ambiguities(site):
        yield f"sensor    AMBIGUOUS: {doubt}"
    for doubt in haste(site):
        yield f"sensor    TOO SOON: {doubt}"


def _fault_lines(site: Site, channels: Sequence[ChannelSpec]) -> Iterator[str]:
    alarms = {entry.spec.id for entry in site_alarms(site, channels)}
    wanted = {fault.id for fault in site.faults if fault.alarm is not None}
    for channel in channels:
        state = "raises an alarm" if channel.id in alarms else "flag only"
        if channel.id in wanted and channel.id not in alarms:
            state = "NOT ARMED: its threshold was not calibrated on this site's images, so it raises no alarm; export with [images] normal"
        where = f" in region {channel.region.id}" if channel.region.id else ""
        yield f"fault     {channel.id}{where}: {state}"


def _bundle_lines(site: Site, bundle: Bundle) -> Iterator[str]:
    manifest = bundle.manifest
    yield f"bundle    {manifest.name} version {manifest.version}, {manifest.execution.scheme}, {len(manifest.faults)} faults; all {len(manifest.files)} files match their hashes"
    yield f"licence   {_licence_text(manifest.source.licence)}"
    facts = machine_facts()
    if site.runtime.allow_other_board:
        yield f"board     not checked (runtime.allow_other_board); made for {manifest.target.board}"
    else:
        check_board(manifest.target, arch=facts.arch, cpu_flags=facts.cpu_flags, memory_mib=facts.memory_mib)
        yield f"board     {manifest.target.board} fits this machine: {facts.name}"


def _proof_lines(bundle: Bundle, proof: ProofResult | None) -> Iterator[str]:
    manifest = bundle.manifest
    yield from _window_lines(bundle)
    if proof is not None:
        yield f"proof     {_proof_text(proof)}"
    for fault in manifest.one_sided():
        yield f"proof     {fault}: no pair of golden inputs encloses its threshold, so a change of it would not be noticed here; export again with examples of it"
    for fault in manifest.out_of_reach():
        yield f"proof     {fault}: DISARMED here, no golden input reaches its threshold; export again with examples of it, or with more normal ones"
    if manifest.input is None:
        return
    for note in scale_notes(_golden_sizes(bundle), manifest.input):
        yield f"pictures  EXTREME: the bundle was made with pictures of {note}"


def _window_lines(bundle: Bundle) -> Iterator[str]:
    """Each window of readings, once its graph gave the golden scores in time.

    Raises:
        ProofFailed: it does not.
    """
    prove_windows(bundle, time.monotonic_ns)
    for window in bundle.manifest.windows:
        span_s, step_s = (cells * window.period_ms / 1000 for cells in (window.length, window.step))
        yield (
            f"window    {window.name}: {', '.join(window.sensors)} over {span_s:g} s, judged every {step_s:g} s; "
            f"{len(window.golden)} golden inputs reproduced"
        )


def _proof(site: Site, bundle: Bundle, budgets_ms: Mapping[str, float]) -> ProofResult:
    manifest = bundle.manifest
    return prove(
        load_engine(bundle, site.runtime.intra_op_threads, site.runtime.provider),
        bundle,
        Preprocessor(manifest.frame_input, CALIBRATION),
        min(budgets_ms.values(), default=manifest.target.budget_ms),
        time.monotonic_ns,
    )


def _golden_sizes(bundle: Bundle) -> list[tuple[int, int]]:
    """Width and height of the site's own pictures that came along as proof, px."""
    headers = [read_header((bundle.path / one.file).read_bytes(), CALIBRATION) for one in bundle.manifest.proof.golden]
    return [(header.width, header.height) for header in headers]


def _picture_lines(camera: CameraSettings, stage: Preprocessor) -> Iterator[str]:
    """How large a camera's pictures may be here, and a warning where the site's own limit is more than the budget leaves."""
    least, limits = stage.least, stage.limits
    kinds = ("jpeg", "progressive jpeg", "png")
    affordable = {kind: largest_pixels(kind, replace(limits, max_pixels=None), least) / 1e6 for kind in kinds}
    sizes = ", ".join(f"{megapixels:.1f} MP as {kind}" for kind, megapixels in affordable.items())
    yield f"pictures  {camera.id}: the budget leaves {limits.allowance_ms:.0f} ms to decode: up to about {sizes}"
    if camera.max_pixels is not None:
        over = [kind for kind in kinds if camera.max_pixels > affordable[kind] * 1e6]
        late = (
            f"; LARGER THAN THE BUDGET LEAVES as {', '.join(over)}: such pictures come late and hold up other cameras"
            if over
            else ""
        )
        yield f"pictures  {camera.id}: max_pixels = {camera.max_pixels} is taken as it is{late}"


def _licence_text(licence: str) -> str:
    """What the weights may be used under, and a warning where it is not stated."""
    if licence.strip().lower() in {"", "unknown"}:
        return "UNKNOWN: neither recipe nor checkpoint states the licence of the weights; ask who built the bundle, set licence in the recipe, export again"
    if licence.lower().startswith("unverified"):
        return f"NOT VERIFIED: {licence.partition(':')[2].strip() or licence}; have it cleared before the bundle ships"
    return licence


class BenchReport(BaseModel):
    """Latency of one bundle on this machine; times in ms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: str
    machine: str
    scheme: str
    provider: str
    threads: int
    scheduling: str
    budget_ms: float
    frames: int
    golden_max_abs: float
    infer_p50_ms: float
    infer_p95_ms: float
    infer_p99_ms: float
    frame_p50_ms: float
    frame_p95_ms: float
    frame_p99_ms: float
    frame_max_ms: float
    over_budget: int
    rss_mib: float
    peak_rss_mib: float
    notes: tuple[str, ...]

    def text(self) -> str:
        """For people."""
        verdict = "inside" if self.frame_p99_ms <= self.budget_ms else "OUTSIDE"
        return "\n".join(
            [
                f"{self.bundle}: {self.scheme}, {self.provider}, {self.threads} thread(s), {self.scheduling}, on {self.machine}",
                f"golden inputs reproduced, largest score difference {self.golden_max_abs:.2g}",
                f"  graph alone        p50 {self.infer_p50_ms:7.2f}  p95 {self.infer_p95_ms:7.2f}  p99 {self.infer_p99_ms:7.2f} ms",
                f"  picture to scores  p50 {self.frame_p50_ms:7.2f}  p95 {self.frame_p95_ms:7.2f}  p99 {self.frame_p99_ms:7.2f}  max {self.frame_max_ms:.2f} ms, {self.frames} frames",
                f"  p99 is {verdict} the budget of {self.budget_ms:g} ms; {self.over_budget} frames over it",
                f"  memory {self.rss_mib:.0f} MiB resident, {self.peak_rss_mib:.0f} MiB at most",
                *self.notes,
            ]
        )


def bench_bundle(
    bundle: Bundle, *, seconds: float, fps: float, threads: int | None, provider: str | None = None
) -> BenchReport:
    """Measure a bundle with the daemon's own stages, on its golden pictures, at a camera's pace.

    Raises:
        BundleError: the bundle may not go live here.
    """
    manifest = bundle.manifest
    rehearse(bundle, threads=threads, provider=provider)
    grant = make_realtime()
    engine = load_engine(bundle, threads, provider)
    preprocessor = Preprocessor(manifest.frame_input, CALIBRATION)
    proof = prove(engine, bundle, preprocessor, float("inf"), time.monotonic_ns)
    pictures = [(bundle.path / golden.file).read_bytes() for golden in manifest.proof.golden]
    infer_ns: list[int] = []
    frame_ns: list[int] = []
    began_ns = time.monotonic_ns()
    index = 0
    while (elapsed_s := (time.monotonic_ns() - began_ns) / NS_PER_S) < seconds or not frame_ns:
        if fps > 0 and (ahead_s := index / fps - elapsed_s) > 0:
            time.sleep(ahead_s)
        start_ns = time.monotonic_ns()
        tensor = preprocessor.prepare(pictures[index % len(pictures)])
        prepared_ns = time.monotonic_ns()
        engine.run(tensor)
        end_ns = time.monotonic_ns()
        index += 1
        if index > WARM_UP_RUNS:
            infer_ns.append(end_ns - prepared_ns)
            frame_ns.append(end_ns - start_ns)
    infer, frame = sorted(infer_ns), sorted(frame_ns)
    budget_ms = manifest.target.budget_ms
    facts = machine_facts()

    def at(ordered: list[int], share: float) -> float:
        return round(percentile(ordered, share) / NS_PER_MS, 3)

    return BenchReport(
        bundle=f"{manifest.name} version {manifest.version}",
        machine=facts.name,
        scheme=manifest.execution.scheme,
        provider=provider or manifest.execution.provider,
        threads=threads or manifest.execution.intra_op_threads,
        scheduling=f"{grant.policy} {grant.priority}",
        budget_ms=budget_ms,
        frames=len(frame),
        golden_max_abs=proof.golden_max_abs,
        infer_p50_ms=at(infer, 0.50),
        infer_p95_ms=at(infer, 0.95),
        infer_p99_ms=at(infer, 0.99),
        frame_p50_ms=at(frame, 0.50),
        frame_p95_ms=at(frame, 0.95),
        frame_p99_ms=at(frame, 0.99),
        frame_max_ms=round(frame[-1] / NS_PER_MS, 3),
        over_budget=sum(duration > budget_ms * NS_PER_MS for duration in frame),
        rss_mib=round(rss_mib(), 1),
        peak_rss_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        notes=tuple(board_notes(manifest.target, facts)),
    )


def _proof_text(proof: ProofResult) -> str:
    return (
        f"{proof.golden_inputs} golden inputs within {proof.golden_max_abs:.2g}; picture to scores p50 {proof.frame_p50_ms:.1f} ms, "
        f"p99 {proof.frame_p99_ms:.1f} ms of {proof.budget_ms:g} ms"
    )
