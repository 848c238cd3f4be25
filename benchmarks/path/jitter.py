"""How steady the latency is beside two busy processes, with and without SCHED_FIFO.

Run from the repository root: ``python -m benchmarks.path.jitter``. A feeder thread puts a 720p JPEG into the slots at a fixed rate, as a network
thread would; the inference thread takes it through the daemon's own frame path. Latency is from receipt to flags handed over. Blocks of
each policy alternate in one run: ordinary; SCHED_FIFO for the inference thread; and for the feeder too, which otherwise may be suspended
while it holds the interpreter lock.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from benchmarks import report
from benchmarks.graphs import SHAPES
from benchmarks.path.data_path import pictures
from benchmarks.path.fault_count import BUDGET_NS, frame_path
from edge.frame import Frame
from edge.intake.slot import Slots
from edge.path import FramePath
from edge.system.realtime import make_realtime

FAULTS = 8
# A frame period leaves the graph some air: 25 fps for the small one, half of it for the 40 ms class.
FPS = {"ti-112": 25.0, "ti-224": 12.5}
POLICIES = ("ordinary", "fifo", "fifo, feeder too")


def burn() -> None:
    """Keep one processor busy until killed, or until the benchmark that asked for it is gone."""
    parent = os.getppid()
    while os.getppid() == parent:
        sum(range(10_000))


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Some processes that do nothing but compute, at ordinary priority."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=burn, daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    time.sleep(1.0)
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


class Loop:
    """The inference thread of one block: takes frames until stopped, and notes each latency in ms."""

    def __init__(self, path: FramePath, slots: Slots, *, fifo: bool) -> None:
        self.latency_ms: list[float] = []
        self._path, self._slots, self._fifo = path, slots, fifo
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._slots.wake()
        self._thread.join()

    def _run(self) -> None:
        if self._fifo:
            granted = make_realtime()
            assert granted.policy == "fifo", granted.detail
        while not self._stop.is_set():
            frame = self._slots.take(0.5)
            if frame is not None:
                self._path.process(frame)
                self.latency_ms.append((time.monotonic_ns() - frame.received_ns) / 1e6)


@contextmanager
def feeder_at(policy: str) -> Iterator[None]:
    """Give the calling thread its block's policy."""
    if policy == "fifo, feeder too":
        make_realtime()
    try:
        yield
    finally:
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_OTHER, os.sched_param(0))


def feed(slots: Slots, encoded: list[bytes], frames: int, fps: float) -> int:
    """Put frames at a fixed rate, stamped as they arrive; returns how many were replaced before their turn."""
    replaced, start = 0, time.monotonic()
    for seq in range(frames):
        time.sleep(max(0.0, start + seq / fps - time.monotonic()))
        now_ns = time.monotonic_ns()
        frame = Frame("camera", seq, encoded[seq % len(encoded)], now_ns, time.time_ns(), now_ns + BUDGET_NS)
        replaced += slots.put(frame) is not None
    time.sleep(2 / fps)
    return replaced


def measure(
    path: FramePath, encoded: list[bytes], *, fps: float, blocks: int, frames: int
) -> dict[str, tuple[list[float], int]]:
    """Latencies in ms and replaced frames by policy, the blocks alternating; the first 5 frames of a block warm up."""
    found: dict[str, tuple[list[float], int]] = {policy: ([], 0) for policy in POLICIES}
    for _ in range(blocks):
        for policy, (values, lost) in list(found.items()):
            slots = Slots(["camera"])
            with Loop(path, slots, fifo=policy != "ordinary") as loop, feeder_at(policy):
                replaced = feed(slots, encoded, frames, fps)
            found[policy] = (values + loop.latency_ms[5:], lost + replaced)
    return found


def main() -> None:
    """Measure and write results/jitter.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=3, help="blocks of each policy")
    parser.add_argument("--frames", type=int, default=125, help="frames of a block")
    parser.add_argument("--hogs", type=int, nargs="+", default=[0, 2], help="busy processes beside the daemon")
    options = parser.parse_args()
    encoded, origin = pictures(1280, 720, 6)
    load_before = os.getloadavg()[0]
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, fps in FPS.items():
            path = frame_path(Path(folder), SHAPES[name], FAULTS, every_frame=True)
            for hogs in options.hogs:
                with busy_processes(hogs):
                    found = measure(path, encoded, fps=fps, blocks=options.blocks, frames=options.frames)
                for policy, (values, replaced) in found.items():
                    p50, p95, p99 = (report.percentile(values, percent) for percent in (50, 95, 99))
                    rows.append(
                        {
                            "graph class": name,
                            "fps": fps,
                            "hogs": hogs,
                            "policy": policy,
                            "frames": len(values),
                            "p50 ms": p50,
                            "p95 ms": p95,
                            "p99 ms": p99,
                            "max ms": max(values),
                            "p99/p50": f"{p99 / p50:.2f}",
                            "replaced": replaced,
                        }
                    )
    report.write(
        "jitter",
        title="Latency beside busy processes, 720p JPEG received to flags handed over",
        rows=rows,
        notes=[
            f"{origin}; random-weight ViT graphs, float32, one thread, no spinning; {FAULTS} faults, a flag for every frame.",
            f"Load average {load_before:.1f} before the run: whatever else ran on this machine is in all rows.",
            "Without SCHED_FIFO nothing can be promised beside other work.",
        ],
    )


if __name__ == "__main__":
    report.run(main)
