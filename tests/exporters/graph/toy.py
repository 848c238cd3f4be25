"""A graph of two questions over a tiny SigLIP, its frames, and what an ONNX file of it says to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.manifest import Execution, InputSpec
from exporters.graph.export import INPUT, OUTPUT
from exporters.model import Question
from exporters.pictures.images import synthetic_frames
from exporters.proof import measure
from tests.stand.checkpoints import SIDE

ASKED = [Question("crack", ("a crack",), ("a part",)), Question("dent", ("a dent",), ("a part",))]
FRAMES = synthetic_frames(8, SIDE, SIDE, 9)
SPEC = InputSpec(name=INPUT, width=SIDE, height=SIDE, resize="stretch")


def scores(file: Path) -> NDArray[np.float32]:
    """Scores [8, 2] of an ONNX file in the daemon's engine."""
    execution = Execution(graph=file.name, provider="CPUExecutionProvider", intra_op_threads=1, scheme="any")
    return measure.score_frames(file.parent, execution, SPEC, OUTPUT, FRAMES)
