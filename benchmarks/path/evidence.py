"""Evidence on against off: the same alarming camera before two daemons, of which one keeps the seconds around each alarm, in turn.

Run from the repository root: ``python -m benchmarks.path.evidence``. A part is red for two seconds out of four, so nearly every frame is written to
disk. What must hold: no more late frames, and a recording that is there within two seconds after its time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from edge.evidence.archive import FOLDER, recordings
from edge.inference.preprocess import encode_jpeg
from tests.stand import daemon as rig
from tests.stand.bundles import colour_bundle

HZ, PERIOD_FRAMES = 25.0, 100
BEFORE_S = AFTER_S = 1.0
BUDGET_MS = 40.0
ALARM = {"severity": 700, "message": "Red", "operator_action": "Look", "consequence": "Scrap", "off_delay_ms": 100}
TARGET = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": BUDGET_MS}


@dataclass(frozen=True, slots=True)
class Phase:
    """What one phase gave: latencies of its flags, ms, how many were late or missing, and how long after its time each recording was announced, s."""

    evidence: bool
    latency_ms: Sequence[float]
    late: int
    unjudged: int
    announced_s: Sequence[float]
    growth_mib: float


def main() -> None:
    """Measure and write results/evidence.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each phase, s")
    parser.add_argument("--pairs", type=int, default=4, help="how often off and on alternate")
    options = parser.parse_args()
    frames = [picture(red=red, number=number) for red in (False, True) for number in range(PERIOD_FRAMES // 2)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        colour_bundle(folder / "colours", target=TARGET)
        with (
            rig.bench(folder / "colours", site=site(folder / "off", evidence=False)) as off,
            rig.bench(folder / "colours", site=site(folder / "on", evidence=True)) as on,
        ):
            phases = [
                run_phase(frames, rigged, options.seconds, evidence=rigged is on)
                for _ in range(options.pairs)
                for rigged in (off, on)
            ]
        kept = list(recordings(folder / "on" / FOLDER))
    write(phases, kept, options, frames)


def picture(*, red: bool, number: int) -> bytes:
    """A 720p JPEG of about 100 kB: texture, in red or in grey."""
    noise = np.random.default_rng(number).integers(60, 120, (720, 1280, 3), np.uint8)
    if red:
        noise[..., 0] = 250
        noise[..., 1:] //= 6
    return encode_jpeg(noise, quality=40)


def site(state: Path, *, evidence: bool) -> dict[str, Any]:
    """One camera and its alarm; every alarm of it is recorded, or none."""
    return {
        "node": {"id": rig.NODE, "state_dir": str(state)},
        "cameras": [{"id": rig.CAMERA, "picture": rig.STILLS, "evidence": evidence}],
        "faults": [{"id": "red", "camera": rig.CAMERA, "alarm": ALARM}],
        "evidence": {"before_s": BEFORE_S, "after_s": AFTER_S},
    }


def run_phase(
    frames: Sequence[bytes], rigged: tuple[rig.Broker, rig.Daemon, rig.Ear], seconds: float, *, evidence: bool
) -> Phase:
    """Send for so long, and take what came of it."""
    broker, daemon, ear = rigged
    listener = rig.Ear(broker.port, ("evidence/+",))
    before, mark, rss_mib = ear.heartbeat(), ear.count(), daemon.rss_mib()
    raised_ns: list[int] = []
    sender = rig.Sender(broker.port)

    def act(index: int) -> None:
        place = index % PERIOD_FRAMES
        if place == PERIOD_FRAMES // 2:
            raised_ns.append(time.monotonic_ns())
        sender.publish(rig.FRAME_TOPIC, frames[place], captured_wall_ns=time.time_ns())

    sent = rig.pace(round(HZ * seconds), HZ, act)
    time.sleep(AFTER_S + 2.5)
    sender.close()
    after = ear.heartbeat()
    flags = [heard.document() for heard in ear.on("flag/red", mark)]
    judged = [flag for flag in flags if flag["lat_ms"] is not None]
    told_ns = [heard.arrived_ns for heard in listener.on("evidence/red")]
    listener.close()
    misses = after["cameras"][rig.CAMERA]["misses"] - before["cameras"][rig.CAMERA]["misses"]
    return Phase(
        evidence=evidence,
        latency_ms=[flag["lat_ms"] for flag in judged],
        late=misses,
        unjudged=sent - len(judged),
        announced_s=[(told - raised) / 1e9 - AFTER_S for raised, told in zip(raised_ns, told_ns, strict=False)],
        growth_mib=daemon.rss_mib() - rss_mib,
    )


def write(phases: Sequence[Phase], kept: Sequence[Any], options: argparse.Namespace, frames: Sequence[bytes]) -> None:
    """The rows and what was kept."""
    rows = [
        {
            "phase": number + 1,
            "evidence": "on" if phase.evidence else "off",
            "flags": len(phase.latency_ms),
            "p50 ms": round(float(np.percentile(phase.latency_ms, 50)), 2),
            "p99 ms": round(float(np.percentile(phase.latency_ms, 99)), 2),
            "late": phase.late,
            "without a flag": phase.unjudged,
            "memory grew MiB": round(phase.growth_mib, 1),
        }
        for number, phase in enumerate(phases)
    ]
    on, off = ([phase for phase in phases if phase.evidence is wanted] for wanted in (True, False))
    more = sum(phase.late + phase.unjudged for phase in on) - sum(phase.late + phase.unjudged for phase in off)
    p99 = [float(np.percentile([value for phase in group for value in phase.latency_ms], 99)) for group in (on, off)]
    announced = [value for phase in on for value in phase.announced_s]
    whole = sum(recording.complete for recording in kept)
    report.write(
        "evidence",
        title=f"Evidence on against off, {datetime.now().astimezone():%Y-%m-%d}",
        rows=rows,
        notes=[
            f"late or without a flag with evidence, less those without: {more}",
            f"p99 with evidence over p99 without: {p99[0] / p99[1]:.2f}",
            f"announced after the end of its time, highest: {max(announced, default=float('nan')):.2f} s",
            f"recordings: {len(kept)}, of them whole: {whole}; frames in them: {sum(len(one.frames) for one in kept)}",
            f"pictures of {sum(map(len, frames)) // len(frames) // 1000} kB, 720p, at {HZ:g} a second; phases of {options.seconds:g} s",
        ],
    )


if __name__ == "__main__":
    report.run(main)
