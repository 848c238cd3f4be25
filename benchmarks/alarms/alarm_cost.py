"""What journal and encodings cost the path of a frame: `python -m benchmarks.alarms.alarm_cost`.

Two real daemons on one Mosquitto take the same pictures in turns, block by block, 25 a second, with 32 faults. One keeps its alarms to itself: the alarms
move, and what they have to say is thrown away. The other journals to disk, says everything as JSON, and as Sparkplug B if it is there. The
difference of one round of the inference thread is what is asked.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from edge.daemon import Daemon
from edge.frame import Frame
from edge.inference.preprocess import encode_jpeg
from edge.plan import site_bundle
from edge.site.settings import Site
from edge.system.memory import spare_sweeps
from edge.system.realtime import make_realtime
from edge.worker import Worker
from tests.stand.bundles import colour_bundle
from tests.stand.daemon import Broker

FAULTS, FPS, BUDGET_NS = 32, 25, 500_000_000
CASES = {"no transition": 0, "1 of 32 faults flips on each frame": 1, "4 of 32": 4, "all 32": 32}


def _daemon(folder: Path, port: int, name: str, flipping: int) -> tuple[Daemon, Worker]:
    """A daemon whose inference thread is the caller's: `flipping` of its faults look at red, the others at green."""
    alarm = {"severity": 700, "message": "m", "operator_action": "a", "consequence": "c", "off_delay_ms": 0.0}
    faults = [
        {
            "id": f"f{number}",
            "camera": "cam",
            "vision": "red" if number < flipping else "green",
            "alarm": alarm | {"auto_ack": True},
        }
        for number in range(FAULTS)
    ]
    document: dict[str, Any] = {
        "bundle": folder / "bundle",
        "node": {"id": name, "state_dir": folder / name},
        "broker": {"port": port, "protocol": "5"},
        "cameras": ({"id": "cam"},),
        "faults": tuple(faults),
        "sparkplug": {"enabled": True, "group_id": "bench"},
    }
    site = Site.model_validate(document)
    daemon = Daemon(site, site_bundle(site))
    make_realtime(priority=site.runtime.realtime_priority - 1)  # as the main thread of the daemon, which starts these:
    daemon._journal.start()  # noqa: SLF001 - there is no way to start a daemon without its inference thread
    daemon._outlet.start()  # noqa: SLF001 - likewise
    if daemon._sparkplug is not None:  # noqa: SLF001 - likewise
        daemon._sparkplug.start()  # noqa: SLF001 - likewise
    return daemon, daemon._prepare().worker  # noqa: SLF001 - this thread is the inference thread


@dataclass(frozen=True, slots=True)
class Block:
    """Rounds of one daemon, ms: of the whole round, and from a frame's receipt to its flags handed over."""

    round_p50: float
    round_p99: float
    flag_p99: float


def _block(daemon: Daemon, worker: Worker, pictures: list[bytes], seconds: float) -> Block:
    """25 frames a second for so long; the first second warms up."""
    took: list[float] = []
    began = time.monotonic()
    for number in range(round(seconds * FPS)):
        time.sleep(max(0.0, began + number / FPS - time.monotonic()))
        now_ns = time.monotonic_ns()
        frame = Frame("cam", number, pictures[number % 2], now_ns, time.time_ns(), now_ns + BUDGET_NS)
        start = time.perf_counter()
        worker.turn(frame)
        took.append((time.perf_counter() - start) * 1e3)
        if number == FPS:
            daemon.health.cameras(time.monotonic_ns())  # the ledger's figures begin here
    flags = daemon.health.cameras(time.monotonic_ns())["cam"].latency
    assert flags.p99_ms is not None
    return Block(statistics.median(took[FPS:]), report.percentile(took[FPS:], 99), flags.p99_ms)


def measure(folder: Path, port: int, flipping: int, blocks: int, seconds: float) -> dict[str, object]:
    """Blocks of both daemons in turns: at the same time, the journal of one would cost the other."""
    mute, mute_worker = _daemon(folder, port, f"mute{flipping}", flipping)
    full, full_worker = _daemon(folder, port, f"full{flipping}", flipping)
    mute._publisher._record = lambda _entry: None  # noqa: SLF001 - what it has to say is thrown away
    mute._publisher._tap = lambda _said: None  # noqa: SLF001 - likewise
    spare_sweeps()  # as the daemon does when it is ready
    pictures = [encode_jpeg(np.full((64, 64, 3), (red, 0, 0), np.uint8)) for red in (255, 0)]
    found: dict[str, list[Block]] = {"mute": [], "full": []}
    for number in range(blocks):
        both = [("mute", mute, mute_worker), ("full", full, full_worker)]
        for name, daemon, worker in both if number % 2 else reversed(both):
            found[name].append(_block(daemon, worker, pictures, seconds))
    stats = full._journal.stats()  # noqa: SLF001 - the proof that it did its work
    for daemon in (mute, full):
        daemon.stop()
    gc.unfreeze()
    pairs = list(zip(found["mute"], found["full"], strict=True))
    added = sorted(after.round_p99 - before.round_p99 for before, after in pairs)
    flags = sorted(after.flag_p99 - before.flag_p99 for before, after in pairs)
    return {
        "events journalled": stats.held,
        "storage": stats.storage,
        "mute p50 ms": statistics.median(block.round_p50 for block in found["mute"]),
        "full p50 ms": statistics.median(block.round_p50 for block in found["full"]),
        "mute p99 ms": statistics.median(block.round_p99 for block in found["mute"]),
        "full p99 ms": statistics.median(block.round_p99 for block in found["full"]),
        "p99 added ms, median": statistics.median(added),
        "lowest": added[0],
        "highest": added[-1],
        "added to the flag's p99 ms, median": statistics.median(flags),
        "flag, lowest": flags[0],
        "flag, highest": flags[-1],
    }


def main() -> None:
    """All cases, and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each block")
    parser.add_argument("--blocks", type=int, default=7, help="of each of the two daemons in each case")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 500.0}
        colour_bundle(folder / "bundle", target=target)
        broker = Broker(folder)
        for case, flipping in CASES.items():
            rows.append({"case": case} | measure(folder, broker.port, flipping, options.blocks, options.seconds))
        broker.stop()
    report.write(
        "alarm_cost",
        title="What journal and encodings add to the path of a frame",
        rows=rows,
        notes=[
            (
                "One round of the inference thread: decode, infer (a graph of microseconds), 32 verdicts and flags, 32 alarms. Two daemons in turns, "
                f"{options.blocks} blocks of {options.seconds:g} s each, 25 frames a second; `mute` throws away what its alarms have to say, `full` journals it to disk and says it as JSON and Sparkplug B."
            ),
            (
                "p99 added: the p99 of a block of `full` less that of the neighbouring block of `mute`; the median, the lowest and the highest of the pairs. "
                "The same for the time from a frame's receipt to its flags handed over."
            ),
            "Flags are handed over before the alarms are looked at: what a flag pays is what the journal's and Sparkplug's threads still take of the interpreter while the next frame is judged.",
        ],
    )


if __name__ == "__main__":
    report.run(main)
