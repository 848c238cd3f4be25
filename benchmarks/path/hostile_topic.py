"""One hostile topic beside a good camera of 25 fps: what the good one misses, with and without it.

Run from the repository root: ``python -m benchmarks.path.hostile_topic``. Quiet and hostile phases alternate on one daemon; in a hostile phase another camera
and a sensor are sent the dearest messages that their parsers know, as fast as told. The broker and the sender take their part of the machine as well,
so a phase of the same bytes that cost no parsing (a raw picture, a short text padded with spaces) stands beside.
"""

from __future__ import annotations

import argparse
import base64
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import material, report
from benchmarks.graphs import SHAPES, vit_graph
from tests.stand import daemon as rig

HOSTILE_CAMERA, HOSTILE_SENSOR = "hostile", "loud"
HZ = 25.0
FRAME_BYTES, READING_BYTES = 4_000_000, 262_000
PHASES = ("quiet", "harmless", "hostile")


def main() -> None:
    """Measure and write results/hostile_topic.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each phase, s")
    parser.add_argument("--rounds", type=int, default=2, help="how often the phases alternate")
    parser.add_argument("--frames-hz", type=float, default=4.0, help="hostile frames a second, 4 MB each")
    parser.add_argument("--readings-hz", type=float, default=40.0, help="hostile readings a second, 262 kB each")
    parser.add_argument("--graph", default="ti-112", choices=sorted(SHAPES))
    options = parser.parse_args()
    frames, origin = material.frames_720p()
    shape = SHAPES[options.graph]
    site = {
        "cameras": [{"id": name, "picture": rig.STILLS} for name in (rig.CAMERA, HOSTILE_CAMERA)],
        "sensors": [{"id": HOSTILE_SENSOR}],
        "rules": [{"id": "rule", "sensor": HOSTILE_SENSOR, "kind": "above", "limit": 1e6}],
    }
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        material.write_graph_bundle(bundle, vit_graph(shape, 1), size=shape.size, faults=1, budget_ms=40.0)
        with rig.bench(bundle, site=site) as (broker, daemon, ear):
            sender = rig.Sender(broker.port)
            sender.knock(ear, frames[0])
            rows = [
                run_phase(phase, frames, broker=broker, daemon=daemon, ear=ear, options=options)
                for _ in range(options.rounds)
                for phase in PHASES
            ]
            sender.close()
    report.write(
        "hostile_topic",
        title="One hostile topic beside a good camera of 25 fps",
        rows=rows,
        notes=[
            f"720p JPEG ({origin}), graph of the {options.graph} class, budget 40 ms, stock Mosquitto, everything on one machine.",
            f"Hostile frames: {options.frames_hz:g} a second of {FRAME_BYTES / 1e6:g} MB, base64 with one wrong letter at its end.",
            f"Hostile readings: {options.readings_hz:g} a second of {READING_BYTES / 1e3:g} kB, 9,500 keys and one of them doubled.",
            "Harmless: the same number of bytes on the same topics, refused at their first bytes: what broker, network and sender cost by themselves.",
            "Missed: verdicts after their deadline, and frames that were replaced or given up.",
        ],
    )


def messages(phase: str) -> tuple[bytes, bytes]:
    """What the other camera and the sensor are sent."""
    if phase == "harmless":
        return bytes(FRAME_BYTES), b"x" * READING_BYTES
    keys = b",".join(b'"%018x":%d' % (key, key) for key in range(9_500))
    picture = base64.b64encode(b"\xff\xd8\xff" + bytes(FRAME_BYTES * 3 // 4 - 6))
    return picture + b"!", b"{" + keys + b',"q":1,"q":2}'


def run_phase(
    phase: str,
    frames: Sequence[bytes],
    *,
    broker: rig.Broker,
    daemon: rig.Daemon,
    ear: rig.Ear,
    options: argparse.Namespace,
) -> dict[str, object]:
    """Send for so long and take stock."""
    before, mark, cpu_s = ear.heartbeat(), ear.count(), daemon.cpu_s()
    over = threading.Event()
    others = []
    if phase != "quiet":
        frame, reading = messages(phase)
        loads = (
            (f"{rig.PREFIX}/in/frame/{HOSTILE_CAMERA}", frame, options.frames_hz),
            (f"{rig.PREFIX}/in/sensor/{HOSTILE_SENSOR}", reading, options.readings_hz),
        )
        others = [threading.Thread(target=_send, args=(broker.port, *load, over)) for load in loads]
    for other in others:
        other.start()
    sender = rig.Sender(broker.port)
    sent = rig.pace(
        round(HZ * options.seconds), HZ, lambda index: sender.publish(rig.FRAME_TOPIC, frames[index % len(frames)])
    )
    over.set()
    for other in others:
        other.join()
    after = ear.heartbeat()
    sender.close()
    flags = [flag.document() for flag in ear.on("flag/", mark)]
    good = [flag for flag in flags if flag["cam"] == rig.CAMERA and flag["frame_seq"]]
    return (
        {"phase": phase, "frames sent": sent}
        | figures(before, after, good)
        | {"daemon s of processor": round(daemon.cpu_s() - cpu_s, 1)}
    )


def figures(before: Any, after: Any, flags: Sequence[Any]) -> dict[str, object]:  # noqa: ANN401 - JSON is any of seven types
    """The good camera's ledger over one phase, its latency, and what the other one was refused for."""
    was, now = before["cameras"][rig.CAMERA], after["cameras"][rig.CAMERA]
    latency_ms = [flag["lat_ms"] for flag in flags]
    given_up = sum(now["dropped"].values()) - sum(was["dropped"].values())
    other = after["cameras"][HOSTILE_CAMERA]["rejected"], before["cameras"][HOSTILE_CAMERA]["rejected"]
    sensor = after["sensors"][HOSTILE_SENSOR]["rejected"], before["sensors"][HOSTILE_SENSOR]["rejected"]
    return {
        "received": now["received"] - was["received"],
        "missed": now["misses"] - was["misses"] + given_up,
        "lat p50 ms": report.percentile(latency_ms, 50),
        "lat p99 ms": report.percentile(latency_ms, 99),
        "other camera": _refused(*other),
        "sensor": _refused(*sensor),
    }


def _refused(now: Any, was: Any) -> str:  # noqa: ANN401 - JSON is any of seven types
    fresh = {reason: count - was.get(reason, 0) for reason, count in now.items() if count != was.get(reason, 0)}
    return ", ".join(f"{reason} {count}" for reason, count in fresh.items()) or "-"


def _send(port: int, topic: str, payload: bytes, hz: float, over: threading.Event) -> None:
    sender = rig.Sender(port)
    rig.pace(1_000_000, hz, lambda _: sender.publish(topic, payload), until=over.is_set)
    sender.close()


if __name__ == "__main__":
    report.run(main)
