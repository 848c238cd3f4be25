"""What the unnamed channel costs in a graph: the same tower with it and without it, in turns on one thread.

    EDGE_DATA=../shared/data python -m benchmarks.export.unnamed_cost

The channel is fitted by the toolchain on real tiles, so that its subspaces are as wide as a site's. Every round runs each graph once, in an order
that turns, and the processor's time is compared within the round: a neighbour's load meets all graphs alike.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.sets.catalogue import SETS
from edge.inference.onnx_session import open_session
from edge.manifest import Execution
from exporters import load
from exporters.job import prepare
from exporters.pictures.images import load_dataset

BOARD = "x86-64-avx2"
PICTURES = 100  # of the set at most, evenly taken: 49 neighbourhoods each are enough for a subspace as wide as a site's
WARM_UP_ROUNDS = 5
MS_PER_S = 1000
TOWER, UNNAMED = "tower", "tower, unnamed channel"


@dataclass(slots=True)
class Run:
    """One graph: its name, and the processor's time of each round, ms."""

    name: str
    session: Any
    cpu_ms: list[float] = field(default_factory=list)


def main() -> None:
    """Fit, export both graphs, time them in turns, write the result."""
    parser = argparse.ArgumentParser(description="The unnamed channel's share of a frame's time.")
    parser.add_argument("--rounds", type=int, default=100, help="through both graphs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unnamed-cost-") as work:
        runs, frames, width = _runs(Path(work))
        _time(runs, frames, options.rounds)
    report.write(
        "unnamed_cost",
        title="The unnamed channel: what it adds to a frame",
        rows=[_row(run, runs) for run in runs],
        notes=[
            f"EfficientNet-Lite0 at 224 px, float32, one thread; {options.rounds} rounds, each through both graphs in an order that turns.",
            f"Fitted on at most {PICTURES} real tiles, faults painted on the normal ones; the channel's subspaces hold {width} directions.",
            "over the tower alone: median over rounds of the processor's time, as a ratio to that of the same round.",
        ],
    )


def _row(run: Run, runs: Sequence[Run]) -> dict[str, object]:
    ratios = np.divide(run.cpu_ms, runs[0].cpu_ms)
    low, high = np.percentile(ratios, [25, 75])
    return {
        "graph": run.name,
        "CPU ms, least": round(min(run.cpu_ms), 2),
        "CPU ms, median": round(float(np.median(run.cpu_ms)), 2),
        "over the tower alone": round(float(np.median(ratios)), 3),
        "middle half of rounds": f"{low:.3f} to {high:.3f}",
    }


def _runs(work: Path) -> tuple[list[Run], NDArray[np.uint8], str]:
    """The graphs, frames to run them on, and how wide the channel's two subspaces are."""
    from torch import Tensor, nn  # noqa: PLC0415 - after the arguments have been read

    from exporters.fit import heads  # noqa: PLC0415 - imports torch
    from exporters.graph.export import export  # noqa: PLC0415 - likewise

    class Pooled(nn.Module):
        """No head: the mean of the last layer that the heads read, so that the tower is as deep as theirs."""

        sees_frame = False

        def __init__(self, depths: Sequence[float]) -> None:
            super().__init__()
            self.depths = tuple(depths)

        def forward(self, pooled: Tensor, *layers: Tensor) -> Tensor:
            """See the class."""
            del pooled
            return layers[-1].mean(dim=1)

    job = prepare(SETS["magnetic_tile"].recipe_file, BOARD)
    recipe = job.recipe.model_copy(update={"images": job.recipe.images.model_copy(update={"limit": PICTURES})})
    dataset = load_dataset(recipe, job.base, job.input)
    model = load.load(job.checkpoint, job.family, streamed=False)
    unnamed = heads.fit_unnamed(recipe, model.features, dataset, log=print).module
    runs: list[Run] = []
    for name, head in ((TOWER, Pooled(unnamed.depths)), (UNNAMED, unnamed)):
        graph = export(model.graph((), head.eval()), job.input.height, job.input.width, work / f"{len(runs)}.onnx")
        execution = Execution(graph=graph.name, provider=job.provider, intra_op_threads=1, scheme="float32")
        runs.append(Run(name, open_session(graph, execution)))
    width = " and ".join(str(residual.basis.shape[1]) for residual in (unnamed.near, unnamed.whole))
    return runs, dataset.frames, width


def _time(runs: Sequence[Run], frames: NDArray[np.uint8], rounds: int) -> None:
    """The first rounds warm up and do not count."""
    for round_ in range(WARM_UP_ROUNDS + rounds):
        frame = frames[round_ % len(frames)][None]
        turn = round_ % len(runs)
        for run in (*runs[turn:], *runs[:turn]):
            start = time.process_time()
            run.session.run(None, {"frame": frame})
            if round_ >= WARM_UP_ROUNDS:
                run.cpu_ms.append(MS_PER_S * (time.process_time() - start))


if __name__ == "__main__":
    report.run(main)
