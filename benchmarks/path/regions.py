"""Eight regions of a frame over one: what each takes, one after another as the daemon computes them, and in one batch of the same graph.

Run from the repository root: ``python -m benchmarks.path.regions``. Full HD pictures, the example bundle, one thread. Every round takes each way in turn, and
the ratio is the median over rounds. Times are processor time of this process, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks import material, report
from edge.assembly import load_engine
from edge.bundle import open_bundle
from edge.inference.engine import Engine
from edge.inference.preprocess import CALIBRATION, Preprocessor, decode_rgb, encode_jpeg
from edge.region import Region
from edge.units import NS_PER_MS
from tests.stand.daemon import ROOT

BUNDLE = ROOT / "examples" / "bundles" / "line"
SIZE = (1920, 1080)
COUNT = 8
REGIONS = tuple(
    Region(f"r{number}", column / 4, row / 2, 0.25, 0.5)
    for number, (row, column) in enumerate(product(range(2), range(4)))
)
BATCHES = (2, 4, COUNT)
SHAPED = ("Reshape", "Expand", "Resize")  # operators with the number of pictures among their constants
WARM_UP = 3


def main() -> None:
    """Measure and write results/regions.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    frames, origin = material.frames_720p(1)
    large = np.asarray(cv2.resize(decode_rgb(frames[0]), SIZE, interpolation=cv2.INTER_CUBIC), np.uint8)
    encoded = encode_jpeg(large, 90)
    bundle = open_bundle(BUNDLE)
    engine = load_engine(bundle)
    spec = bundle.manifest.frame_input
    one, eight = (Preprocessor(spec, CALIBRATION, regions) for regions in (REGIONS[:1], REGIONS))
    pictures = [eight.fit(large, region) for region in REGIONS]
    graph = BUNDLE / bundle.manifest.execution.graph
    sessions = {count: batched(graph, count) for count in BATCHES}
    batch = np.concatenate(pictures)
    alone = np.stack([engine.run(picture) for picture in pictures])
    apart = max(float(np.abs(in_batches(session, spec.name, batch) - alone).max()) for session in sessions.values())
    found = in_turn(
        {
            "1 region": lambda: frame(one, engine, encoded),
            "8 regions": lambda: frame(eight, engine, encoded),
            "8 runs": lambda: [engine.run(picture) for picture in pictures],
            **{
                f"batches of {count}": partial(in_batches, session, spec.name, batch)
                for count, session in sessions.items()
            },
        },
        options.rounds,
    )
    each = {name: took if name == "1 region" else took / COUNT for name, took in found.items()}
    report.write(
        "regions",
        title="Eight regions of a full HD frame: processor time for each",
        rows=[
            row("frame of 8 regions, each over that of 1", each["8 regions"], each["1 region"]),
            *(
                row(
                    f"graph alone: batches of {count}, each over single runs",
                    each[f"batches of {count}"],
                    each["8 runs"],
                )
                for count in BATCHES
            ),
        ],
        notes=[
            f"JPEG of {SIZE[0]}x{SIZE[1]} ({origin}); a frame is decoded, fitted as a whole for its picture quality, and then region by region; {options.rounds} rounds.",
            f"A batch is the bundle's graph with the number of pictures in its constants; its scores differ from single runs by {apart:.1g} at most.",
            "On one thread a batch wins little or nothing: one picture keeps the thread busy, and a larger batch probably leaves the cache. So the daemon runs them one by one.",
        ],
    )


def frame(stage: Preprocessor, engine: Engine, encoded: bytes) -> None:
    """What the path of a frame does, without what decides and publishes."""
    rgb, _ = stage.decode(encoded)
    stage.fit(rgb)
    for region in stage.regions:
        engine.run(stage.fit(rgb, region))


def batched(graph: Path, count: int) -> ort.InferenceSession:
    """A graph of one picture as one of so many."""
    model = onnx.load(str(graph))
    shaped = {name for node in model.graph.node if node.op_type in SHAPED for name in node.input[1:]}
    for constant in model.graph.initializer:
        if constant.name in shaped and constant.data_type == onnx.TensorProto.INT64:
            sizes = onnx.numpy_helper.to_array(constant).copy()
            sizes[0] = count
            constant.CopyFrom(onnx.numpy_helper.from_array(sizes, constant.name))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = count
    del model.graph.value_info[:]  # they say the old number
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def in_batches(session: ort.InferenceSession, name: str, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scores of all pictures, so many at a time as the graph takes."""
    count = session.get_inputs()[0].shape[0]
    runs = (session.run(None, {name: pictures[begin : begin + count]})[0] for begin in range(0, len(pictures), count))
    return np.concatenate(list(runs))


def in_turn(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, NDArray[np.float64]]:
    """Processor time of each way in each round, ms."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(WARM_UP + rounds):
        for name, way in ways.items():
            began_ns = time.process_time_ns()
            way()
            if number >= WARM_UP:
                took[name].append((time.process_time_ns() - began_ns) / NS_PER_MS)
    return {name: np.array(values) for name, values in took.items()}


def row(name: str, each: NDArray[np.float64], single: NDArray[np.float64]) -> dict[str, object]:
    """A row of the table: ms of each way and the median of their ratios."""
    ratios = each / single
    return {
        "what": name,
        "ms each": round(float(np.median(each)), 2),
        "ms single": round(float(np.median(single)), 2),
        "ratio": round(float(np.median(ratios)), 3),
        "quartiles": "{:.3f}..{:.3f}".format(*np.percentile(ratios, [25, 75])),
    }


if __name__ == "__main__":
    report.run(main)
