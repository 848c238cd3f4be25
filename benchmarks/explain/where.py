"""How well an explanation locates a fault: `python -m benchmarks.explain.where`.

Scenes of the simulated line with a fault that the demo's bundle flags, and the mask of where it was drawn. Compared: covering the picture place by place,
as the daemon does (`edge.explain.where`), on grids of several sizes; the evidence of each patch inside the fitted head, which only such bundles have;
and always saying "the middle".
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper

from benchmarks import report
from edge.assembly import load_engine
from edge.bundle import open_bundle
from edge.explain import where
from edge.inference.engine import Engine
from edge.inference.preprocess import Preprocessor
from examples.line.scene import render, sample_spec
from tests.stand.daemon import ROOT

DEMO = ROOT / "examples" / "bundles" / "line"
NEAR = 0.08  # of the picture's width, from the mask
WHOLE = {"blocked_lens", "misaligned_part"}  # faults without one place

Point = tuple[float, float] | None


@dataclass(frozen=True)
class Case:
    """A picture that is flagged: tensor, the fault's place among the scores, its score, and where it was drawn."""

    tensor: NDArray[np.uint8]
    fault: int
    score: float
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]

    def judge(self, point: Point) -> tuple[bool, bool]:
        """Whether a point is near the mask, and in the same ninth of the picture as the mask's middle."""
        if point is None:
            return False, False
        x, y = point
        near = bool(np.hypot(self.columns - x, self.rows - y).min() < NEAR)
        return near, where.in_words(x, y) == where.in_words(float(self.columns.mean()), float(self.rows.mean()))


def cases(engine: Engine, prepare: Preprocessor, ids: list[str], limits: list[float], wanted: int) -> Iterator[Case]:
    """Flagged faults with a place, from freshly drawn scenes."""
    rng, found = np.random.default_rng(2026), 0
    while found < wanted:
        spec = sample_spec(rng)
        asked = [ids.index(name) for name in spec.faults if name in ids and name not in WHOLE]
        if not asked:
            continue
        scene = render(spec)
        tensor = prepare.fit(scene.image)
        scores = engine.run(tensor)
        for fault in asked:
            mask = scene.masks.get(ids[fault])
            if mask is not None and mask.any() and scores[fault] >= limits[fault]:
                rows, columns = np.nonzero(mask)
                found += 1
                height, width = mask.shape
                yield Case(tensor, fault, float(scores[fault]), (rows + 0.5) / height, (columns + 0.5) / width)


def by_covering(engine: Engine, grid: int) -> Callable[[Case], Point]:
    """The daemon's way."""

    def find(case: Case) -> Point:
        scores = np.array(
            [[engine.run(where.cover(case.tensor, grid, r, c))[case.fault] for c in range(grid)] for r in range(grid)],
            np.float64,
        )
        place = where.find(case.score, scores)
        return None if place is None else (place.x, place.y)

    return find


def by_patches() -> Callable[[Case], Point]:
    """The evidence of each patch, read from inside the demo's graph: the middle of what its soft maximum weighs."""
    model = onnx.load(DEMO / "model.onnx")
    source = next(node.input[0] for node in model.graph.node if node.output and node.output[0] == "logsumexp")
    model.graph.output.append(helper.make_tensor_value_info(source, TensorProto.FLOAT, [1, None, None]))
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def find(case: Case) -> Point:
        evidence = session.run([source], {"frame": case.tensor})[0][0, :, case.fault]
        side = round(len(evidence) ** 0.5)
        weight = np.exp(evidence - evidence.max()).reshape(side, side)
        middles, weight = (np.arange(side) + 0.5) / side, weight / weight.sum()
        return float((weight.sum(axis=0) * middles).sum()), float((weight.sum(axis=1) * middles).sum())

    return find


def main() -> None:
    """All ways on the same pictures, and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=100)
    options = parser.parse_args()
    bundle = open_bundle(DEMO)
    engine, prepare = load_engine(bundle), Preprocessor(bundle.manifest.frame_input)
    ids, limits = zip(*((fault.id, fault.threshold) for fault in bundle.manifest.faults), strict=True)
    material = list(cases(engine, prepare, list(ids), list(limits), options.pictures))
    ways: dict[str, tuple[int, Callable[[Case], Point]]] = {
        "always the middle": (0, lambda _case: (0.5, 0.5)),
        "patch evidence of the fitted head": (1, by_patches()),
        **{f"covering, {grid} x {grid}": (grid * grid, by_covering(engine, grid)) for grid in (3, 4, 5, 6, 8)},
    }
    rows = []
    for name, (runs, find) in ways.items():
        began = time.monotonic()
        points = [find(case) for case in material]
        took_ms = (time.monotonic() - began) / len(material) * 1e3
        verdicts = np.array([case.judge(point) for case, point in zip(material, points, strict=True)], float)
        rows.append(
            {
                "way": name,
                "runs of the graph": runs,
                "ms a picture": took_ms,
                "within 8 % of the fault": f"{verdicts[:, 0].mean():.0%}",
                "the right words of nine": f"{verdicts[:, 1].mean():.0%}",
                "nowhere in particular": sum(point is None for point in points),
            }
        )
    report.write(
        "where",
        title="Where a fault is, said by an explanation",
        rows=rows,
        notes=[
            f"{len(material)} flagged faults (rust, oil, foreign objects ...) on freshly drawn scenes of the simulator; the demo's bundle.",
            "Within 8 %: from the point that is said to the nearest pixel of the fault's mask, over the picture's width.",
            "Words: the ninth in which the point lies is that of the mask's middle; near a border of ninths one is easily a word beside.",
        ],
    )


if __name__ == "__main__":
    report.run(main)
