"""Pretrained towers in turns: size, time of one frame on one thread, and how near int8 keeps the patch features.

    python -m benchmarks.export.towers [FOLDER ...]

Each folder is one that `edge-export tower` wrote. What is timed is frame to pooled and patch features of its own layers, no head. Half of the
pictures calibrate the static ranges, the other half is compared. Rounds are interleaved, so a neighbour's load meets all of them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.material import DATA
from edge.inference.onnx_session import open_session
from edge.manifest import Execution
from exporters import load
from exporters.recipe import find_images

LITE0 = Path("examples/towers/efficientnet-lite0")
SCHEMES = ("float32", "static-int8", "dynamic-int8")
PICTURES = 64
ROUNDS = 40


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description="Size, time and int8 of pretrained towers.")
    parser.add_argument("towers", type=Path, nargs="*", default=[LITE0], help="folders that edge-export tower wrote")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="towers-") as work:
        runs = [run for tower in options.towers for run in _runs(tower, Path(work))]
        _time(runs)
    report.write(
        "towers",
        title="Pretrained towers: size, time and how near int8 keeps their features",
        rows=[_row(run, runs) for run in runs],
        notes=[
            f"{PICTURES} real pictures of the open halves: every second one for the static ranges, the others compared.",
            f"One thread; {ROUNDS} rounds, each through every graph in turn. Read the ratio: both graphs met the same load.",
            "cosine: mean over pictures and places, of the pooled vector or the layer that differs most.",
        ],
    )


def _row(run: dict[str, Any], runs: list[dict[str, Any]]) -> dict[str, object]:
    plain = next(one for one in runs if one["name"] == run["name"])
    return {
        "tower, layers": run["name"],
        "scheme": run["scheme"],
        "graph MB": round(run["mb"], 1),
        "ms, least": round(min(run["ms"]), 1),
        "ms, median": round(float(np.median(run["ms"])), 1),
        "over float32 (median of rounds)": round(float(np.median(np.divide(run["ms"], plain["ms"]))), 3),
        "least cosine": round(min(run["cosines"]), 4),
        "cosine: pooled, layers": ", ".join(f"{one:.4f}" for one in run["cosines"]),
    }


def _runs(folder: Path, work: Path) -> list[dict[str, Any]]:
    """One tower in each scheme, exported and compared."""
    import torch  # noqa: PLC0415 - after the arguments have been read

    from exporters.graph.export import trace  # noqa: PLC0415 - imports torch
    from exporters.graph.quantize import quantize  # noqa: PLC0415 - likewise
    from exporters.towers import loaded  # noqa: PLC0415 - likewise
    from exporters.towers.backbone import FrameTower  # noqa: PLC0415 - likewise

    checkpoint, family = load.inspect(folder)
    spec, section = family.pixels(checkpoint), checkpoint.config["tower"]
    layers = tuple(section["layers"])
    frames = _frames(spec.height, spec.width)
    backbone = loaded.load(folder, checkpoint.config, spec.height, spec.width).backbone
    tower = FrameTower(backbone, spec.mean, spec.std, layers, depth=section.get("depth")).eval()
    names = ["pooled", *(f"layer{layer}" for layer in layers)]
    plain = trace(tower, (torch.from_numpy(frames[:1]),), ["frame"], names, work / f"{folder.name}.onnx")
    wanted, runs = None, []
    for scheme in SCHEMES:
        graph = work / f"{folder.name}-{scheme}.onnx"
        if scheme == "float32":
            graph = plain
        else:
            quantize(scheme, plain, graph, frames=frames[::2], input_name="frame", reduce_range=False)
        execution = Execution(graph=graph.name, provider="CPUExecutionProvider", intra_op_threads=1, scheme=scheme)
        session = open_session(graph, execution)
        found = [session.run(names, {"frame": frame[None]}) for frame in frames[1::2]]
        wanted = found if wanted is None else wanted
        runs.append(
            {
                "name": f"{folder.name} {spec.width} px, {', '.join(map(str, layers))}", "scheme": scheme, "ms": [],
                "mb": graph.stat().st_size / 1e6, "session": session, "frame": frames[:1], "cosines": _cosines(wanted, found),
            }
        )  # fmt: skip
    return runs


def _time(runs: list[dict[str, Any]]) -> None:
    for _ in range(ROUNDS):
        for run in runs:
            start = time.perf_counter()
            run["session"].run(None, {"frame": run["frame"]})
            run["ms"].append(1000 * (time.perf_counter() - start))


def _frames(height: int, width: int) -> NDArray[np.uint8]:
    """Pictures of every set, evenly taken."""
    from PIL import Image  # noqa: PLC0415 - after the arguments have been read

    files = find_images([str(DATA / "*" / "open" / "**" / "*.jpg")], Path.cwd())
    chosen = [files[index] for index in np.linspace(0, len(files) - 1, PICTURES).astype(int)]
    return np.stack([np.asarray(Image.open(file).convert("RGB").resize((width, height))) for file in chosen])


def _cosines(wanted: list[list[NDArray[np.float32]]], found: list[list[NDArray[np.float32]]]) -> list[float]:
    """Mean cosine of each output, over pictures and places."""
    means = []
    for theirs, ours in zip(zip(*wanted, strict=True), zip(*found, strict=True), strict=True):
        left, right = np.concatenate(theirs), np.concatenate(ours)
        size = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
        means.append(float(((left * right).sum(-1) / np.maximum(size, 1e-12)).mean()))
    return means


if __name__ == "__main__":
    report.run(main)
