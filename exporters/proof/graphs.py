"""Makes one ONNX file for each quantization scheme from the compiled module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporters.graph import export, quantize
from exporters.graph.export import GRAPH_FILE
from exporters.handed_on import Compiled
from exporters.job import Job
from exporters.model import INT4
from exporters.pictures.images import Dataset
from exporters.progress import Progress
from exporters.proof import calibrate


def write_graphs(
    job: Job, compiled: Compiled, dataset: Dataset, folder: Path, step: Progress
) -> dict[tuple[str, str], Path]:
    """(Provider, scheme) -> file. Providers share files, unless only one of them has attention as one operator."""
    forms: dict[bool, dict[str, Path]] = {}
    for provider in job.providers:
        fused = job.fused(provider)
        if fused not in forms:
            own = folder if not forms else folder / provider
            own.mkdir(exist_ok=True)
            forms[fused] = _write(job, compiled, dataset, own, step, fused=fused)
    return {
        (provider, scheme): graph for provider in job.providers for scheme, graph in forms[job.fused(provider)].items()
    }


def _write(
    job: Job, compiled: Compiled, dataset: Dataset, folder: Path, step: Progress, *, fused: bool
) -> dict[str, Path]:
    """Scheme -> file. In memory the float one is always made, being what the others come from; a stream writes each by itself."""
    graphs: dict[str, Path] = {}
    for scheme in job.schemes:
        if job.streamed or scheme == INT4:
            step("stream", f"{scheme}, tensor by tensor")
            graphs[scheme] = stream(job, compiled, folder / scheme / GRAPH_FILE, scheme)
    if job.streamed:
        return graphs
    step("export", "torch to ONNX")
    plain = export.export(
        compiled.module, job.input.height, job.input.width, folder / "float32.onnx",
        in_folds=bool(dataset.folds), fused=fused,
    )  # fmt: skip
    graphs["float32"] = plain
    frames = _calibration_frames(job, dataset)
    for scheme in job.schemes:
        if scheme not in graphs:
            step("quantize", scheme)
            graphs[scheme] = quantize.quantize(
                scheme, plain, folder / f"{scheme}.onnx", frames=frames, input_name=export.INPUT,
                reduce_range=job.board.reduce_range,
            )  # fmt: skip
    return graphs


def stream(job: Job, compiled: Compiled, target: Path, scheme: str) -> Path:
    """One scheme, written tensor by tensor."""
    return compiled.model.stream(job.questions, compiled.scale, target, scheme)


def _calibration_frames(job: Job, dataset: Dataset) -> NDArray[np.uint8]:
    """Normal images that calibrate, evenly spread; any where there are none, or all are synthetic."""
    pool = np.flatnonzero(calibrate.calibrating(job.recipe, dataset))
    if dataset.synthetic or not len(pool):
        pool = np.arange(len(dataset.frames))
    count = min(job.recipe.quantization.calibration_images, len(pool))
    chosen: NDArray[np.uint8] = dataset.frames[pool[np.linspace(0, len(pool) - 1, count).astype(int)]]
    return chosen
