"""Repeats a bundle's proof on this machine before it may go live: its golden inputs and their time.

Verify hashes before loading: a damaged graph usually loads and gives wrong scores
(67 of 120 did), which is also why the golden inputs are run again here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle
from edge.errors import InferenceFailed, ProofFailed
from edge.inference.engine import Engine
from edge.inference.onnx_session import first_line
from edge.inference.window_engine import WindowEngine
from edge.manifest import FaultSpec, Golden, WindowInput
from edge.units import NS_PER_MS, NS_PER_S, percentile

_RUNS = 20
_RUNS_LEAST = 8  # of a slow graph, so that it too is live within seconds
_ENOUGH_NS = NS_PER_S


class _Prepares(Protocol):
    """The preprocess stage, as far as the proof needs it."""

    def prepare(self, encoded: bytes) -> NDArray[np.uint8]:
        """Encoded picture to tensor."""


@dataclass(frozen=True, slots=True)
class ProofResult:
    """What this machine gave for a bundle's golden inputs, and how long it took; times in ms.

    ``frame_*`` is from encoded picture to scores, ``infer_*`` the graph alone.
    """

    golden_inputs: int
    golden_max_abs: float
    runs: int
    infer_p50_ms: float
    infer_p99_ms: float
    frame_p50_ms: float
    frame_p99_ms: float
    budget_ms: float

    @property
    def too_slow(self) -> str:
        """What is wrong with the time it took, and what to do; empty when nothing is."""
        if self.frame_p50_ms <= self.budget_ms:
            return ""
        return (
            f"Too slow for the budget of {self.budget_ms:g} ms on this machine: picture to scores takes {self.frame_p50_ms:.1f} ms "
            f"at p50 ({self.frame_p99_ms:.1f} at p99). Raise budget_ms, export a smaller model, or free the processor."
        )


def prove(
    engine: Engine,
    bundle: Bundle,
    preprocessor: _Prepares,
    budget_ms: float,
    clock: Callable[[], int],
    *,
    slow_is_fatal: bool = True,
) -> ProofResult:
    """Repeat a bundle's proof on this machine: its golden inputs, then the time they take.

    Args:
        engine: the bundle's graph, loaded.
        bundle: opened, so its files are intact.
        preprocessor: the stage that the daemon uses, with the bundle's input specification.
        budget_ms: what the median of picture -> scores must stay within.
        clock: monotonic nanoseconds.
        slow_is_fatal: false: one that is too slow is returned, because a busy machine may be free in a minute.

    Raises:
        ProofFailed: a golden input is refused, scores differ by more than the manifest allows, a verdict is another one, or the machine is
            too slow.
    """
    worst = check_golden(engine, bundle, preprocessor)
    pictures = golden_pictures(bundle)
    infer_ns: list[int] = []
    frame_ns: list[int] = []
    for run in range(_RUNS):
        if run >= _RUNS_LEAST and sum(frame_ns) > _ENOUGH_NS:
            break
        start_ns = clock()
        tensor = preprocessor.prepare(pictures[run % len(pictures)])
        prepared_ns = clock()
        engine.run(tensor)
        end_ns = clock()
        infer_ns.append(end_ns - prepared_ns)
        frame_ns.append(end_ns - start_ns)
    result = ProofResult(
        golden_inputs=len(pictures),
        golden_max_abs=worst,
        runs=len(frame_ns),
        infer_p50_ms=_ms(infer_ns, 0.50),
        infer_p99_ms=_ms(infer_ns, 0.99),
        frame_p50_ms=_ms(frame_ns, 0.50),
        frame_p99_ms=_ms(frame_ns, 0.99),
        budget_ms=budget_ms,
    )
    if slow_is_fatal and result.too_slow:
        raise ProofFailed(result.too_slow)
    return result


def golden_pictures(bundle: Bundle) -> list[bytes]:
    """The golden inputs as they came from the camera, in the manifest's order."""
    return [(bundle.path / golden.file).read_bytes() for golden in bundle.manifest.proof.golden]


def check_golden(engine: Engine, bundle: Bundle, preprocessor: _Prepares) -> float:
    """The largest difference of any golden score from the manifest's.

    Raises:
        ProofFailed: one is above the tolerance, there is none, or it makes another verdict.
    """
    proof, expected = bundle.manifest.proof, bundle.manifest.golden_verdicts()
    worst = 0.0
    for golden, verdicts, picture in zip(proof.golden, expected, golden_pictures(bundle), strict=True):
        try:
            scores = engine.run(preprocessor.prepare(picture))
        except Exception as error:  # refused picture or failed run: both disprove the bundle
            raise ProofFailed(f"Golden input {golden.file} gives no scores here: {first_line(error)}.") from error
        faults = bundle.manifest.frame_faults
        worst = max(worst, _difference(golden, faults, verdicts, scores, proof.golden_tolerance))
    return worst


def load_windows(bundle: Bundle) -> dict[str, WindowEngine]:
    """The graph of each window of readings of a bundle, by the window's name.

    Raises:
        ProofFailed: one does not load, or is not of the form that the manifest says.
    """
    manifest = bundle.manifest
    return {
        window.name: WindowEngine.load(bundle.path, window, len(manifest.window_faults(window.name)))
        for window in manifest.windows
    }


def prove_windows(bundle: Bundle, clock: Callable[[], int], *, slow_is_fatal: bool = True) -> dict[str, WindowEngine]:
    """Load the graph of each window of a bundle, and repeat its proof: its golden inputs, then the time they take.

    Raises:
        ProofFailed: scores or verdicts of a golden input are others, or, where `slow_is_fatal`, a run takes longer than the budget of a frame.
    """
    engines = load_windows(bundle)
    check_golden_windows(bundle, engines)
    budget_ms = bundle.manifest.target.budget_ms
    for window in bundle.manifest.windows:
        values, valid = golden_window(bundle, window, window.golden[0])
        took_ns = []
        for _ in range(_RUNS_LEAST):
            begun_ns = clock()
            engines[window.name].run(values, valid)
            took_ns.append(clock() - begun_ns)
        if slow_is_fatal and _ms(took_ns, 0.50) > budget_ms:
            raise ProofFailed(
                f"Too slow on this machine: window {window.name} takes {_ms(took_ns, 0.50):.1f} ms of {budget_ms:g} at p50. "
                "Export a smaller model, or free the processor."
            )
    return engines


def check_golden_windows(bundle: Bundle, engines: Mapping[str, WindowEngine]) -> float:
    """The largest difference of any score of a golden window from the manifest's; 0 where there are none.

    Raises:
        ProofFailed: one is above the tolerance, a file is not a window, or it makes another verdict.
    """
    manifest = bundle.manifest
    worst = 0.0
    for window in manifest.windows:
        faults = manifest.window_faults(window.name)
        for golden, verdicts in zip(window.golden, manifest.window_verdicts(window), strict=True):
            values, valid = golden_window(bundle, window, golden)
            try:
                scores = engines[window.name].run(values, valid)
            except InferenceFailed as error:
                raise ProofFailed(f"Golden input {golden.file} gives no scores here: {first_line(error)}.") from error
            worst = max(worst, _difference(golden, faults, verdicts, scores, manifest.proof.golden_tolerance))
    return worst


def golden_window(
    bundle: Bundle, window: WindowInput, golden: Golden
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A golden window: float32 [length, sensors], 0 in cells without a value, and 1 where there is one.

    Raises:
        ProofFailed: the file has another size.
    """
    raw = (bundle.path / golden.file).read_bytes()
    shape = (window.length, len(window.sensors))
    if len(raw) != 4 * shape[0] * shape[1]:
        raise ProofFailed(
            f"Golden input {golden.file} has {len(raw)} bytes; float32 {list(shape)} is {4 * shape[0] * shape[1]}. Export the bundle again."
        )
    cells = np.frombuffer(raw, "<f4").reshape(shape)
    valid = np.isfinite(cells)
    return np.where(valid, cells, np.float32(0.0)), valid.astype(np.float32)


def _difference(
    golden: Golden,
    faults: Sequence[FaultSpec],
    verdicts: Mapping[str, str],
    scores: NDArray[np.float32],
    tolerance: float,
) -> float:
    """How far the scores of a golden input are from the manifest's.

    Raises:
        ProofFailed: further than the tolerance, or on the other side of a threshold.
    """
    if scores.shape != (len(golden.scores),):
        raise ProofFailed(
            f"The graph gives {scores.size} scores for {len(golden.scores)} faults. Export the bundle again."
        )
    difference = float(np.abs(scores - np.asarray(golden.scores)).max())
    if difference > tolerance:
        raise ProofFailed(
            f"Golden input {golden.file} scores differ by {difference:.4f}, allowed is {tolerance:g}: "
            "this machine computes other results than the one that made the proof. Export for this board."
        )
    _check_verdicts(faults, golden.file, verdicts, scores)
    return difference


def _check_verdicts(
    faults: Sequence[FaultSpec], file: str, verdicts: Mapping[str, str], scores: NDArray[np.float32]
) -> None:
    """The flag that the operator will see for a golden input must be that of the proof."""
    for fault, score in zip(faults, scores.tolist(), strict=True):
        found = "fault" if score >= fault.threshold else "ok"
        if verdicts.get(fault.id, found) != found:
            raise ProofFailed(
                f"Golden input {file} is {found} for {fault.id} here (score {score:.4f}, threshold {fault.threshold:g}), the proof says "
                f"{verdicts[fault.id]}. Export for this board."
            )


def _ms(durations_ns: Sequence[int], share: float) -> float:
    return percentile(sorted(durations_ns), share) / NS_PER_MS
