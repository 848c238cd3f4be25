"""What `check` and `bench` tell a person: whether a site would run here, and how fast its bundle is on this machine."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from edge.board import board_notes, check_board, machine_facts
from edge.bundle import Bundle
from edge.channel import resolve_channels
from edge.credentials import try_credentials
from edge.health import percentile
from edge.infer import ProofResult, prove
from edge.preprocess import Preprocessor
from edge.realtime import make_realtime
from edge.report import rss_mib
from edge.settings import FORGETS, Site
from edge.sparkplug.setup import try_servers
from edge.standing import site_alarms
from edge.watch import camera_budgets_ms, load_engine

WARM_UP_RUNS = 10


def check_site(site: Site, bundle: Bundle) -> Iterator[str]:
    """Validate a site with its bundle on this machine, line by line; secrets are opened, the broker is not contacted.

    Raises:
        ConfigError: site, bundle and files do not fit together.
        BundleError: the bundle may not go live here.
    """
    manifest = bundle.manifest
    yield f"bundle    {manifest.name} version {manifest.version}, {manifest.execution.scheme}, {len(manifest.faults)} faults; all {len(manifest.files)} files match their hashes"
    facts = machine_facts()
    if site.runtime.allow_other_board:
        yield f"board     not checked (runtime.allow_other_board); made for {manifest.target.board}"
    else:
        check_board(manifest.target, arch=facts.arch, cpu_flags=facts.cpu_flags, memory_mib=facts.memory_mib)
        yield f"board     {manifest.target.board} fits this machine: {facts.name}"
    try_credentials(site.broker)
    try_servers(site)
    channels = resolve_channels(site, manifest)
    budgets = camera_budgets_ms(site, bundle)
    proof = prove(
        load_engine(bundle, site.runtime.intra_op_threads),
        bundle,
        Preprocessor(manifest.input),
        min(budgets.values(), default=manifest.target.budget_ms),
        time.monotonic_ns,
    )
    yield f"proof     {_proof_text(proof)}"
    for camera in site.cameras:
        yield f"camera    {camera.id} on {site.frame_topic(camera)}, budget {budgets[camera.id]:g} ms"
    for sensor in site.sensors:
        yield f"sensor    {sensor.id} on {site.sensor_topic(sensor)}"
    alarms = {entry.spec.id for entry in site_alarms(site, channels)}
    for channel in channels:
        state = "raises an alarm" if channel.id in alarms else "flag only"
        if channel.alarm is not None and channel.id not in alarms:
            state = "NOT ARMED: its threshold was not calibrated on this site's images, so it raises no alarm; export with [images] normal"
        yield f"fault     {channel.id}: {state}"
    if site.forgets():
        yield f"state     NOT KEPT: {FORGETS}"
    else:
        yield f"state     {'not kept; there is no alarm' if site.node.state_dir is None else f'kept in {site.node.state_dir}'}"
    yield f"broker    {site.broker.host}:{site.broker.port}, topics below {site.prefix()}; not contacted"


class BenchReport(BaseModel):
    """Latency of one bundle on this machine; times in ms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: str
    machine: str
    scheme: str
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
                f"{self.bundle}: {self.scheme}, {self.threads} thread(s), {self.scheduling}, on {self.machine}",
                f"golden inputs reproduced, largest score difference {self.golden_max_abs:.2g}",
                f"  graph alone        p50 {self.infer_p50_ms:7.2f}  p95 {self.infer_p95_ms:7.2f}  p99 {self.infer_p99_ms:7.2f} ms",
                f"  picture to scores  p50 {self.frame_p50_ms:7.2f}  p95 {self.frame_p95_ms:7.2f}  p99 {self.frame_p99_ms:7.2f}  max {self.frame_max_ms:.2f} ms, {self.frames} frames",
                f"  p99 is {verdict} the budget of {self.budget_ms:g} ms; {self.over_budget} frames over it",
                f"  memory {self.rss_mib:.0f} MiB resident, {self.peak_rss_mib:.0f} MiB at most",
                *self.notes,
            ]
        )


def bench_bundle(bundle: Bundle, *, seconds: float, fps: float, threads: int | None) -> BenchReport:
    """Measure a bundle with the daemon's own stages, on its golden pictures, at a camera's pace.

    Raises:
        BundleError: the bundle may not go live here.
    """
    manifest = bundle.manifest
    grant = make_realtime()
    engine = load_engine(bundle, threads)
    preprocessor = Preprocessor(manifest.input)
    proof = prove(engine, bundle, preprocessor, float("inf"), time.monotonic_ns)
    pictures = [(bundle.path / golden.file).read_bytes() for golden in manifest.proof.golden]
    infer_ns: list[int] = []
    frame_ns: list[int] = []
    began_ns = time.monotonic_ns()
    index = 0
    while (elapsed_s := (time.monotonic_ns() - began_ns) / 1e9) < seconds or not frame_ns:
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
        return round(percentile(ordered, share) / 1e6, 3)

    return BenchReport(
        bundle=f"{manifest.name} version {manifest.version}",
        machine=facts.name,
        scheme=manifest.execution.scheme,
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
        frame_max_ms=round(frame[-1] / 1e6, 3),
        over_budget=sum(duration > budget_ms * 1e6 for duration in frame),
        rss_mib=round(rss_mib(), 1),
        peak_rss_mib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        notes=tuple(board_notes(manifest.target, facts)),
    )


def _proof_text(proof: ProofResult) -> str:
    return (
        f"{proof.golden_inputs} golden inputs within {proof.golden_max_abs:.2g}; picture to scores p50 {proof.frame_p50_ms:.1f} ms, "
        f"p99 {proof.frame_p99_ms:.1f} ms of {proof.budget_ms:g} ms"
    )
