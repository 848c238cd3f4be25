"""What the ratios have in common: sessions on one thread, turns, processor time, medians with quartiles."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.onepass.shapes import SEED

Call = Callable[[], float | None]  # runs once; its own measure of processor time in s, or None: the caller's


@dataclass(frozen=True, slots=True)
class Samples:
    """Processor time of one thing, ms, one value a round."""

    values_ms: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median, ms."""
        return float(np.median(self.values_ms))

    def text(self) -> str:
        """Median with quartiles."""
        low, high = np.percentile(self.values_ms, (25, 75))
        return f"{self.median:.0f} ({low:.0f}..{high:.0f})"


def session(graph: Path, *, profile: Path | None = None) -> Any:  # noqa: ANN401 - ONNX Runtime has no types
    """One thread, no spinning, as the daemon runs graphs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def frame_of(edge: int) -> NDArray[np.uint8]:
    """A random frame."""
    return np.random.default_rng(SEED).integers(0, 256, (1, edge, edge, 3), dtype=np.uint8)


def runner(graph: Path) -> Call:
    """Runs a graph that takes a frame."""
    loaded = session(graph)
    item = loaded.get_inputs()[0]
    feed = {item.name: frame_of(item.shape[1])}

    def call() -> None:
        loaded.run(None, feed)

    return call


def take_turns(calls: Mapping[str, Call], rounds: int) -> dict[str, Samples]:
    """Each in turn, `rounds` times after one that warms up; processor time of this process, which neighbours on a shared machine disturb least."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            start = time.process_time()
            own = call()
            used = time.process_time() - start if own is None else own
            if turn:
                found[name].append(used * 1e3)
    return {name: Samples(tuple(values)) for name, values in found.items()}


def ratio(top: Samples, bottom: Samples) -> str:
    """Ratio round by round, so that what a neighbour did in a round hurts both sides alike: median with quartiles."""
    middle = quotient(top, bottom)
    low, high = np.percentile(np.asarray(top.values_ms) / np.asarray(bottom.values_ms), (25, 75))
    return f"{middle:.2f} ({low:.2f}..{high:.2f})"


def quotient(top: Samples, bottom: Samples) -> float:
    """Median of the ratios of each round."""
    return float(np.median(np.asarray(top.values_ms) / np.asarray(bottom.values_ms)))


def load_note(before: float) -> str:
    """What else ran on the machine."""
    return f"Load average {before:.1f} before and {os.getloadavg()[0]:.1f} after; one thread, processor time."
