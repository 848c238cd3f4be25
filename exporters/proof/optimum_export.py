"""Runs in optimum's own environment: exports a dual encoder by optimum and scores pictures with that graph.

`exporters.proof.crosscheck` starts it by its path, with an interpreter that has none of this project's packages, so it imports none of them:

    PYTHON -I optimum_export.py versions
    PYTHON -I optimum_export.py export CHECKPOINT WORK

Both print one line of JSON: the versions, or ``missing`` with the package that the interpreter lacks (exit status 3). WORK holds ``pixel_values.npy``,
``input_ids.npy`` and ``attention_mask.npy``; ``logits.npy`` (float32, pictures x phrasings) is written beside them.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

PACKAGES = ("optimum", "optimum-onnx", "transformers", "torch", "onnxruntime")
TASK = "zero-shot-image-classification"
BATCH = 16  # pictures a run
MISSING = 3  # exit status


def main(arguments: list[str]) -> int:
    """Answer one command; 0, or 3 where a package is missing."""
    try:
        from optimum.exporters.onnx import main_export  # noqa: PLC0415 - whether it is there is the answer
    except ImportError as error:
        _answer({"missing": error.name or str(error)})
        return MISSING
    if arguments[0] == "export":
        checkpoint, work = arguments[1], Path(arguments[2])
        main_export(checkpoint, output=work / "graph", task=TASK, framework="pt", dtype="fp32", local_files_only=True)
        score(work)
    _answer({name: version(name) for name in PACKAGES})
    return 0


def _answer(found: dict[str, str]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")


def score(work: Path) -> None:
    """Run the exported graph over the pictures and write the logits of every phrasing."""
    import numpy as np  # noqa: PLC0415 - onnxruntime brings it; `versions` needs neither
    import onnxruntime as ort  # noqa: PLC0415 - likewise

    session = ort.InferenceSession(str(work / "graph" / "model.onnx"), providers=["CPUExecutionProvider"])
    taken = {item.name for item in session.get_inputs()}
    pixels = np.load(work / "pixel_values.npy", mmap_mode="r")
    words = {name: np.load(work / f"{name}.npy") for name in ("input_ids", "attention_mask") if name in taken}
    found = [
        session.run(["logits_per_image"], {"pixel_values": np.asarray(pixels[start : start + BATCH]), **words})[0]
        for start in range(0, len(pixels), BATCH)
    ]
    np.save(work / "logits.npy", np.concatenate(found).astype(np.float32))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
