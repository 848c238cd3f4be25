"""What the picture beside an explanation costs: `python -m benchmarks.explain.heatmap`; `--picture FILE` also writes one, to look at.

Scenes of the simulated line with a fault that the demo's bundle flags, as a camera of some size would send them. Each step that the inference thread
would do is timed on its own, because nothing stops one in the middle; a run of the frame's own graph, the step that they are compared with, in turn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import report
from edge.assembly import load_engine
from edge.bundle import Bundle, open_bundle
from edge.explain import where
from edge.explain.painting import Found, Painted, Painter
from edge.explain.where import WHOLE
from edge.frame import Frame
from edge.inference.engine import Engine
from edge.inference.preprocess import Preprocessor, encode_jpeg
from edge.site.sections import ExplainSettings, RuntimeSettings
from edge.system.realtime import make_realtime
from examples.line.scene import render, sample_spec
from tests.stand.daemon import ROOT

DEMO = ROOT / "examples" / "bundles" / "line"
SIZES = ((640, 480), (1280, 720), (1920, 1080))
FAULTS = ("rust", "oil_leak", "foreign_object")  # with one place
GRID = ExplainSettings().grid


@dataclass
class Times:
    """Of one camera: ms by kind of step, and what came of it."""

    ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    totals: list[float] = field(default_factory=list)
    painted: list[Painted | None] = field(default_factory=list)


def cases(
    bundle: Bundle, engine: Engine, prepare: Preprocessor, size: tuple[int, int]
) -> Iterator[tuple[bytes, Found]]:
    """Pictures of flagged faults that have a place, for ever, with their maps."""
    ids = [fault.id for fault in bundle.manifest.faults]
    rng = np.random.default_rng(11)
    while True:
        name = FAULTS[rng.integers(len(FAULTS))]
        encoded = encode_jpeg(render(sample_spec(rng, faults={name}), *size).image)
        tensor, fault = prepare.prepare(encoded), ids.index(name)
        whole = float(engine.run(tensor)[fault])
        if whole < bundle.manifest.faults[fault].threshold:
            continue
        scores = np.zeros((GRID, GRID))
        for row, column in np.ndindex(GRID, GRID):
            scores[row, column] = engine.run(where.cover(tensor, GRID, row, column))[fault]
        warmth = where.heat(whole, scores)
        if warmth is not None:
            yield encoded, Found(warmth, WHOLE, where.middle(warmth, WHOLE))


def time_steps(painter: Painter, encoded: bytes, found: Found, into: Times) -> None:
    """Paint one picture."""
    steps = painter.paint(Frame("cam", 0, encoded, 0, 0, 0), found)
    kind, total_ms = next(steps), 0.0
    while True:
        begun = time.perf_counter()
        try:
            following = next(steps)
        except StopIteration as end:
            following = ""
            into.painted.append(end.value)
        took_ms = (time.perf_counter() - begun) * 1e3
        into.ms[kind].append(took_ms)
        total_ms += took_ms
        if not following:
            into.totals.append(total_ms)
            return
        kind = following


@contextmanager
def in_real_time() -> Iterator[None]:
    """Scheduled as the daemon's inference thread is, where the system permits it; scenes are drawn without it."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    make_realtime(priority=RuntimeSettings().realtime_priority)
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def timed_ms(run: Callable[[], object]) -> float:
    """How long something takes."""
    begun = time.perf_counter()
    run()
    return (time.perf_counter() - begun) * 1e3


def row(size: tuple[int, int], times: Times, run_ms: list[float]) -> dict[str, object]:
    """Of one camera."""
    sizes = [painted.about.size_bytes for painted in times.painted if painted is not None]
    steps = {kind: f"{statistics.median(ms):.1f} / {report.percentile(ms, 95):.1f}" for kind, ms in times.ms.items()}
    return {
        "camera": f"{size[0]} x {size[1]}",
        "pictures": len(times.painted),
        **{f"{kind} ms, p50 / p95": told for kind, told in steps.items()},
        "whole picture ms, p50": statistics.median(times.totals),
        "one run of the graph ms, p50": statistics.median(run_ms),
        "kB, p50": statistics.median(sizes) / 1e3,
        "kB, largest": max(sizes) / 1e3,
        "left out": sum(painted is None for painted in times.painted),
    }


def main() -> None:
    """Every camera in turn, and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=30, help="of each camera")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the first one of the smallest camera")
    options = parser.parse_args()
    bundle, settings, load = open_bundle(DEMO), ExplainSettings(), os.getloadavg()[0]
    engine, prepare = load_engine(bundle), Preprocessor(bundle.manifest.frame_input)
    painter = Painter({"cam": prepare}, encode_jpeg, settings.image_px, settings.image_max_bytes)
    rows = []
    for size in SIZES:
        times, run_ms = Times(), list[float]()
        for (encoded, found), _ in zip(cases(bundle, engine, prepare, size), range(options.pictures), strict=False):
            tensor = prepare.prepare(encoded)
            with in_real_time():
                run_ms.append(timed_ms(lambda tensor=tensor: engine.run(tensor)))  # type: ignore[misc] # mypy cannot infer a lambda with a default
                time_steps(painter, encoded, found, times)
        rows.append(row(size, times, run_ms))
        first = next((painted for painted in times.painted if painted is not None), None)
        if size == SIZES[0] and options.picture is not None and first is not None:
            options.picture.write_bytes(first.jpeg)
    report.write(
        "heatmap",
        title="What the picture beside an explanation costs",
        rows=rows,
        notes=[
            (
                f"Flagged faults ({', '.join(FAULTS)}) on freshly drawn scenes of the simulator; the demo's bundle; longest edge {settings.image_px} px, "
                f"at most {settings.image_max_bytes} bytes."
            ),
            "A step is what the inference thread does between two looks for frames; drawing is several of one kind, encoding one for each quality tried.",
            f"Load average {load:.1f} before the run.",
        ],
    )


if __name__ == "__main__":
    report.run(main)
