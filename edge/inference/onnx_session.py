"""Sets up ONNX Runtime the same way for every graph, with a brake that stops a run between two operators.

The only module of the daemon that knows ONNX Runtime.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from edge.errors import InferenceFailed, ProofFailed, WrongBoard
from edge.manifest import Execution

Tensor = NDArray[Any]

ort.disable_telemetry_events()
ort.set_default_logger_severity(3)  # errors only; what matters is raised, and warnings would repeat at every load
CPU = "CPUExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"
_LEFT_TO_CPU = "assigned to the default CPU EP"  # part of ONNX Runtime's text when an operator has no other place
_QUIET = 4  # a run that was stopped logs an error otherwise


class Stopped(Exception):  # noqa: N818 - nothing went wrong: other work came first
    """The run was stopped, or not begun, because a frame waits."""


class Brake:
    """Stops the run in progress between two of its operators.

    Args:
        frame_waits: whether one does; asked again when a run begins, so that nothing that came just before goes unnoticed.
    """

    def __init__(self, frame_waits: Callable[[], bool]) -> None:
        self.frame_waits = frame_waits
        self._running: Any = None

    def pull(self) -> None:
        """Stop what is running now, if anything is; the network threads call it when they leave something."""
        running = self._running
        if running is not None:
            running.terminate = True

    def run(self, session: Any, outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> list[Tensor]:  # noqa: ANN401 - ONNX Runtime has no types
        """Run a session so that `pull` stops it.

        Raises:
            Stopped: before it was done.
        """
        options = ort.RunOptions()
        options.log_severity_level = _QUIET
        self._running = options  # before the question: who comes now is seen by it, or stops the run
        if self.frame_waits():
            self._running = None
            raise Stopped
        try:
            found: list[Tensor] = session.run(outputs, feeds, options)
        except Exception:  # ONNX Runtime's errors share no other base class
            if options.terminate:
                raise Stopped from None
            raise
        finally:
            self._running = None
        return found


class Graph:
    """A graph beside the path of a frame."""

    def __init__(self, session: Any, brake: Brake) -> None:  # noqa: ANN401 - ONNX Runtime has no types
        self._session = session
        self._brake = brake
        self.shapes = {item.name: tuple(item.shape) for item in (*session.get_inputs(), *session.get_outputs())}

    def run(self, feeds: Mapping[str, Tensor], outputs: Sequence[str]) -> list[Tensor]:
        """The outputs asked for.

        Raises:
            Stopped: a frame waits.
            InferenceFailed: the graph did not run.
        """
        try:
            return self._brake.run(self._session, outputs, feeds)
        except Stopped:
            raise
        except Exception as error:  # ONNX Runtime's errors share no other base class
            raise InferenceFailed(f"the graph did not run: {first_line(error)}") from error


def open_session(graph: Path, execution: Execution) -> Any:  # noqa: ANN401 - ONNX Runtime has no types
    """Load a graph to run with the options of ``execution``.

    Raises:
        WrongBoard: the execution provider is not in this installation, or would leave work to another one.
        ProofFailed: the graph does not load.
    """
    if execution.provider not in ort.get_available_providers():
        raise WrongBoard(
            f"The bundle runs on {execution.provider}; this installation of ONNX Runtime has {ort.get_available_providers()}. "
            "Install the board's own build of onnxruntime (docs/openvino.md), or export for another board."
        )
    try:
        session = ort.InferenceSession(str(graph), _options(execution), providers=[_provider(execution)])
    except Exception as error:  # ONNX Runtime's errors share no other base class
        if _LEFT_TO_CPU in str(error):
            raise WrongBoard(
                f"{execution.provider} cannot run every operator of {graph.name}, or did not start; the rest would run on the CPU, many times slower. "
                f"Run the bundle on {CPU}, or export it for this board."
            ) from error
        raise ProofFailed(f"{graph.name} does not load: {first_line(error)}. Export the bundle again.") from error
    if session.get_providers()[0] != execution.provider:
        raise WrongBoard(
            f"{execution.provider} could not start; ONNX Runtime would run on {session.get_providers()} instead. "
            "Check the board's driver."
        )
    return session


def first_line(error: Exception) -> str:
    """An error in one line: ONNX Runtime's texts are long."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _provider(execution: Execution) -> str | tuple[str, dict[str, str]]:
    """The provider with its options. OpenVINO has threads of its own, and would compute in bfloat16 where the processor has it."""
    if execution.provider != OPENVINO:
        return execution.provider
    plugin = {
        "INFERENCE_NUM_THREADS": str(execution.intra_op_threads),
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": "1",
    }
    return OPENVINO, {"device_type": "CPU", "load_config": json.dumps({"CPU": plugin})}


def _options(execution: Execution) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = execution.intra_op_threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # The memory arena stays on: without it a 40 ms graph takes 8 % longer and 33 page faults a run, and saves no memory.
    # Spinning pool threads take the core from the network threads: p99 599 ms with, 128 ms without, beside one busy process.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if execution.provider != CPU:
        # An operator that the accelerator lacks must be an error here, not a silent 10x.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options
