"""A bundle by ONNX Runtime's OpenVINO provider against the CPU's: scores, time, and what falls back. Three processes take turns.

    python -m benchmarks.export.openvino --python build/openvino-venv/bin/python

OpenVINO's build of ONNX Runtime has an environment of its own (`make openvino`). Its CPU provider, which is older than ours, is the third side.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks import report
from edge.bundle import Bundle, open_bundle
from exporters.device import CPU
from exporters.proof.verify import golden_tolerance

ROOT = Path(__file__).parents[2]
BUNDLES = (ROOT / "examples" / "bundles" / "line",)
PICTURES = ROOT / "build" / "line-images"
OPENVINO = "OpenVINOExecutionProvider"
ROUNDS, RUNS = 20, 5  # turns of each, and runs in a turn
LATEST_S = 30.0


class Side:
    """One provider in a process of its own."""

    def __init__(self, python: str, bundle: Path, provider: str) -> None:
        command = [python, "-m", "benchmarks.export.provider_worker", str(bundle.resolve()), provider]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.ready: dict[str, Any] = self._heard()

    def ask(self, **order: object) -> Any:  # noqa: ANN401 - JSON
        """An order and its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._heard()

    def stop(self) -> None:
        """No more orders."""
        self._process.kill()
        self._process.wait()

    def _heard(self) -> Any:  # noqa: ANN401 - JSON
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a side of the comparison ended: run its command by hand to see why")
        return json.loads(line)


def main() -> None:
    """Compare every bundle and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--python", required=True, help="interpreter of OpenVINO's environment")
    parser.add_argument("--bundle", type=Path, nargs="+", default=BUNDLES, help="bundle folders")
    parser.add_argument("--pictures", type=Path, default=PICTURES, help="folder of pictures, *.jpg at any depth")
    parser.add_argument("--limit", type=int, default=60, help="pictures at most, evenly taken")
    options = parser.parse_args()
    everything = sorted(options.pictures.rglob("*.jpg"))
    if not everything:
        raise SystemExit(f"{options.pictures} has no pictures: `make build/line-images`")
    some = np.linspace(0, len(everything) - 1, min(options.limit, len(everything))).astype(int)
    rows: list[dict[str, object]] = []
    versions: set[str] = set()
    for path in options.bundle:
        with ExitStack() as stack:
            sides = []
            for python, provider in ((sys.executable, CPU), (options.python, OPENVINO), (options.python, CPU)):
                sides.append(Side(python, path, provider))
                stack.callback(sides[-1].stop)
            rows.append(_compare(open_bundle(path), sides, [str(everything[index]) for index in some]))
            versions |= {f"{side.ready['onnxruntime']}" for side in sides}
    report.write(
        "openvino",
        title="OpenVINO's provider against the CPU's",
        rows=rows,
        notes=[
            (
                f"ONNX Runtime {' and '.join(sorted(versions))}; one thread each, three processes that take turns of {RUNS} runs, {ROUNDS} turns each. `ms` is the fastest run of each: "
                "on a loaded machine it is nearer to the graph's own time than a median. Two runs whose medians were compared gave 0.9 and 1.5 times as fast, so "
                "whether OpenVINO is faster is not settled here: measure on the board."
            ),
            (
                "Differences are of the OpenVINO provider's scores from those of our CPU provider, on the same machine. `of goldens`: from the scores in the "
                "bundle, which the daemon holds against `golden_tolerance`. Above it the daemon refuses the bundle with that provider: build it with `--runtime`."
            ),
            "OpenVINO runs on the processor alone here, in float32 where the graph is not quantized. No Intel processor and no Intel GPU was used.",
        ],
    )


def _compare(bundle: Bundle, sides: Sequence[Side], pictures: list[str]) -> dict[str, object]:
    manifest = bundle.manifest
    goldens = [str(bundle.path / golden.file) for golden in manifest.proof.golden]
    expected = np.array([golden.scores for golden in manifest.proof.golden])
    limits = np.array([fault.threshold for fault in manifest.frame_faults])
    proven = [np.abs(np.array(side.ask(score=goldens)) - expected).max() for side in sides]
    ours, theirs, _ = (np.array(side.ask(score=pictures)) for side in sides)
    spent: list[list[float]] = [[] for _ in sides]
    for _ in range(ROUNDS):
        for side, mine in zip(sides, spent, strict=True):
            mine.extend(side.ask(run=RUNS))
    ours_ms, theirs_ms, older_ms = (min(one) for one in spent)
    facts = [side.ask(facts=True) for side in sides]
    nodes = facts[1]["nodes"]
    return {
        "bundle": f"{manifest.name}, {manifest.execution.scheme}, made for {manifest.execution.provider.removesuffix('ExecutionProvider')}",
        "pictures": len(pictures),
        "mean difference": float(np.abs(ours - theirs).mean()),
        "largest difference": float(np.abs(ours - theirs).max()),
        "verdicts that flip": f"{int(((ours >= limits) != (theirs >= limits)).sum())} of {ours.size}",
        "of goldens, CPU": float(proven[0]),
        "of goldens, OpenVINO": float(proven[1]),
        "allowed": golden_tolerance(manifest.execution.scheme),
        "ms, CPU": ours_ms,
        "ms, OpenVINO": theirs_ms,
        "ms, its own CPU provider": older_ms,
        "times as fast": ours_ms / theirs_ms,
        "operators of the graph": len(onnx.load(bundle.graph, load_external_data=False).graph.node),
        "fall back to the CPU": sum(nodes.get(CPU, {}).values()),
        "load s, CPU": sides[0].ready["load_s"],
        "load s, OpenVINO": sides[1].ready["load_s"],
        "memory MiB, CPU": facts[0]["rss_mib"],
        "memory MiB, OpenVINO": facts[1]["rss_mib"],
    }


if __name__ == "__main__":
    report.run(main)
