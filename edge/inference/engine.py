"""Runs one loaded graph: a tensor becomes scores, in the form that the manifest declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import InferenceFailed, NothingKnown, ProofFailed
from edge.inference.onnx_session import Brake, Stopped, first_line, open_session
from edge.manifest import Execution

_SCORE_SLACK = 1e-4  # a sigmoid of rounded numbers may leave 0..1 by this much


class Engine:
    """One loaded graph: uint8 [1, height, width, 3] to float32 [faults]. Create it with `Engine.load`."""

    def __init__(self, session: Any, input_name: str, output_name: str) -> None:  # noqa: ANN401 - ONNX Runtime has no types
        self._session = session
        self._input = input_name
        self._outputs = [output_name]
        self.input_shape: tuple[int, ...] = tuple(session.get_inputs()[0].shape)

    @classmethod
    def load(cls, graph: Path, execution: Execution, *, input_name: str, output_name: str) -> Engine:
        """Load a graph to run with the options of ``execution``, and check that it is of the agreed form.

        Raises:
            WrongBoard: the execution provider is not in this installation, or would leave work to another one.
            ProofFailed: the graph does not load, or its input or output is not that of the manifest.
        """
        session = open_session(graph, execution)
        _check_form(session, input_name, output_name)
        return cls(session, input_name, output_name)

    def run(self, tensor: NDArray[np.uint8], brake: Brake | None = None) -> NDArray[np.float32]:
        """Scores in 0..1, float32 [faults], of one tensor uint8 [1, height, width, 3]; with a brake, a frame stops it.

        Raises:
            InferenceFailed: the graph did not run, or a score is not a number or outside 0..1; the verdicts are unknown.
            Stopped: the brake was pulled.
        """
        return run_graph(self._session, self._outputs, {self._input: tensor}, brake)

    def warm_up(self, tensor: NDArray[np.uint8], runs: int, clock: Callable[[], int]) -> list[int]:
        """Run ``runs`` times and return each duration in ns of ``clock``; the first ones are slower."""
        durations_ns = []
        for _ in range(runs):
            start_ns = clock()
            self.run(tensor)
            durations_ns.append(clock() - start_ns)
        return durations_ns


class NoEngine:
    """Takes the place of a graph on a site without cameras: no picture comes, and one that did would have no scores."""

    def run(self, tensor: NDArray[np.uint8], brake: Brake | None = None) -> NDArray[np.float32]:
        """Never scores.

        Raises:
            InferenceFailed: always; the verdicts are unknown.
        """
        del tensor, brake
        raise InferenceFailed("the site has no camera, so no bundle is loaded")


def run_graph(
    session: Any,  # noqa: ANN401 - ONNX Runtime has no types
    outputs: Sequence[str],
    feeds: Mapping[str, NDArray[Any]],
    brake: Brake | None,
) -> NDArray[np.float32]:
    """Scores float32 [faults] of one run, without what rounding added to 0..1.

    Raises:
        NothingKnown: every score is NaN.
        InferenceFailed: the graph did not run, or a score is not a number or outside 0..1.
        Stopped: the brake was pulled.
    """
    try:
        run = session.run if brake is None else partial(brake.run, session)
        (output,) = run(outputs, feeds)
    except Stopped:
        raise
    except Exception as error:  # ONNX Runtime's errors share no other base class
        raise InferenceFailed(f"the graph did not run: {first_line(error)}") from error
    scores: NDArray[np.float32] = output[0]
    if bool(np.isnan(scores).all()):
        raise NothingKnown("the graph cannot judge this: its scores are not numbers in 0..1")
    if not (scores.min() >= -_SCORE_SLACK and scores.max() <= 1.0 + _SCORE_SLACK):  # written so that NaN fails it too
        raise InferenceFailed(f"scores are not numbers in 0..1: {scores.tolist()[:8]}")
    return np.clip(scores, 0.0, 1.0)


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
