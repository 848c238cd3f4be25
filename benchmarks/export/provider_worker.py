"""One bundle by one execution provider, in a process that does what it is told line by line: the two sides of `benchmarks.export.openvino`.

    python -m benchmarks.export.provider_worker BUNDLE PROVIDER

It needs the daemon's install alone, so that it runs in OpenVINO's environment too.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from edge.assembly import load_engine
from edge.bundle import open_bundle
from edge.health.status import rss_mib
from edge.inference.preprocess import CALIBRATION, Preprocessor


def main() -> None:
    """Load, then answer one line of JSON with another until there are no more."""
    bundle, provider = open_bundle(Path(sys.argv[1])), sys.argv[2]
    stage = Preprocessor(bundle.manifest.frame_input, CALIBRATION)
    tensors: list[NDArray[np.uint8]] = []
    began = time.monotonic()
    engine = load_engine(bundle, 1, provider)
    _say({"onnxruntime": ort.__version__, "load_s": time.monotonic() - began})
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        if pictures := order.get("score"):
            tensors = [stage.prepare(Path(picture).read_bytes()) for picture in pictures]
            _say([engine.run(tensor).tolist() for tensor in tensors])
        elif runs := order.get("run"):
            _say([spent / 1e6 for spent in engine.warm_up(tensors[0], runs, time.perf_counter_ns)])
        else:
            _say(
                {
                    "rss_mib": rss_mib(),
                    "nodes": _nodes(bundle.graph, provider, bundle.manifest.frame_input.name, tensors[0]),
                }
            )


def _nodes(graph: Path, provider: str, name: str, tensor: NDArray[np.uint8]) -> dict[str, dict[str, int]]:
    """Provider -> operator -> how often it ran in one run, with leave to fall back to the CPU; a subgraph that was compiled whole is one operator."""
    with tempfile.TemporaryDirectory(prefix="nodes-") as folder:
        options = ort.SessionOptions()
        options.enable_profiling = True
        options.profile_file_prefix = f"{folder}/profile"
        session = ort.InferenceSession(str(graph), options, providers=[provider])
        session.run(None, {name: tensor})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found: dict[str, Counter[str]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            operator = event["args"]["op_name"]
            found.setdefault(event["args"]["provider"], Counter())[operator] += 1
    return {one: dict(operators) for one, operators in found.items()}


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
