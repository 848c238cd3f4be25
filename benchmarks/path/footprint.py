"""What the daemon takes: memory beside the model, disk for a fresh install, seconds to be ready.

Run from the repository root: ``python -m benchmarks.path.footprint``. The install is a fresh virtual environment from deploy/locks/daemon.txt, and the
daemon that is measured runs from it; without ``--install`` this environment's interpreter is used and the install size is left out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks import material, report
from benchmarks.graphs import SHAPES, vit_graph
from tests.stand import daemon as rig

MIB, MB = 2**20, 1e6
WATCHED_S = 20.0
FPS = 10.0
INSTALLERS = ("pip", "setuptools", "_distutils_hack", "pkg_resources", "wheel")


def main() -> None:
    """Measure and write results/footprint.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--graphs", nargs="+", default=["ti-112", "ti-224", "s-224"], choices=sorted(SHAPES))
    parser.add_argument("--install", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--venv", type=Path, help="where the fresh environment goes, or one that is there from before")
    options = parser.parse_args()
    frames, _ = material.frames_720p()
    with tempfile.TemporaryDirectory() as folder:
        python, notes = sys.executable, []
        if options.install:
            python, note = install(options.venv or Path(folder) / "venv")
            notes.append(note)
        rows = [measure(name, options.starts, python, frames) for name in options.graphs]
    report.write(
        "footprint",
        title="What the daemon takes",
        rows=rows,
        notes=[
            *notes,
            f"Memory: resident after {WATCHED_S:g} s of 720p frames at {FPS:g} fps; beside the model: less the graph's file. Goal: 120 MB.",
            f"Start: process start to the log line `ready`, median of {options.starts}; hashes, golden inputs and 8 to 20 timed runs of the graph are inside. Goal: 2 s.",
        ],
    )


def install(folder: Path) -> tuple[str, str]:
    """A fresh environment from the lock file: its interpreter, and what it weighs."""
    python = str(folder / "bin" / "python")
    lock = rig.ROOT / "deploy" / "locks" / "daemon.txt"
    if not folder.exists():
        venv.create(folder, with_pip=True)
        command = [python, "-m", "pip", "install", "-q", "--require-hashes", "--no-deps", "-r", str(lock)]
        subprocess.run(command, check=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    ours = sum(_bytes(rig.ROOT / name) for name in ("edge", "exporters", "devices"))
    theirs = sum(_bytes(item) for item in packages.iterdir() if not item.name.startswith(INSTALLERS))
    largest = sorted(packages.iterdir(), key=_bytes, reverse=True)[:5]
    parts = ", ".join(f"{item.name} {_bytes(item) / MB:.0f}" for item in largest)
    return python, (
        f"Install size: {(theirs + ours) / MB:.0f} MB ({theirs / MB:.0f} MB of libraries as installed, our source {ours / MB:.1f} MB; "
        f"largest: {parts} MB). Goal: 250 MB."
    )


def measure(name: str, starts: int, python: str, frames: Sequence[bytes]) -> dict[str, object]:
    """One row: a graph's daemon, started again and again, then watched."""
    shape = SHAPES[name]
    graph = vit_graph(shape, 8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bundle"
        material.write_graph_bundle(path, graph, size=shape.size, faults=8, budget_ms=1000.0)
        took_s = []
        for _ in range(starts):
            with rig.bench(path, python=python) as (_, daemon, _):
                took_s.append(daemon.ready_s)
        with rig.bench(path, python=python) as (broker, daemon, ear):
            sender = rig.Sender(broker.port)
            sender.knock(ear, frames[0])
            first_mib = daemon.rss_mib()
            rig.pace(
                round(WATCHED_S * FPS), FPS, lambda index: sender.publish(rig.FRAME_TOPIC, frames[index % len(frames)])
            )
            time.sleep(0.5)
            rss_mib = daemon.rss_mib()
            sender.close()
    model_mib = len(graph) / MIB
    return {
        "graph": name,
        "model MB": round(model_mib * MIB / MB, 1),
        "RSS MB": round(rss_mib * MIB / MB, 1),
        "beside the model MB": round((rss_mib - model_mib) * MIB / MB, 1),
        "RSS after the first frame MB": round(first_mib * MIB / MB, 1),
        "start s": round(float(np.median(took_s)), 2),
        "start s, least..most": f"{min(took_s):.2f}..{max(took_s):.2f}",
    }


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(item.lstat().st_size for item in files if item.is_file() and "__pycache__" not in item.parts)


if __name__ == "__main__":
    report.run(main)
