"""Bundles exchanged again and again under a camera's frames: `python -m benchmarks.path.swap`.

The real daemon, 25 frames a second of 720p, and a reload to the other of two bundles as soon as the last one was kept. Every frame has to get its
verdict in time, and memory has to stay where it is.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import material, report
from benchmarks.graphs import SHAPES, vit_graph
from tests.stand import daemon as rig

FPS = 25.0
FAULTS = 8


def main() -> None:
    """Measure and write results/swap.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--graphs", nargs="+", default=["ti-112"], choices=sorted(SHAPES))
    options = parser.parse_args()
    rows = [measure(name, options.swaps) for name in options.graphs]
    report.write(
        "swap",
        title="Bundles exchanged under 25 frames a second",
        rows=rows,
        notes=[
            "Frames of 1280x720; budget 40 ms from receipt to flag. Without: the same frames for 20 s before the first swap.",
            "late: verdicts after their deadline and frames dropped for it; replaced: a newer frame came before its turn. s each: from the command to its answer.",
            "RSS: of the whole process, after each swap was kept; most: sampled four times a second, so with two bundles in memory.",
        ],
    )


def measure(name: str, swaps: int) -> dict[str, object]:
    """So many swaps between two bundles of one shape."""
    shape = SHAPES[name]
    frames, _ = material.frames_720p()
    with tempfile.TemporaryDirectory() as folder:
        for index in range(2):
            graph = vit_graph(shape, FAULTS, seed=index)
            path = Path(folder) / f"b{index}"
            material.write_graph_bundle(path, graph, size=shape.size, faults=FAULTS, budget_ms=40.0)
        site = {"publish": {"flags": "frame", "heartbeat_s": 1.0}}
        with rig.bench(Path(folder) / "b0", site=site) as (broker, daemon, ear):
            stop, rss = threading.Event(), [daemon.rss_mib()]
            sender = threading.Thread(target=_send, args=(broker.port, frames, stop), daemon=True)
            sender.start()
            threading.Thread(target=_watch, args=(daemon, rss, stop), daemon=True).start()
            time.sleep(3)
            begin = ear.heartbeat()["cameras"][rig.CAMERA]
            time.sleep(20)
            before, mark = ear.heartbeat()["cameras"][rig.CAMERA], ear.count()
            kept, took = [daemon.rss_mib()], []
            for number in range(swaps):
                took.append(_reload(ear, f"b{(number + 1) % 2}"))
                kept.append(daemon.rss_mib())
            after = ear.heartbeat()["cameras"][rig.CAMERA]
            stop.set()
            sender.join()
            beats = [beat.document()["cameras"][rig.CAMERA]["latency"] for beat in ear.on("heartbeat", mark)]
    quiet, busy = _gained(begin, before), _gained(before, after)
    return {
        "graph": name,
        "MB on disk": round(len(graph) / 1e6, 1),
        "swaps": swaps,
        "s each, median": report.percentile(took, 50),
        "frames without": quiet["received"],
        "late without": quiet["late"],
        "frames with": busy["received"],
        "late": busy["late"],
        "replaced": busy["replaced"],
        "p99 ms, median of seconds": report.percentile([beat["p99_ms"] for beat in beats if beat["count"]], 50),
        "max ms": max(beat["max_ms"] for beat in beats if beat["count"]),
        "RSS MiB before": round(kept[0], 1),
        "after 10 swaps": round(kept[min(10, swaps)], 1),
        "after all": round(kept[-1], 1),
        "most": round(max(rss), 1),
    }


def _send(port: int, frames: list[bytes], stop: threading.Event) -> None:
    sender = rig.Sender(port)
    rig.pace(10**9, FPS, lambda index: sender.publish(rig.FRAME_TOPIC, frames[index % len(frames)]), until=stop.is_set)
    sender.close()


def _watch(daemon: rig.Daemon, rss: list[float], stop: threading.Event) -> None:
    while not stop.wait(0.25):
        rss.append(daemon.rss_mib())


def _reload(ear: rig.Ear, bundle: str) -> float:
    """One swap, until the new bundle was kept; returns the seconds until it was answered."""
    request_id = uuid.uuid4().hex
    issued_at = datetime.now(UTC).isoformat()
    body = {"request_id": request_id, "issued_at": issued_at, "user": "bench", "bundle": bundle}
    mark, began = ear.count(), time.monotonic()
    ear.publish(f"{rig.PREFIX}/cmd/reload", json.dumps(body).encode())
    reply = ear.wait("res/reload", lambda reply: reply["code"] != "busy", since=mark, timeout_s=120)
    took_s = time.monotonic() - began
    assert reply["ok"], reply
    ear.wait("event", lambda event: event["what"] == "reload kept", since=mark, timeout_s=120)
    return took_s


def _gained(before: Any, after: Any) -> dict[str, int]:  # noqa: ANN401 - JSON
    def dropped(reason: str) -> int:
        return int(after["dropped"].get(reason, 0) - before["dropped"].get(reason, 0))

    return {
        "received": after["received"] - before["received"],
        "late": after["misses"] - before["misses"] + dropped("late"),
        "replaced": dropped("replaced"),
    }


if __name__ == "__main__":
    report.run(main)
