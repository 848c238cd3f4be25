"""An interpreter that has a package by optimum's name: another exporter of a whole dual encoder, where the real one is not installed.

It traces transformers' own forward pass of pictures and texts together, which shares neither the specialised tower nor the compiled words with the
toolchain. It refuses to work where it could reach the network.
"""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGES = {"optimum": "0.1.stand-in", "optimum-onnx": "0.2.stand-in"}
OFFSET = "offset.txt"  # in its folder: what is added to the logits of the first phrase
_WHOLE = """
import torch


class Whole(torch.nn.Module):
    def __init__(self, model, offset):
        super().__init__()
        self.model, self.offset = model, offset

    def forward(self, pixel_values, input_ids, attention_mask):
        found = self.model(pixel_values=pixel_values, input_ids=input_ids, attention_mask=attention_mask).logits_per_image
        return found + torch.nn.functional.one_hot(torch.tensor(0), found.shape[1]) * self.offset
"""
# What takes seconds to import comes last: whoever asks for versions, or is refused, does not wait for it.
_EXPORT = """
import os
from pathlib import Path

OFFSET = Path(__file__).parents[3] / "offset.txt"


def main_export(checkpoint, output, task, framework, dtype, local_files_only):
    assert local_files_only and (task, framework, dtype) == ("zero-shot-image-classification", "pt", "fp32")
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        if os.environ[name] != "1":
            raise RuntimeError(f"{name} is {os.environ[name]}: this export could reach the network")
    if not os.environ["HF_HOME"].startswith(str(output.parent)):
        raise RuntimeError("the cache of downloads is not its own")
    offset = float(OFFSET.read_text()) if OFFSET.exists() else 0.0
    import numpy as np
    import torch
    from optimum.exporters.onnx.whole import Whole
    from transformers import AutoModel

    names = ["pixel_values", "input_ids", "attention_mask"]
    examples = tuple(torch.from_numpy(np.load(output.parent / f"{name}.npy")) for name in names)
    output.mkdir()
    model = Whole(AutoModel.from_pretrained(checkpoint, local_files_only=True).eval(), offset).eval()
    program = torch.onnx.export(model, examples, dynamo=True, input_names=names, output_names=["logits_per_image"])
    program.save(output / "model.onnx")
"""
# The option -I keeps folders that are named in the environment out, so the interpreter puts the package in front itself.
_INTERPRETER = """#!/bin/sh
shift
exec {python} -c 'import sys, runpy; sys.path.insert(0, "{folder}"); sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name="__main__")' "$@"
"""


def make_interpreter(folder: Path) -> Path:
    """Write package and interpreter into a new folder, and return the interpreter."""
    package = folder / "optimum" / "exporters" / "onnx"
    package.mkdir(parents=True)
    for inner in (folder / "optimum", folder / "optimum" / "exporters"):
        (inner / "__init__.py").touch()
    (package / "__init__.py").write_text(_EXPORT)
    (package / "whole.py").write_text(_WHOLE)
    for name, version in PACKAGES.items():
        facts = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    interpreter = folder / "python"
    interpreter.write_text(_INTERPRETER.format(python=sys.executable, folder=folder))
    interpreter.chmod(0o755)
    return interpreter
