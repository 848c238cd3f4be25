"""32 faults over 1 fault: what another question costs, from encoded frame to flags handed over.

Run from the repository root: ``python -m benchmarks.fault_count``. The daemon's own frame path runs with its real decide, publish and ledger
stages; only the socket is missing. Both arms alternate in one run, in processor time, so that neighbours do not decide the ratio.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import report
from benchmarks.data_path import pictures
from benchmarks.graphs import SHAPES, VitShape, load_vit
from edge.bundle import FaultSpec, InputSpec
from edge.channel import Channel, ChannelSpec
from edge.decide import FusionSpec
from edge.envelope import Outgoing
from edge.frame import Frame
from edge.health import Health
from edge.path import FramePath
from edge.preprocess import Preprocessor
from edge.publish import Policy, Publisher

BUDGET_NS = 10_000_000_000  # no frame is to be dropped as late here
FAULTS = (1, 32)


def frame_path(folder: Path, shape: VitShape, faults: int, *, every_frame: bool) -> FramePath:
    """The daemon's path of a frame, with a graph of so many scores and a flag channel for each."""
    spec = InputSpec(name="frame", width=shape.size, height=shape.size, resize="stretch")
    handed_over: list[Outgoing] = []

    def send(message: Outgoing) -> int:
        handed_over[:] = [message]
        return 1

    channels = []
    for index in range(faults):
        fault = FaultSpec(
            id=f"fault{index}", title="Fault", words=("a fault",), threshold=0.99, release=0.98, armed=False
        )
        channels.append(Channel(_channel(index, fault), {}))
    return FramePath(
        preprocessors={"camera": Preprocessor(spec)},
        engine=load_vit(folder, shape, faults=faults),
        channels={"camera": channels},
        publisher=Publisher(
            prefix="site/node",
            session="0",
            epoch=0,
            policy=Policy(
                every_frame=every_frame, flag_repeat_ns=0, value_min_interval_ns=500_000_000, value_deadband=0.02
            ),
            send=send,
            record=lambda _entry: None,
            on_acknowledged=lambda _camera, _ns: None,
        ),
        health=Health({"camera": BUDGET_NS}, [], time.monotonic_ns()),
        monotonic_ns=time.monotonic_ns,
        wall_ns=time.time_ns,
    )


def _channel(index: int, fault: FaultSpec) -> ChannelSpec:
    return ChannelSpec(
        id=fault.id,
        title=fault.title,
        camera="camera",
        vision=index,
        fault=fault,
        rules=(),
        fusion=FusionSpec(),
        armed=False,
        alarm=None,
        stale_after_ns=BUDGET_NS,
    )


def compare(paths: dict[int, FramePath], encoded: list[bytes], frames: int) -> dict[int, list[float]]:
    """Processor ms of each frame by number of faults, the arms alternating."""
    took: dict[int, list[float]] = {faults: [] for faults in paths}
    for seq in range(frames):
        order = sorted(paths) if seq % 2 else sorted(paths, reverse=True)
        for faults in order:
            now_ns = time.monotonic_ns()
            frame = Frame("camera", seq, encoded[seq % len(encoded)], now_ns, time.time_ns(), now_ns + BUDGET_NS)
            start = time.thread_time()
            verdicts = paths[faults].process(frame)
            took[faults].append((time.thread_time() - start) * 1e3)
            assert len(verdicts) == faults
    return {faults: values[len(values) // 10 :] for faults, values in took.items()}


def main() -> None:
    """Measure and write results/fault_count.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    encoded, origin = pictures(1280, 720, 6)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("ti-112", "ti-224"):
            for every_frame in (False, True):
                paths = {
                    faults: frame_path(Path(folder), SHAPES[name], faults, every_frame=every_frame) for faults in FAULTS
                }
                took = compare(paths, encoded, options.frames)
                few, many = (np.array(took[faults]) for faults in FAULTS)
                rows.append(
                    {
                        "graph class": name,
                        "flags": "every frame" if every_frame else "on change (default)",
                        "1 fault p50 CPU ms": float(np.median(few)),
                        "32 faults p50 CPU ms": float(np.median(many)),
                        "ratio of medians": f"{np.median(many) / np.median(few):.3f}",
                        "difference ms": float(np.median(many - few)),
                    }
                )
    report.write(
        "fault_count",
        title="32 faults over 1 fault, 720p JPEG to flags handed over",
        rows=rows,
        notes=[
            f"{options.frames} frames an arm, alternating in one run; {origin}; random-weight ViT graphs, float32, one thread.",
            "Bar: at most 1.02.",
        ],
    )


if __name__ == "__main__":
    main()
