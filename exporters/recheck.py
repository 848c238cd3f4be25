"""A bundle's proof is repeated here, with the daemon's own stages and the daemon's own check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.board import board_notes, machine_facts
from edge.bundle import open_bundle
from edge.infer import Engine, prove
from edge.preprocess import Preprocessor


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
    engine = Engine.load(bundle.graph, manifest.execution, input_name=manifest.input.name, output_name=manifest.output)
    result = prove(engine, bundle, Preprocessor(manifest.input), budget_ms, clock)
    parity = manifest.proof.parity
    return [
        *lines,
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
            f"{result.infer_p50_ms:.2f} ms); budget {manifest.target.budget_ms:g} ms; {facts.name}"
        ),
        *(
            f"{fault.id}: {'armed' if fault.armed else 'not armed'}, threshold {fault.threshold:.3f}"
            for fault in manifest.faults
        ),
    ]
