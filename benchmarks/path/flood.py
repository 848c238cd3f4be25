"""A flood: ten times the frame rate and 2,000 sensor messages a second, beside the same daemon unloaded, in turn.

Run from the repository root: ``python -m benchmarks.path.flood``. Phases alternate (quiet, flood, quiet, flood ...) on one daemon. What must hold:
memory stays flat, each flag speaks of the newest frame, every frame is accounted for, and p99 is at most twice that of the quiet phases.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import material, report
from benchmarks.graphs import SHAPES, vit_graph
from tests.stand import daemon as rig

QUIET_HZ, FLOOD_HZ, READINGS_HZ = 25.0, 250.0, 2000.0
SENSORS = 8
SETTLE_S = 1.0


@dataclass(frozen=True, slots=True)
class Phase:
    """What one phase gave: flags as documents, the ledger before and after, memory over time (MiB), what was sent."""

    flooded: bool
    flags: Sequence[Any]
    before: Any
    after: Any
    rss_mib: Sequence[float]
    frames_sent: int
    readings_sent: int
    cpu_share: float
    broker_dropped: int


def main() -> None:
    """Measure and write results/flood.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=35.0, help="length of each phase, s")
    parser.add_argument("--pairs", type=int, default=2, help="how often quiet and flood alternate")
    parser.add_argument("--graph", default="ti-112", choices=sorted(SHAPES))
    options = parser.parse_args()
    frames, origin = material.frames_720p()
    shape = SHAPES[options.graph]
    sensors = [{"id": f"s{index}", "stale_after_ms": 60_000} for index in range(SENSORS)]
    rules = [
        {"id": f"r{index}", "sensor": f"s{index}", "kind": "above", "limit": 1e6, "window_s": 1.0}
        for index in range(SENSORS)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        material.write_graph_bundle(path, vit_graph(shape, 1), size=shape.size, faults=1, budget_ms=100.0)
        with rig.bench(path, site={"sensors": sensors, "rules": rules}) as (broker, daemon, ear):
            # Mosquitto keeps its own figures for a minute only and repeats them on change: a late subscriber receives nothing.
            loss = rig.Ear(broker.port, topics=(), extra=("$SYS/broker/publish/messages/dropped",))
            sender = rig.Sender(broker.port)
            sender.knock(ear, frames[0])
            phases = [
                run_phase(frames, broker, daemon, ear, loss, flooded=flooded, seconds=options.seconds)
                for _ in range(options.pairs)
                for flooded in (False, True)
            ]
            sender.close()
            loss.close()
    write(phases, options, origin, frames)


def run_phase(
    frames: Sequence[bytes],
    broker: rig.Broker,
    daemon: rig.Daemon,
    ear: rig.Ear,
    loss: rig.Ear,
    *,
    flooded: bool,
    seconds: float,
) -> Phase:
    """Send for so long, let it drain, and count; ``loss`` subscribes to what the broker itself dropped."""
    hz = FLOOD_HZ if flooded else QUIET_HZ
    dropped = _broker_dropped(loss)
    before, mark, cpu_s, began = ear.heartbeat(), ear.count(), daemon.cpu_s(), time.monotonic()
    readings = threading.Thread(target=_send_readings, args=(broker.port, round(READINGS_HZ * seconds)))
    if flooded:
        readings.start()
    rss_mib: list[float] = []
    sender = rig.Sender(broker.port)

    def act(index: int) -> None:
        sender.publish(rig.FRAME_TOPIC, frames[index % len(frames)], captured_wall_ns=time.time_ns())
        if index % round(hz) == 0:
            rss_mib.append(daemon.rss_mib())

    sent = rig.pace(round(hz * seconds), hz, act)
    if flooded:
        readings.join()
    cpu_share = (daemon.cpu_s() - cpu_s) / (time.monotonic() - began)
    sender.close()
    time.sleep(SETTLE_S)
    after = ear.heartbeat()
    flags = [flag.document() for flag in ear.on("flag/", mark)]
    return Phase(
        flooded=flooded,
        flags=[flag for flag in flags if flag["frame_seq"]],
        before=before,
        after=after,
        rss_mib=rss_mib,
        frames_sent=sent,
        readings_sent=round(READINGS_HZ * seconds) if flooded else 0,
        cpu_share=cpu_share,
        broker_dropped=_broker_dropped(loss) - dropped,
    )


def _send_readings(port: int, count: int) -> None:
    """JSON readings over all sensors, in bursts of 10 ms, as a gateway sends them."""
    sender = rig.Sender(port)
    burst = round(READINGS_HZ / 100)

    def act(index: int) -> None:
        for one in range(index * burst, (index + 1) * burst):
            sender.publish(f"{rig.PREFIX}/in/sensor/s{one % SENSORS}", b'{"value": %d.5}' % (one % 100))

    rig.pace(count // burst, 100.0, act)
    sender.close()


def _broker_dropped(loss: rig.Ear) -> int:
    """Messages that Mosquitto itself dropped, by its own count."""
    rig.wait_for(loss.count, 30, "Mosquitto tells what it dropped")
    time.sleep(1.2)  # its figures are a second old
    return int(loss.everything()[-1].payload)


def row(phase: Phase) -> dict[str, object]:
    """One phase as a line of the table."""
    camera, was = phase.after["cameras"][rig.CAMERA], phase.before["cameras"][rig.CAMERA]
    received = camera["received"] - was["received"]
    verdicts = camera["verdicts"] - was["verdicts"]
    drops = {
        reason: count - was["dropped"].get(reason, 0)
        for reason, count in camera["dropped"].items()
        if count != was["dropped"].get(reason, 0)
    }
    readings = sum(sensor["received"] for sensor in phase.after["sensors"].values()) - sum(
        sensor["received"] for sensor in phase.before["sensors"].values()
    )
    latency_ms = [flag["lat_ms"] for flag in phase.flags]
    queue_ms = [flag["stage_ms"][0] for flag in phase.flags]
    age_ms = [flag_age_ms(flag) for flag in phase.flags]
    return {
        "phase": "flood" if phase.flooded else "quiet",
        "frames sent": phase.frames_sent,
        "received": received,
        "verdicts": verdicts,
        "drops": ", ".join(f"{reason} {count}" for reason, count in drops.items()) or "0",
        "received, neither judged nor counted as dropped": received - verdicts - sum(drops.values()),
        "readings sent": phase.readings_sent,
        "readings received": readings,
        "dropped by broker": phase.broker_dropped,
        "lost without a trace": phase.frames_sent + phase.readings_sent - phase.broker_dropped - received - readings,
        "lat p50 ms": float(np.median(latency_ms)),
        "lat p95 ms": report.percentile(latency_ms, 95),
        "lat p99 ms": report.percentile(latency_ms, 99),
        "lat max ms": max(latency_ms),
        "queue p99 ms": report.percentile(queue_ms, 99),
        "camera -> flag p99 ms": report.percentile(age_ms, 99),
        "in order": all(a["frame_seq"] < b["frame_seq"] for a, b in zip(phase.flags, phase.flags[1:], strict=False)),
        "RSS first..last MiB": f"{phase.rss_mib[0]:.1f}..{phase.rss_mib[-1]:.1f}",
        "daemon cores": round(phase.cpu_share, 2),
    }


def flag_age_ms(flag: Any) -> float:  # noqa: ANN401 - JSON is any of seven types
    """Sending of the frame to its flag, ms: shows frames that grew old in the broker or in the kernel."""
    told, said = (datetime.fromisoformat(flag[key]) for key in ("frame_ts", "ts"))
    return (said - told).total_seconds() * 1e3


def write(phases: Sequence[Phase], options: argparse.Namespace, origin: str, frames: Sequence[bytes]) -> None:
    """The table and the verdict on the bars."""
    rows = [row(phase) for phase in phases]
    by_kind = {
        flooded: [flag["lat_ms"] for phase in phases if phase.flooded is flooded for flag in phase.flags]
        for flooded in (False, True)
    }
    ratio = report.percentile(by_kind[True], 99) / report.percentile(by_kind[False], 99)
    growth = phases[-1].rss_mib[-1] - phases[1].rss_mib[0]
    report.write(
        "flood",
        title="Flood: 250 frames and 2,000 sensor messages a second into a 25 fps camera's daemon",
        rows=rows,
        notes=[
            f"720p JPEG ({origin}, {np.mean([len(frame) for frame in frames]) / 1000:.0f} kB), graph of the {options.graph} class, stock Mosquitto, everything on one machine.",
            f"p99 flood over p99 quiet, all phases: {ratio:.2f}.",
            f"Memory from the first flood's first second to the last one's end: {growth:+.1f} MiB.",
            "Lost without a trace: messages sent, less those that Mosquitto says it dropped, less those in the daemon's ledger.",
            "Queue is how long a judged frame had waited in its slot: one interval at most, because a newer one replaces it.",
        ],
    )


if __name__ == "__main__":
    report.run(main)
