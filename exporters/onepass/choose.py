"""Tree or prefix: both forms are exported and timed in turns on the machine at hand, and the faster one is taken."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.bundle import Execution
from edge.infer import Engine
from exporters.families.base import Question
from exporters.onepass.generative import Form

if TYPE_CHECKING:
    from exporters.onepass.generative import GenerativeModel

ROUNDS = 7
GAIN = 0.03  # share by which another form must be faster than the family's first: below it is noise, and builds should repeat


@dataclass(frozen=True, slots=True)
class Choice:
    """The form taken, and the median time of each in ms."""

    form: Form
    median_ms: Mapping[Form, float]

    def note(self) -> str:
        """One sentence for the report."""
        times = ", ".join(f"{form} {median:.2f} ms" for form, median in self.median_ms.items())
        return f"Form of the questions: {self.form} (float32 on one thread in turns, median: {times})."


def fastest(times_ms: Mapping[Form, Sequence[float]]) -> Choice:
    """The form with the lowest median; the first one where no other gains enough. Pure."""
    medians = {form: float(np.median(times)) for form, times in times_ms.items()}
    first, best = next(iter(medians)), min(medians, key=lambda form: medians[form])
    return Choice(best if medians[best] < medians[first] * (1 - GAIN) else first, medians)


def choose_form(
    model: GenerativeModel,
    questions: Sequence[Question],
    *,
    provider: str = "CPUExecutionProvider",
    rounds: int = ROUNDS,
) -> Choice:
    """Export every form that the family allows, run them in turns in the daemon's engine, and compare.

    Args:
        model: the loaded checkpoint.
        questions: their number decides which form wins.
        provider: ONNX Runtime's execution provider.
        rounds: timed runs of each.
    """
    from exporters.export import INPUT, OUTPUT, export  # noqa: PLC0415 - imports torch
    from exporters.specialise import plain_scale, specialise  # noqa: PLC0415 - imports torch

    spec = model.family.pixels(model.checkpoint)
    frame = np.zeros((1, spec.height, spec.width, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory(prefix="forms-") as folder:
        engines: dict[Form, Engine] = {}
        for form in model.family.forms:
            formed = replace(model, family=replace(model.family, form=form))
            module = specialise(formed.graph(questions, None), plain_scale(len(questions)))
            fused = provider == "CPUExecutionProvider"
            graph = export(module, spec.height, spec.width, Path(folder) / f"{form}.onnx", fused=fused)
            execution = Execution(graph=graph.name, provider=provider, intra_op_threads=1, scheme="float32")
            engines[form] = Engine.load(graph, execution, input_name=INPUT, output_name=OUTPUT)
        times: dict[Form, list[float]] = {form: [] for form in engines}
        for turn in range(rounds + 1):
            for form, engine in engines.items():
                start = time.perf_counter()
                engine.run(frame)
                if turn:  # the first round warms up
                    times[form].append((time.perf_counter() - start) * 1e3)
    return fastest(times)
