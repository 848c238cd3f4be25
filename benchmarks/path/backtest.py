"""Pictures a second of a backtest: in one process, in two, and on a Ray cluster of two nodes: ``python -m benchmarks.path.backtest``.

Run it with the Python of Ray's environment as ``--ray`` (`make ray`); without it the cluster is left out. The ways take turns. Beside them stands what one
core has done in the time that the recording took: how much faster than the plant itself a backtest is.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import material, report
from benchmarks.graphs import SHAPES, vit_graph
from tests.stand.cluster import cluster

EVERY_S = 2.0  # as `record --every 2s` keeps them


def main() -> None:
    """Measure and write results/backtest.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--graph", default="ti-112", choices=sorted(SHAPES))
    parser.add_argument("--ray", type=Path, metavar="PYTHON", help="the Python of an environment with Ray")
    options = parser.parse_args()
    frames, origin = material.frames_720p()
    shape = SHAPES[options.graph]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        material.write_graph_bundle(folder / "bundle", vit_graph(shape, 1), size=shape.size, faults=1, budget_ms=40.0)
        _record(folder / "recording", frames, options.pictures)
        command = ["-m", "exporters", "backtest", str(folder / "bundle"), "--recording", str(folder / "recording")]
        ways = {
            "one process": [sys.executable, *command],
            "two processes": [sys.executable, *command, "--workers", "2"],
        }
        if options.ray is None:
            rows = _measured(ways, options.pictures, options.rounds)
        else:
            with cluster(options.ray) as address:
                ways["Ray, two nodes of one core"] = [str(options.ray), *command, "--ray", address]
                rows = _measured(ways, options.pictures, options.rounds)
    report.write(
        "backtest",
        title="A backtest: one process, two, and a Ray cluster",
        rows=rows,
        notes=[
            f"{options.pictures} JPEG of 720p ({origin}), one in {EVERY_S:g} s of the plant's time; graph of the {options.graph} class, as its bundle runs it.",
            "Whole commands: start, opening and proving the bundle, scores, replay and report. The cluster runs already; both nodes are this machine.",
            "Every way prints the same report, byte for byte; the run ends if it does not.",
        ],
    )


def _record(folder: Path, frames: list[bytes], count: int) -> None:
    folder.mkdir()
    for number in range(count):
        hour, rest = divmod(int(number * EVERY_S), 3600)
        content = frames[number % len(frames)]
        (folder / f"20270115T{hour:02d}{rest // 60:02d}{rest % 60:02d}Z.jpg").write_bytes(content)


def _measured(ways: dict[str, list[str]], pictures: int, rounds: int) -> list[dict[str, object]]:
    took_s: dict[str, list[float]] = {way: [] for way in ways}
    said: set[str] = set()
    for _ in range(rounds):
        for way, command in ways.items():
            began_s = time.monotonic()
            said.add(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            took_s[way].append(time.monotonic() - began_s)
            if len(said) > 1:
                raise SystemExit(f"{way} gave another report")
    alone_s = report.percentile(took_s["one process"], 50)
    return [
        {
            "way": way,
            "s": round(report.percentile(found, 50), 1),
            "lowest..highest s": f"{min(found):.1f}..{max(found):.1f}",
            "pictures a second": round(pictures / report.percentile(found, 50)),
            "times one process": round(alone_s / report.percentile(found, 50), 2),
            "times the plant's own pace": round(pictures * EVERY_S / report.percentile(found, 50)),
        }
        for way, found in took_s.items()
    ]


if __name__ == "__main__":
    report.run(main)
