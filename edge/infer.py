"""A tensor becomes scores; and a bundle's proof is repeated on this very machine before it may go live.

Verify hashes before loading: a damaged graph usually loads and gives wrong scores
(67 of 120 did), which is also why the golden inputs are run again here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle, Execution
from edge.errors import InferenceFailed, ProofFailed
from edge.session import Brake, Stopped, first_line, open_session

_PROOF_RUNS = 20
_PROOF_RUNS_LEAST = 8  # of a slow graph, so that it too is live within seconds
_PROOF_ENOUGH_NS = 1_000_000_000
_SCORE_SLACK = 1e-4  # a sigmoid of rounded numbers may leave 0..1 by this much
_NS_PER_MS = 1e6


class _Prepares(Protocol):
    """The preprocess stage, as far as the proof needs it."""

    def prepare(self, encoded: bytes) -> NDArray[np.uint8]:
        """Encoded picture to tensor."""


class Engine:
    """One loaded graph: uint8 [1, height, width, 3] to float32 [faults]. Create it with `Engine.load`."""

    def __init__(self, session: Any, input_name: str, output_name: str) -> None:  # noqa: ANN401 - ONNX Runtime has no types
        self._session = session
        self._input = input_name
        self._outputs = [output_name]
        self.input_shape: tuple[int, ...] = tuple(session.get_inputs()[0].shape)

    @classmethod
    def load(cls, graph: Path, execution: Execution, *, input_name: str, output_name: str) -> Engine:
        """Load a graph to run as ``execution`` says, and check that it is of the agreed form.

        Raises:
            WrongBoard: the execution provider is not in this installation, or would leave work to another one.
            ProofFailed: the graph does not load, or its input or output is not what the manifest says.
        """
        session = open_session(graph, execution)
        _check_form(session, input_name, output_name)
        return cls(session, input_name, output_name)

    def run(self, tensor: NDArray[np.uint8], brake: Brake | None = None) -> NDArray[np.float32]:
        """Scores in 0..1, float32 [faults], of one tensor uint8 [1, height, width, 3]; with a brake it gives way to frames.

        Raises:
            InferenceFailed: the graph did not run, or a score is not a number or outside 0..1; the verdicts are unknown.
            Stopped: the brake was pulled.
        """
        feeds = {self._input: tensor}
        try:
            run = self._session.run if brake is None else partial(brake.run, self._session)
            (output,) = run(self._outputs, feeds)
        except Stopped:
            raise
        except Exception as error:  # ONNX Runtime's errors share no other base class
            raise InferenceFailed(f"the graph did not run: {first_line(error)}") from error
        scores: NDArray[np.float32] = output[0]
        # Written so that NaN fails it too.
        if not (scores.min() >= -_SCORE_SLACK and scores.max() <= 1.0 + _SCORE_SLACK):
            raise InferenceFailed(f"scores are not numbers in 0..1: {scores.tolist()[:8]}")
        return np.clip(scores, 0.0, 1.0)

    def warm_up(self, tensor: NDArray[np.uint8], runs: int, clock: Callable[[], int]) -> list[int]:
        """Run ``runs`` times and return each duration in ns of ``clock``; the first ones are slower."""
        durations_ns = []
        for _ in range(runs):
            start_ns = clock()
            self.run(tensor)
            durations_ns.append(clock() - start_ns)
        return durations_ns


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


def prove(
    engine: Engine, bundle: Bundle, preprocessor: _Prepares, budget_ms: float, clock: Callable[[], int]
) -> ProofResult:
    """Repeat a bundle's proof on this machine: its golden inputs, then the time they take.

    Args:
        engine: the bundle's graph, loaded.
        bundle: opened, so its files are intact.
        preprocessor: the stage that the daemon uses, with the bundle's input specification.
        budget_ms: what the median of picture -> scores must stay within.
        clock: monotonic nanoseconds.

    Raises:
        ProofFailed: a golden input is refused, scores differ by more than the manifest allows, or the machine is too slow.
    """
    pictures = [(bundle.path / golden.file).read_bytes() for golden in bundle.manifest.proof.golden]
    worst = _check_golden(engine, bundle, preprocessor, pictures)
    infer_ns: list[int] = []
    frame_ns: list[int] = []
    for run in range(_PROOF_RUNS):
        if run >= _PROOF_RUNS_LEAST and sum(frame_ns) > _PROOF_ENOUGH_NS:
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
        infer_p50_ms=_percentile_ms(infer_ns, 0.50),
        infer_p99_ms=_percentile_ms(infer_ns, 0.99),
        frame_p50_ms=_percentile_ms(frame_ns, 0.50),
        frame_p99_ms=_percentile_ms(frame_ns, 0.99),
        budget_ms=budget_ms,
    )
    if result.frame_p50_ms > budget_ms:
        raise ProofFailed(
            f"Too slow for the budget of {budget_ms:g} ms on this machine: picture to scores takes {result.frame_p50_ms:.1f} ms "
            f"at p50 ({result.frame_p99_ms:.1f} at p99). Raise budget_ms, export a smaller model, or free the processor."
        )
    return result


def _check_golden(engine: Engine, bundle: Bundle, preprocessor: _Prepares, pictures: Sequence[bytes]) -> float:
    """The largest difference of any score from the manifest's; raises ProofFailed above the tolerance."""
    proof = bundle.manifest.proof
    worst = 0.0
    for golden, picture in zip(proof.golden, pictures, strict=True):
        try:
            scores = engine.run(preprocessor.prepare(picture))
        except Exception as error:  # refused picture or failed run: both disprove the bundle
            raise ProofFailed(f"Golden input {golden.file} gives no scores here: {first_line(error)}.") from error
        if scores.shape != (len(golden.scores),):
            raise ProofFailed(
                f"The graph gives {scores.size} scores for {len(golden.scores)} faults. Export the bundle again."
            )
        difference = float(np.abs(scores - np.asarray(golden.scores)).max())
        if difference > proof.golden_tolerance:
            raise ProofFailed(
                f"Golden input {golden.file} scores differ by {difference:.4f}, allowed is {proof.golden_tolerance:g}: "
                "this machine computes other results than the one that made the proof. Export for this board."
            )
        worst = max(worst, difference)
    return worst


def _check_form(session: Any, input_name: str, output_name: str) -> None:  # noqa: ANN401 - ONNX Runtime has no types
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [item.name for item in inputs] != [input_name] or output_name not in [item.name for item in outputs]:
        raise ProofFailed(
            f"The graph takes {[item.name for item in inputs]} and gives {[item.name for item in outputs]}; the manifest says "
            f"{input_name!r} and {output_name!r}. Export the bundle again."
        )
    given = next(item for item in outputs if item.name == output_name)
    for item, kind, rank in ((inputs[0], "tensor(uint8)", 4), (given, "tensor(float)", 2)):
        shape = item.shape
        if (
            item.type != kind
            or len(shape) != rank
            or shape[0] != 1
            or not all(isinstance(size, int) and size > 0 for size in shape)
        ):
            raise ProofFailed(
                f"{item.name} of the graph is {item.type} {shape}; it must be {kind} of {rank} fixed sizes, the first 1. "
                "Export the bundle again."
            )


def _percentile_ms(durations_ns: Sequence[int], share: float) -> float:
    ordered = sorted(durations_ns)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] / _NS_PER_MS
