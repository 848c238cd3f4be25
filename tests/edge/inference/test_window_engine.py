"""The graph of a window: two tensors to scores, in the declared form or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import InferenceFailed, ProofFailed
from edge.inference.onnx_session import Brake, Stopped
from edge.inference.window_engine import WindowEngine
from edge.manifest import WindowInput
from tests.stand.bundles import mean_graph, pump_section


def engine(folder: Path, graph: bytes | None = None, **changes: Any) -> WindowEngine:
    """The mean of the pump's readings."""
    (folder / "pump.onnx").write_bytes(graph or mean_graph())
    return WindowEngine.load(folder, WindowInput.model_validate(pump_section(**changes)), 1)


def cells(value: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A window of one value."""
    return np.full((8, 2), value, np.float32)


def test_cells_without_a_value_do_not_count(tmp_path: Path) -> None:
    """The graph is told which cells hold one."""
    values, valid = cells(5.0), cells(1.0)
    values[:4], valid[:4] = 0.0, 0.0
    assert engine(tmp_path).run(values, valid).tolist() == [0.5]


def test_scores_that_are_none_are_refused(tmp_path: Path) -> None:
    """Outside of 0..1 nothing is a score, and a number that is none even less."""
    graph = engine(tmp_path)
    for value in (20.0, np.nan):
        with pytest.raises(InferenceFailed, match=r"not numbers in 0\.\.1"):
            graph.run(cells(value), cells(1.0))


def test_a_window_of_another_size_does_not_run(tmp_path: Path) -> None:
    """It is an error of this run, not of the thread."""
    with pytest.raises(InferenceFailed, match="did not run"):
        engine(tmp_path).run(cells(1.0)[:3], cells(1.0)[:3])


def test_a_frame_that_waits_comes_first(tmp_path: Path) -> None:
    """With a brake the run gives way."""
    with pytest.raises(Stopped):
        engine(tmp_path).run(cells(1.0), cells(1.0), Brake(lambda: True))


@pytest.mark.parametrize("changes", [{"name": "fan"}, {"length": 9}, {"output": "verdicts"}, {"sensors": ["inlet"]}])
def test_a_graph_of_another_form_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Names, length, sensors and output are what the manifest says."""
    with pytest.raises(ProofFailed, match=r"Export the bundle again"):
        engine(tmp_path, **changes)


def test_a_graph_that_does_not_load_is_refused(tmp_path: Path) -> None:
    """Damaged bytes are no graph."""
    with pytest.raises(ProofFailed, match="does not load"):
        engine(tmp_path, b"not a graph")
