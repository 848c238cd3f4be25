"""Runs the graph of one window of readings: two tensors become scores, in the form that the manifest declares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.errors import ProofFailed
from edge.inference.engine import run_graph
from edge.inference.onnx_session import Brake, open_session
from edge.manifest import Execution, WindowInput

PROVIDER = "CPUExecutionProvider"  # a window is small: no accelerator is worth the way there


class WindowEngine:
    """One loaded graph: float32 [1, length, sensors], and which of these cells hold a value, to float32 [faults]."""

    def __init__(self, session: Any, window: WindowInput) -> None:  # noqa: ANN401 - ONNX Runtime has no types
        self._session = session
        self._names = (window.name, valid_name(window))
        self._outputs = [window.output]

    @classmethod
    def load(cls, folder: Path, window: WindowInput, faults: int) -> WindowEngine:
        """Load the graph of a window, and check that it is of the agreed form.

        Args:
            folder: of the bundle.
            window: what the manifest says of it.
            faults: scores that it must give.

        Raises:
            ProofFailed: the graph does not load, or its inputs or its output are not what the manifest says.
        """
        execution = Execution(graph=window.graph, provider=PROVIDER, intra_op_threads=1, scheme="float32")
        session = open_session(folder / window.graph, execution)
        _check_form(session, window, faults)
        return cls(session, window)

    def run(
        self, values: NDArray[np.float32], valid: NDArray[np.float32], brake: Brake | None = None
    ) -> NDArray[np.float32]:
        """Scores in 0..1, float32 [faults], of a window float32 [length, sensors] and its cells that hold a value; with a brake, a frame stops it.

        Raises:
            InferenceFailed: the graph did not run, or a score is not a number or outside 0..1.
            Stopped: the brake was pulled.
        """
        feeds = dict(zip(self._names, (values[np.newaxis], valid[np.newaxis]), strict=True))
        return run_graph(self._session, self._outputs, feeds, brake)


def valid_name(window: WindowInput) -> str:
    """Name of the input that says which cells hold a value."""
    return f"{window.name}_valid"


def _check_form(session: Any, window: WindowInput, faults: int) -> None:  # noqa: ANN401 - ONNX Runtime has no types
    cells = [1, window.length, len(window.sensors)]
    wanted = {window.name: cells, valid_name(window): cells}
    found = {item.name: (item.type, item.shape) for item in session.get_inputs()}
    given = {item.name: (item.type, item.shape) for item in session.get_outputs()}
    if found != {name: ("tensor(float)", shape) for name, shape in wanted.items()} or given.get(window.output) != (
        "tensor(float)",
        [1, faults],
    ):
        raise ProofFailed(
            f"The graph {window.graph} takes {found} and gives {given}; window {window.name} must be float32 {cells} twice, {sorted(wanted)}, "
            f"and {window.output!r} float32 [1, {faults}]. Export the bundle again."
        )
