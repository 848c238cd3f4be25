"""How long a thread waits for the interpreter lock beside one that parses large messages: Python's switch interval against the daemon's.

Run from the repository root: ``python -m benchmarks.path.lock_wait``. One thread reads messages of 262 kB and 9,000 keys without a pause, as the
intake does under a hostile topic. The other gives the lock up for 2 ms, as a frame's path does for its graph, and asks for it again; counted is what
passes beyond the 2 ms. Blocks of the two intervals alternate in one run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time

from benchmarks import report
from edge.parsing.structure import MESSAGE, tolerant_json_within
from edge.system.realtime import SWITCH_INTERVAL_S

PYTHON_S = 0.005  # the interpreter's default
AWAY_S = 0.002
ASKED = 100  # times a block
MESSAGE_BYTES = json.dumps({f"{key:018x}": key for key in range(9_000)}).encode()


def main() -> None:
    """Alternate the intervals and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=7, help="of each interval")
    options = parser.parse_args()
    assert tolerant_json_within(MESSAGE_BYTES, MESSAGE), "it is read whole, not refused at its beginning"
    waits_ms: dict[float, list[float]] = {PYTHON_S: [], SWITCH_INTERVAL_S: []}
    before_s = sys.getswitchinterval()
    over = threading.Event()
    reader = threading.Thread(target=_read, args=(over,))
    reader.start()
    try:
        for _ in range(options.blocks):
            for interval_s, waited in waits_ms.items():
                sys.setswitchinterval(interval_s)
                waited += [_wait_ms() for _ in range(ASKED)]
    finally:
        over.set()
        reader.join()
        sys.setswitchinterval(before_s)
    report.write(
        "lock_wait",
        title="Waiting for the interpreter lock beside a thread that parses",
        rows=[
            {
                "interval": "Python's" if interval_s == PYTHON_S else "the daemon's",
                "interval ms": interval_s * 1e3,
                "waited p50 ms": statistics.median(waited),
                "p95 ms": report.percentile(waited, 95),
                "p99 ms": report.percentile(waited, 99),
            }
            for interval_s, waited in waits_ms.items()
        ],
        notes=[f"{options.blocks} blocks of {ASKED} waits for each interval, in turn, in one process."],
    )


def _read(over: threading.Event) -> None:
    while not over.is_set():
        tolerant_json_within(MESSAGE_BYTES, MESSAGE)


def _wait_ms() -> float:
    """How much longer than asked for a pause is."""
    began_s = time.perf_counter()
    time.sleep(AWAY_S)
    return (time.perf_counter() - began_s - AWAY_S) * 1e3


if __name__ == "__main__":
    report.run(main)
