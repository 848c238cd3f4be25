"""What the daemon adds to the graph: frame received -> flag handed over, against the bare `session.run` of the same graph.

Run from the repository root: ``python -m benchmarks.path.frame_path``. Frame by frame in turn: one 720p JPEG goes through Mosquitto into the real
daemon, whose own stamps are taken; when its flag is there, this process runs the same graph once, bare, with the same session options,
thread count and scheduling. So both meet the same machine, the same pace and the same cold caches.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import material, report
from benchmarks.graphs import SHAPES, vit_graph
from edge.assembly import load_engine
from edge.bundle import open_bundle
from edge.inference.preprocess import Preprocessor
from edge.system.realtime import make_realtime
from tests.stand import daemon as rig

GRAPHS = ("ti-224", "ti-320", "s-224", "b-224")
WARM_UP = 10
NAP_S = 0.02  # between two runs, so that both begin from sleep, as with a camera


def main() -> None:
    """Measure and write results/frame_path.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300, help="frames for each graph")
    parser.add_argument("--graphs", nargs="+", default=list(GRAPHS), choices=sorted(SHAPES))
    parser.add_argument("--faults", type=int, default=1, help="flags published with each frame")
    options = parser.parse_args()
    frames, origin = material.frames_720p()
    rows = [measure(name, options.faults, options.frames, frames) for name in options.graphs]
    report.write(
        "frame_path",
        title="Frame received -> flag handed over, over bare session.run of the same graph",
        rows=rows,
        notes=[
            f"720p JPEG ({origin}, {np.mean([len(frame) for frame in frames]) / 1000:.0f} kB), {options.frames} pairs a graph, taken in turn, one at a time.",
            "The daemon's figure is its own: lat_ms of the flag plus the ledger's median of the publish stage, so the hand-over itself is inside.",
            "The daemon's own infer stage is the same call in the same process: a ratio without the difference between two processes' memory.",
        ],
    )


def measure(name: str, faults: int, count: int, frames: Sequence[bytes]) -> dict[str, object]:
    """One row: a graph in the daemon and bare, in turn."""
    shape = SHAPES[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        material.write_graph_bundle(path, vit_graph(shape, faults), size=shape.size, faults=faults, budget_ms=1000.0)
        bundle = open_bundle(path)
        session = load_engine(bundle)._session  # noqa: SLF001 - the bare call is what the daemon is compared with
        tensor = Preprocessor(bundle.manifest.frame_input).prepare(frames[0])
        with rig.bench(path) as (broker, _, ear):
            grant = (
                make_realtime()
            )  # like the daemon's inference thread; asked for last, so that no helper thread inherits it
            sender = rig.Sender(broker.port)
            sender.knock(ear, frames[0])
            pairs: list[tuple[float, float]] = []
            flags: list[Any] = []
            for index in range(WARM_UP + count):
                mark = ear.count()
                sender.publish(rig.FRAME_TOPIC, frames[index % len(frames)])
                rig.wait_for(lambda mark=mark: len(ear.on("flag/", mark)) >= faults, 10, "every flag of the frame")  # type: ignore[misc] # mypy cannot infer a lambda with a default
                flags.append(ear.on("flag/", mark)[-1].document())
                time.sleep(NAP_S)
                began = time.perf_counter()
                session.run(["scores"], {"frame": tensor})
                pairs.append((flags[-1]["lat_ms"], (time.perf_counter() - began) * 1e3))
                time.sleep(NAP_S)
            ledger = ear.heartbeat()
            publish_ms = median_stage_ms(ear, "publish")
            sender.close()
    path_ms, bare_ms = np.array(pairs[WARM_UP:]).T
    path_ms = path_ms + publish_ms
    ratio = float(np.median(path_ms) / np.median(bare_ms))
    stages = np.median([flag["stage_ms"] for flag in flags[WARM_UP:]], axis=0)
    return {
        "graph": f"{name}, {shape.size} px",
        "bare p50 ms": float(np.median(bare_ms)),
        "bare p95 ms": report.percentile(list(bare_ms), 95),
        "path p50 ms": float(np.median(path_ms)),
        "path p95 ms": report.percentile(list(path_ms), 95),
        "median over median": round(ratio, 3),
        "median over the daemon's own infer stage": round(float(np.median(path_ms) / stages[2]), 3),
        "quartiles of pairs": "{:.3f}..{:.3f}".format(*np.percentile(path_ms / bare_ms, [25, 75])),
        "queue/decode/infer/decide/publish p50 ms": " / ".join(f"{value:.2f}" for value in (*stages, publish_ms)),
        "scheduling": f"{ledger['realtime']}, bare {grant.policy}:{grant.priority}",
    }


def median_stage_ms(ear: rig.Ear, stage: str) -> float:
    """Median over the heartbeats of a stage's median, ms."""
    summaries = [beat.document()["cameras"][rig.CAMERA]["stages"][stage] for beat in ear.on("heartbeat")]
    return float(np.median([summary["p50_ms"] for summary in summaries if summary["count"]]))


if __name__ == "__main__":
    report.run(main)
