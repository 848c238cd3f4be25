"""32 faults over 1 fault: what another question costs, from encoded frame to flags handed over.

Run from the repository root: ``python -m benchmarks.path.fault_count``. The daemon's own frame path runs with its real decide, publish and ledger
stages; only the socket is missing. Both arms alternate in one run, in processor time, so that neighbours do not decide the ratio.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import report
from benchmarks.graphs import SHAPES, VitShape, load_vit
from benchmarks.path.data_path import pictures
from edge.alarm.annunciator import Annunciator
from edge.alarm.entry import Context
from edge.beside import Beside, Verdicts
from edge.frame import Frame
from edge.health.ledger import Health
from edge.inference.preprocess import Preprocessor
from edge.manifest import FaultSpec, InputSpec
from edge.path import FramePath
from edge.publish.publisher import Policy, Publisher
from edge.system.clock import Clock
from edge.system.internal_errors import InternalErrors
from edge.verdict.channel import Channel, ChannelSpec, VisionFault
from edge.verdict.decide import FusionSpec
from edge.wire.envelope import Outgoing
from edge.wire.messages import Asset

BUDGET_NS = 10_000_000_000  # no frame is to be dropped as late here
FAULTS = (1, 32)


class Judged(Beside):
    """Counts the verdicts of all frames."""

    count = 0

    def seen(self, frame: Frame, verdicts: Verdicts, problem: Exception | None = None) -> None:
        """A frame was judged."""
        del frame, problem
        self.count += len(verdicts)


def frame_path(
    folder: Path, shape: VitShape, faults: int, *, every_frame: bool, beside: Beside | None = None
) -> FramePath:
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
    publisher = Publisher(
        prefix="site/node",
        session="0",
        epoch=0,
        policy=Policy(
            every_frame=every_frame, flag_repeat_ns=0, value_min_interval_ns=500_000_000, value_deadband=0.02
        ),
        send=send,
        record=lambda _entry: None,
        on_acknowledged=lambda _camera, _ns: None,
    )
    return FramePath(
        preprocessors={"camera": Preprocessor(spec)},
        picture_monitors={},
        engine=load_vit(folder, shape, faults=faults),
        channels=channels,
        publisher=publisher,
        annunciator=Annunciator((), publisher, Context("vit", "", Asset(path="", rds_pp="")), new_id=str, start_ns=0),
        health=Health({"camera": BUDGET_NS}, [], time.monotonic_ns()),
        beside=beside or Beside(),
        errors=InternalErrors(),
        clock=Clock(),
    )


def _channel(index: int, fault: FaultSpec) -> ChannelSpec:
    return ChannelSpec(
        id=fault.id,
        title=fault.title,
        camera="camera",
        vision=index,
        fault=VisionFault(fault.id, fault.threshold, fault.release),
        rules=(),
        fusion=FusionSpec(),
        armed=False,
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
            paths[faults].process(frame)
            took[faults].append((time.thread_time() - start) * 1e3)
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
                judged, shape = Judged(), SHAPES[name]
                paths = {
                    faults: frame_path(Path(folder), shape, faults, every_frame=every_frame, beside=judged)
                    for faults in FAULTS
                }
                took = compare(paths, encoded, options.frames)
                assert judged.count == sum(FAULTS) * options.frames
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
        ],
    )


if __name__ == "__main__":
    report.run(main)
