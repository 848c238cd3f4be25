"""The same checkpoint through two independent stacks: optimum's ONNX export in a legacy environment, and our specialised graph.

    python -m benchmarks.optimum_crosscheck --checkpoint FOLDER --python build/optimum-venv/bin/python

Compares, on seeded frames of the model's own size, the words' evidence: ours by `exporters` (torch module, as exported), theirs by optimum's ONNX of the whole
model, run by ONNX Runtime there on pixel values and token ids. Exit status 0 when the largest difference is below 1e-3.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FRAMES = 8
ALLOWED = 1e-3
FAULTS = {"crack": ("a crack", "a cracked part"), "rust": ("rust", "a rusty patch"), "dent": ("a dent",)}
NORMAL = ("a flawless part", "no visible fault")

# Runs in the legacy environment: export with optimum, then one run over all frames and texts.
THEIRS = """
import sys
import numpy as np, onnxruntime as ort
from optimum.exporters.onnx import main_export
from pathlib import Path
checkpoint, work = sys.argv[1:]
main_export(checkpoint, output=work + "/optimum", task="zero-shot-image-classification", framework="pt", dtype="fp32")
given = np.load(work + "/given.npz")
session = ort.InferenceSession(work + "/optimum/model.onnx", providers=["CPUExecutionProvider"])
names = {item.name for item in session.get_inputs()}
feed = {"pixel_values": given["pixels"], "input_ids": given["ids"], "attention_mask": np.ones_like(given["ids"])}
logits = session.run(["logits_per_image"], {name: value for name, value in feed.items() if name in names})[0]
np.save(work + "/logits.npy", logits)
import optimum.version, transformers
print("optimum", optimum.version.__version__, "transformers", transformers.__version__, "onnxruntime", ort.__version__, "inputs", sorted(names))
"""


def main() -> int:
    """Compare; print the figures."""
    parser = argparse.ArgumentParser(description="Cross-check a dual encoder against optimum's export.")
    parser.add_argument("--checkpoint", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--python", type=Path, required=True, help="interpreter of the legacy environment")
    options = parser.parse_args()
    phrases = [*NORMAL, *(phrase for words in FAULTS.values() for phrase in words)]
    with tempfile.TemporaryDirectory(prefix="crosscheck-") as work:
        ours = _ours(options.checkpoint, phrases, Path(work))
        done = subprocess.run(
            [str(options.python), "-c", THEIRS, str(options.checkpoint.resolve()), work],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            print(done.stderr[-3000:], file=sys.stderr)
            return 2
        print(done.stdout.strip().splitlines()[-1])
        theirs = _contrast(np.load(Path(work) / "logits.npy"), phrases)
    difference = float(np.abs(ours - theirs).max())
    print(
        f"{len(ours)} frames x {len(FAULTS)} faults: largest difference of evidence {difference:.2e} (spread {np.ptp(ours):.2f})"
    )
    return 0 if difference < ALLOWED else 1


def _ours(folder: Path, phrases: list[str], work: Path) -> NDArray[np.float32]:
    """Evidence by our module; leaves pixel values and token ids for the other side."""
    import torch  # noqa: PLC0415 - after the arguments have been read

    from exporters import load  # noqa: PLC0415 - imports torch
    from exporters.families.base import Question  # noqa: PLC0415 - likewise
    from exporters.families.dual_encoder import DualEncoderModel  # noqa: PLC0415 - likewise
    from exporters.images import synthetic_frames  # noqa: PLC0415 - likewise

    checkpoint, family = load.inspect(folder)
    spec = family.pixels(checkpoint)
    model = load.load(checkpoint, family)
    assert isinstance(model, DualEncoderModel)
    frames = synthetic_frames(FRAMES, spec.height, spec.width, seed=3)
    length = int(model.model.config.text_config.max_position_embeddings)
    padding = "max_length" if model.family.pad_to_max else True
    tokens = model.tokenizer(phrases, padding=padding, max_length=length, truncation=True, return_tensors="np")
    np.savez(work / "given.npz", pixels=model.normalise(frames), ids=tokens["input_ids"].astype(np.int64))
    questions = [Question(name, words, NORMAL) for name, words in FAULTS.items()]
    with torch.inference_mode():
        found: NDArray[np.float32] = model.graph(questions, None)(torch.from_numpy(frames)).numpy()
    return found


def _contrast(logits: NDArray[np.float32], phrases: list[str]) -> NDArray[np.float32]:
    """Mean of each fault's logits less the mean of the normal ones (the common bias cancels): [frames, faults]."""
    column = {phrase: index for index, phrase in enumerate(phrases)}
    normal = logits[:, [column[phrase] for phrase in NORMAL]].mean(axis=1)
    faults = [logits[:, [column[phrase] for phrase in words]].mean(axis=1) - normal for words in FAULTS.values()]
    return np.stack(faults, axis=1).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
