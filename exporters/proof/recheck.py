"""Repeats a bundle's proof here, with the daemon's own stages and the daemon's own check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.bundle import Bundle, open_bundle
from edge.inference.engine import Engine
from edge.inference.preprocess import CALIBRATION, Preprocessor
from edge.inference.proof import prove, prove_windows
from edge.manifest import InputSpec
from edge.system.board import board_notes, machine_facts


def recheck(path: Path, clock: Callable[[], int]) -> list[str]:
    """Open a bundle, run its golden inputs, time it: lines for a terminal.

    Args:
        path: bundle folder.
        clock: monotonic nanoseconds.

    Raises:
        BundleError: a file is damaged, scores differ from the proof, or (on its own board) it is too slow.
    """
    bundle = open_bundle(path)
    manifest = bundle.manifest
    facts = machine_facts()
    lines = [f"{manifest.name} version {manifest.version}: {len(manifest.files)} files intact"]
    notes = board_notes(manifest.target, facts)
    lines += notes
    budget_ms = float("inf") if notes else manifest.target.budget_ms
    lines += [f"NOT PROVEN: {doubt}" for doubt in manifest.proof.doubts]
    prove_windows(bundle, clock, slow_is_fatal=not notes)
    lines += [f"window {window.name}: {len(window.golden)} golden inputs reproduced" for window in manifest.windows]
    if manifest.input is not None:
        lines += _frame_lines(bundle, manifest.input, budget_ms, clock)
    return [
        *lines,
        *(
            f"{fault.id}: {'armed' if fault.armed else 'not armed'}, threshold {fault.threshold:.3f}"
            for fault in manifest.faults
        ),
    ]


def _frame_lines(bundle: Bundle, frame: InputSpec, budget_ms: float, clock: Callable[[], int]) -> list[str]:
    manifest = bundle.manifest
    engine = Engine.load(bundle.graph, manifest.execution, input_name=frame.name, output_name=manifest.frame_output)
    result = prove(engine, bundle, Preprocessor(frame, CALIBRATION), budget_ms, clock)
    parity = manifest.proof.parity
    return [
        (
            f"golden inputs: {result.golden_inputs}, scores within {result.golden_max_abs:.5f} of the proof "
            f"(allowed {manifest.proof.golden_tolerance:g})"
        ),
        (
            f"parity at export: {parity.flips} of {parity.verdicts} verdicts differ from the float checkpoint on "
            f"{parity.images} images, mean score difference {parity.mean_abs:.5f}"
        ),
        (
            f"picture to scores here: p50 {result.frame_p50_ms:.2f} ms, p99 {result.frame_p99_ms:.2f} ms (graph alone p50 "
            f"{result.infer_p50_ms:.2f} ms); budget {manifest.target.budget_ms:g} ms; {machine_facts().name}"
        ),
    ]
