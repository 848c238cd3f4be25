"""What the benchmarks run on: 720p frames, and bundles around graphs that were never trained."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.inference.engine import Engine
from edge.inference.preprocess import Preprocessor, encode_jpeg
from edge.manifest import Execution, InputSpec
from tests.stand.bundles import fault, manifest_document, write_bundle
from tests.stand.daemon import ROOT

DATA = Path(os.environ.get("EDGE_DATA", ROOT.parent / "shared" / "data"))


def frames_720p(count: int = 8) -> tuple[list[bytes], str]:
    """JPEG frames of 1280x720 and what they show: photographs of machine parts where EDGE_DATA has them, else texture."""
    files = sorted((DATA / "bsdata_ballscrew" / "open" / "images").glob("*.jpg"))[:count]
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 255, (45, 80, 3), np.uint8) for _ in range(0 if files else count)]
    opened = [Image.open(file).convert("RGB") for file in files] or [Image.fromarray(item) for item in noise]
    resized = [np.asarray(image.resize((1280, 720), Image.Resampling.BICUBIC)) for image in opened]
    return [encode_jpeg(pixels, 75) for pixels in resized], "bsdata_ballscrew photographs" if files else "textures"


def write_graph_bundle(folder: Path, graph: bytes, *, size: int, faults: int, budget_ms: float) -> None:
    """A bundle around any graph of the agreed form, its golden inputs scored by the daemon's own stages.

    Args:
        folder: where; must not exist.
        graph: serialized ONNX, input ``frame`` uint8 [1, size, size, 3], output ``scores`` [1, faults].
        size: px.
        faults: number of scores.
        budget_ms: latency budget, ms.
    """
    folder.mkdir(parents=True)
    picture = encode_jpeg(_gradient(size))
    files = {"graph.onnx": graph, "golden/0.jpg": picture}
    document = manifest_document(files, faults=[fault(f"f{index}") for index in range(faults)])
    execution = Execution.model_validate(document["execution"])
    (folder / "graph.onnx").write_bytes(graph)
    engine = Engine.load(folder / "graph.onnx", execution, input_name="frame", output_name="scores")
    spec = InputSpec(name="frame", width=size, height=size, resize="stretch")
    scores = engine.run(Preprocessor(spec).prepare(picture)).tolist()
    write_bundle(
        folder,
        files,
        name="bench",
        faults=document["faults"],
        input=spec.model_dump(),
        target=document["target"] | {"budget_ms": budget_ms},
        proof=document["proof"] | {"golden": [{"file": "golden/0.jpg", "scores": scores}]},
    )


def _gradient(size: int) -> NDArray[np.uint8]:
    ramp = np.linspace(0, 255, size).astype(np.uint8)
    return np.stack(np.broadcast_arrays(ramp[None, :], ramp[:, None], ramp[None, ::-1]), axis=2)
