"""The checkpoint as a device runs it: questions compiled into one graph by the toolchain, run in ONNX Runtime on what a camera sends."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.inference.engine import Engine
from edge.inference.preprocess import Preprocessor
from edge.manifest import Execution, InputSpec
from exporters.checkpoint.folder import read_checkpoint
from exporters.families.smolvlm import FAMILY
from exporters.graph.export import INPUT, OUTPUT, export
from exporters.graph.quantize import quantize
from exporters.graph.specialise import specialise
from exporters.model import Question, Scale
from exporters.onepass.form import Form

GAIN = 0.25
"""Margins are flattened by it before the sigmoid, so that sure answers do not all become exactly one."""

Floats = NDArray[np.float64]


class Compiled:
    """Questions about a picture as one graph with a square input of ``edge`` px."""

    def __init__(
        self, folder: Path, asked: Sequence[str], edge: int, *, form: Form | None = None, scheme: str = "float32"
    ) -> None:
        family = replace(FAMILY, resolution_px=edge, form=form, hidden=True)
        model = family.load(read_checkpoint(folder))
        spec = family.pixels(model.checkpoint)
        questions = [Question(f"q{index}", (words,), ()) for index, words in enumerate(asked)]
        ones = np.ones(len(asked), np.float32)
        module = specialise(model.graph(questions, None), Scale(GAIN * ones, 0 * ones))
        self._stage = Preprocessor(InputSpec(name=INPUT, width=spec.width, height=spec.height, resize=spec.resize))
        with tempfile.TemporaryDirectory(prefix="compiled-") as work:
            graph = export(module, spec.height, spec.width, Path(work) / "graph.onnx")
            if scheme != "float32":
                frames = np.zeros((1, spec.height, spec.width, 3), np.uint8)
                graph = quantize(
                    scheme, graph, Path(work) / "small.onnx", frames=frames, input_name=INPUT, reduce_range=False
                )
            execution = Execution(graph=graph.name, provider="CPUExecutionProvider", intra_op_threads=1, scheme=scheme)
            self._engine = Engine.load(graph, execution, input_name=INPUT, output_name=OUTPUT)

    def ask(self, pictures: Sequence[bytes]) -> Floats:
        """Margins (yes - no), flattened, of encoded pictures: (pictures, questions)."""
        scores = np.stack([self._engine.run(self._stage.prepare(picture)) for picture in pictures]).astype(np.float64)
        scores = scores.clip(1e-9, 1 - 1e-7)
        return np.asarray(np.log(scores) - np.log1p(-scores))

    def frame_ms(self, picture: bytes, runs: int = 30) -> float:
        """Median time from the encoded picture to its answers, ms."""
        times = []
        for _ in range(runs + 3):
            start = time.perf_counter()
            self._engine.run(self._stage.prepare(picture))
            times.append((time.perf_counter() - start) * 1e3)
        return float(np.median(times[3:]))
