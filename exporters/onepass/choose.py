"""Tree or prefix: both forms are exported and timed in turns on this machine, and the faster one is taken."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from edge.inference.engine import Engine
from edge.manifest import Execution
from exporters.device import CPU
from exporters.graph.export import INPUT, OUTPUT, export
from exporters.graph.specialise import plain_scale, specialise
from exporters.onepass.form import Form

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
    forms: Sequence[Form],
    make: Callable[[Form], nn.Module],
    frame: tuple[int, int],
    faults: int,
    *,
    provider: str = CPU,
    rounds: int = ROUNDS,
) -> Choice:
    """Export every form, run them in turns in the daemon's engine, and compare.

    Args:
        forms: what the family allows, its first one first.
        make: the module of a form, uint8 [1, height, width, 3] -> evidence [1, K]; how many questions it holds decides which form wins.
        frame: (height, width), px.
        faults: K.
        provider: ONNX Runtime's execution provider.
        rounds: timed runs of each.
    """
    height, width = frame
    picture = np.zeros((1, height, width, 3), dtype=np.uint8)
    fused = provider == CPU
    with tempfile.TemporaryDirectory(prefix="forms-") as folder:
        engines: dict[Form, Engine] = {}
        for form in forms:
            module = specialise(make(form), plain_scale(faults))  # the engine takes scores only
            graph = export(module, height, width, Path(folder) / f"{form}.onnx", fused=fused)
            execution = Execution(graph=graph.name, provider=provider, intra_op_threads=1, scheme="float32")
            engines[form] = Engine.load(graph, execution, input_name=INPUT, output_name=OUTPUT)
        times: dict[Form, list[float]] = {form: [] for form in engines}
        for turn in range(rounds + 1):
            for form, engine in engines.items():
                start = time.perf_counter()
                engine.run(picture)
                if turn:  # the first round warms up
                    times[form].append((time.perf_counter() - start) * 1e3)
    return fastest(times)
