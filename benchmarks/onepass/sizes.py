"""What a streamed export needs at real sizes against the plan, and whether ONNX Runtime runs what was written.

    python -m benchmarks.onepass sizes smolvlm-256m qwen35-0.8b --folder FOLDER

One size at a time: the checkpoint is made, streamed in a fresh process, run in another, and deleted. Sizes measured before stay in the results.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from benchmarks import report
from benchmarks.bars import RESULTS
from benchmarks.onepass import shapes
from exporters.checkpoint.folder import read_checkpoint
from exporters.model import StreamPlan
from exporters.onepass.assembly import stream
from exporters.onepass.plan import plan_stream

NAME = "onepass_sizes"
QUESTIONS = 8
GIB = 2**30


def export_one(size: str, scheme: str, folder: Path) -> dict[str, Any]:
    """In a process of its own: stream the checkpoint in `folder`, and say what it took."""
    start = time.perf_counter()
    checkpoint = read_checkpoint(folder)
    family = shapes.FAMILIES[shapes.SIZES[size][0]]
    prompts = family.compile(checkpoint, shapes.questions(QUESTIONS))
    written = stream(family, checkpoint, prompts, folder / f"{scheme}.onnx", scheme=scheme)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "wall_s": time.perf_counter() - start,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
        "output_bytes": written.bytes,
        "quantized": written.quantized,
    }


def run_one(graph: Path) -> dict[str, Any]:
    """In a process of its own: load a graph and run a frame; logits must be numbers that are not all the same."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    edge = session.get_inputs()[0].shape[1]
    frame = np.random.default_rng(shapes.SEED).integers(0, 256, (1, edge, edge, 3), dtype=np.uint8)
    session.run(None, {"frame": frame})
    start = time.process_time()
    (logits,) = session.run(None, {"frame": frame})
    used = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "run_cpu_s": used,
        "run_peak_bytes": peak,
        "finite": bool(np.isfinite(logits).all() and logits.std() > 0),
        "spread": float(logits.std()),
    }


def main(arguments: argparse.Namespace) -> None:
    """Measure the sizes that were named; plan all that are known."""
    kept = _kept()
    for size in arguments.sizes:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
            folder = shapes.make_checkpoint(size, Path(scratch))
            found = _child("export", size, arguments.scheme, str(folder))
            (folder / "model.safetensors").unlink()  # the graph stands alone from here on
            found |= _child("run", str(folder / f"{arguments.scheme}.onnx"))
        kept[f"{size} {arguments.scheme}"] = found
        write(kept)
    write(kept)


def write(kept: dict[str, dict[str, Any]]) -> None:
    """The table, with every size's plan recomputed."""
    rows = []
    for size in shapes.SIZES:
        scheme = "dynamic-int8"
        planned = _plan(size, scheme)
        found = kept.get(f"{size} {scheme}", {})
        rows.append(
            {
                "checkpoint": size,
                "output GiB": _pair(planned.output_bytes / GIB, found.get("output_bytes", 0) / GIB),
                "peak RSS of the export GiB": _pair(planned.peak_bytes / GIB, found.get("peak_bytes", 0) / GIB),
                "export CPU s": _pair(planned.cpu_seconds, found.get("cpu_s", 0)),
                "largest error of the plan": _worst(planned, found),
                "RSS running GiB": _pair(planned.runtime_bytes / GIB, found.get("run_peak_bytes", 0) / GIB),
                "one frame CPU s": f"{found['run_cpu_s']:.2f}" if found else "-",
                "logits finite": ("yes" if found["finite"] else "NO") if found else "-",
            }
        )
    path = report.write(
        NAME,
        title="One pass: streamed exports of real sizes, planned / measured",
        rows=rows,
        notes=[
            "Random float16 weights of the true configuration, the tower's own resolution (Qwen3.5: 448 px), 8 questions, dynamic int8.",
            (
                "Peak RSS is ru_maxrss of a fresh process, the checkpoint's mapped pages included; the time is processor time, because the "
                "machine was shared, and includes importing torch and transformers."
            ),
            "The largest error is over output, peak RSS and time of the export.",
            "A row with a dash was not measured: it does not fit this machine beside the others, and stands for `plan` only.",
        ],
    )
    document = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(document | {"measured": kept}, indent=1) + "\n")


def _plan(size: str, scheme: str) -> StreamPlan:
    family = shapes.FAMILIES[shapes.SIZES[size][0]]
    return plan_stream(shapes.shapes_of(size), scheme, passes=2 if family.forms[0] == "prefix" else 1)


def _worst(planned: StreamPlan, found: dict[str, Any]) -> str:
    if not found:
        return "-"
    pairs = (
        (planned.output_bytes, found["output_bytes"]),
        (planned.peak_bytes, found["peak_bytes"]),
        (planned.cpu_seconds, found["cpu_s"]),
    )
    return f"{max(abs(wanted / real - 1) for wanted, real in pairs) * 100:.0f} %"


def _pair(planned: float, found: float) -> str:
    return f"{planned:.3g} / {found:.3g}" if found else f"{planned:.3g} / -"


def _kept() -> dict[str, dict[str, Any]]:
    file = RESULTS / f"{NAME}.json"
    measured: dict[str, dict[str, Any]] = json.loads(file.read_text()).get("measured", {}) if file.exists() else {}
    return measured


def _child(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.onepass.sizes", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


if __name__ == "__main__":
    mode, *rest = sys.argv[1:]
    print(json.dumps(export_one(rest[0], rest[1], Path(rest[2])) if mode == "export" else run_one(Path(rest[0]))))
