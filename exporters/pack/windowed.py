"""Packs a graph that judges windows of readings: its golden windows, its latency here, its proof and its manifest."""

from __future__ import annotations

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edge.errors import ConfigError
from edge.inference.window_engine import WindowEngine
from edge.manifest import (
    Execution,
    FaultSpec,
    Golden,
    Latency,
    ModelSource,
    Parity,
    Proof,
    Target,
    WindowInput,
    one_sided,
    sure_verdicts,
)
from edge.system.board import machine_facts
from edge.system.version import package_version
from edge.units import NS_PER_MS, percentile
from exporters.device import Device, mismatches
from exporters.pack import write
from exporters.proof import verify

RUNS = 50  # of the graph, for its latency
GRAPH = "window.onnx"

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Judged:
    """Windows and what the graph gave them: float32 [n, T, S] twice, and [n, faults]."""

    values: Floats
    valid: Floats
    scores: Floats


def window_input(fields: Mapping[str, Any], output: str, golden: Sequence[Golden]) -> WindowInput:
    """The manifest's window. Raises ConfigError where its fields do not agree."""
    try:
        return WindowInput(**fields, graph=GRAPH, output=output, golden=tuple(golden))
    except ValidationError as error:
        raise ConfigError(f"window: {error.errors()[0]['msg']}") from error


def open_engine(graph: Path, fields: Mapping[str, Any], output: str, faults: int) -> WindowEngine:
    """The graph as the device will run it. Raises ConfigError or ProofFailed."""
    unproven = Golden(file="golden", scores=(0.0,) * faults)
    window = window_input(fields, output, [unproven]).model_copy(update={"graph": graph.name})
    return WindowEngine.load(graph.parent, window, faults)


@dataclass(frozen=True, slots=True)
class Contents:
    """What a bundle of windows is made of.

    Attributes:
        name: of the bundle.
        number: its version.
        fields: of the window, as the recipe has them.
        output: of the graph.
        graph: its file.
        faults: with their thresholds.
        source: what the graph was made of.
        judged: windows to choose golden ones from; the first is timed.
    """

    name: str
    number: int
    fields: Mapping[str, Any]
    output: str
    graph: Path
    faults: tuple[FaultSpec, ...]
    source: ModelSource
    judged: Judged


@dataclass(frozen=True, slots=True)
class Measured:
    """Golden windows by file, and how long a run takes, ms, ascending."""

    golden: dict[str, int]
    took_ms: tuple[float, ...]

    @property
    def p50_ms(self) -> float:
        """The usual run."""
        return percentile(self.took_ms, 0.5)


def measure(found: Contents) -> Measured:
    """Choose the golden windows and time the graph."""
    engine = open_engine(found.graph, found.fields, found.output, len(found.faults))
    took_ms = []
    for _ in range(RUNS):
        begun_ns = time.perf_counter_ns()
        engine.run(found.judged.values[0], found.judged.valid[0])
        took_ms.append((time.perf_counter_ns() - begun_ns) / NS_PER_MS)
    return Measured(_pick_golden(found), tuple(sorted(took_ms)))


def pack_windowed(
    out: Path, found: Contents, measured: Measured, *, board: tuple[str, Device], now: datetime, files: Mapping[str, bytes | Path]
) -> Path:  # fmt: skip
    """Write the bundle and return its folder. Raises ConfigError or ExportError."""
    name, device = board
    judged = found.judged
    content: dict[str, bytes | Path] = {GRAPH: found.graph, **files}
    for file, row in measured.golden.items():
        content[file] = np.where(judged.valid[row] > 0, judged.values[row], np.nan).astype("<f4").tobytes()
    manifest = {
        "format": 1,
        "name": found.name,
        "version": found.number,
        "created": now.astimezone(UTC),
        "tool": f"edge-export {package_version()}",
        "source": found.source,
        "execution": Execution(graph=GRAPH, provider="CPUExecutionProvider", intra_op_threads=1, scheme="float32"),
        "target": Target(
            board=name,
            arch=device.arch,
            isa_required=device.isa_required,
            memory_mib=device.memory_mib,
            budget_ms=device.budget_ms,
        ),
        "faults": found.faults,
        "windows": (window_input(found.fields, found.output, _goldens(found, measured)),),
        "proof": _proof(found, measured, device),
    }
    return write.pack(out, f"{found.name}-v{found.number}", content, manifest)


def _pick_golden(found: Contents) -> dict[str, int]:
    """By file: windows next to every threshold on both sides, where there are any, and the extremes."""
    scores = found.judged.scores
    limits = np.array([fault.threshold for fault in found.faults])
    chosen = verify.pick_straddling(scores, limits, np.ones(len(found.faults), np.bool_), verify.FLOAT_TOLERANCE)
    chosen += [int(place) for place in (*scores.argmin(0), *scores.argmax(0))]
    return {f"golden/{row:02d}.f32": place for row, place in enumerate(dict.fromkeys(chosen))}


def _goldens(found: Contents, measured: Measured) -> list[Golden]:
    made = []
    for name, row in measured.golden.items():
        plain = tuple(float(score) for score in found.judged.scores[row])
        made.append(
            Golden(file=name, scores=plain, verdicts=sure_verdicts(found.faults, plain, verify.FLOAT_TOLERANCE))
        )
    return made


def _proof(found: Contents, measured: Measured, device: Device) -> Proof:
    facts = machine_facts()
    took_ms = measured.took_ms
    latency = Latency(
        scope="infer",
        machine=facts.name,
        runs=len(took_ms),
        p50_ms=percentile(took_ms, 0.5),
        p95_ms=percentile(took_ms, 0.95),
        p99_ms=percentile(took_ms, 0.99),
        max_ms=took_ms[-1],
    )
    verdicts = [one.verdicts or {} for one in _goldens(found, measured)]
    return Proof(
        parity=Parity(images=0, mean_abs=0.0, max_abs=0.0, flips=0, verdicts=0, flips_allowed=0),  # it is the original
        latency=(latency,),
        peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        candidates=(),
        golden=(),
        golden_tolerance=verify.FLOAT_TOLERANCE,
        proven_on_target=not mismatches(device, facts),
        one_sided=one_sided(found.faults, verdicts),
    )
