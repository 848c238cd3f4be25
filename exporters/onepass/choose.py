"""Tree or prefix: both forms are exported and timed in turns on the machine at hand, and the faster one is taken."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from exporters.onepass.generative import Form

if TYPE_CHECKING:
    from exporters.onepass.generative import GenerativeModel
    from exporters.onepass.prompts import Prompts

ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Choice:
    """The form taken, and the median time of each in ms."""

    form: Form
    median_ms: Mapping[Form, float]


def fastest(times_ms: Mapping[Form, Sequence[float]]) -> Choice:
    """The form with the lowest median; pure."""
    medians = {form: float(np.median(times)) for form, times in times_ms.items()}
    return Choice(min(medians, key=lambda form: medians[form]), medians)


def choose_form(model: GenerativeModel, prompts: Prompts, *, threads: int = 1, rounds: int = ROUNDS) -> Choice:
    """Export every form that the family allows, run them in turns, and compare.

    Args:
        model: the loaded checkpoint.
        prompts: the questions; their number decides which form wins.
        threads: threads inside one operator.
        rounds: timed runs of each.
    """
    import onnxruntime as ort  # noqa: PLC0415 - times the float graph before any bundle exists

    from exporters.export import export  # noqa: PLC0415 - imports torch

    forms = model.family.forms
    spec = model.family.pixels(model.checkpoint)
    frame = np.zeros((1, spec.height, spec.width, 3), dtype=np.uint8)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    with tempfile.TemporaryDirectory(prefix="forms-") as folder:
        sessions = {}
        for form in forms:
            graph = export(model.one_pass(prompts, form), spec.height, spec.width, Path(folder) / f"{form}.onnx")
            sessions[form] = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        times: dict[Form, list[float]] = {form: [] for form in forms}
        for turn in range(rounds + 1):
            for form, session in sessions.items():
                start = time.perf_counter()
                session.run(None, {"frame": frame})
                if turn:  # the first round warms up
                    times[form].append((time.perf_counter() - start) * 1e3)
    return fastest(times)
