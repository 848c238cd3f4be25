"""Every family's one-pass graph in ONNX Runtime against transformers asked question by question: 64 pictures x 8 questions, and after int8."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import torch

from benchmarks import report
from exporters.families import gemma3, mistral3, qwen3_vl, qwen35, smolvlm
from exporters.families.generative import GenerativeFamily
from exporters.families.phi4 import Phi4
from exporters.graph.fuse import fuse
from exporters.graph.quantize import quantize
from exporters.graph.stream import trace
from exporters.onepass.check import Difference, compare
from exporters.onepass.form import Form
from tests.stand import onepass_check as check
from tests.stand import readings as phi
from tests.stand import tiny_checkpoints as tiny

NAME = "onepass_families"
Make = Callable[[Path], Path]
FAMILIES: dict[str, tuple[GenerativeFamily, Make]] = {
    "SmolVLM (idefics3)": (smolvlm.SmolVlm(), tiny.smolvlm),
    "Gemma 3": (gemma3.Gemma3(), tiny.gemma3),
    "Qwen3-VL": (qwen3_vl.Qwen3Vl(resolution_px=64), tiny.qwen3_vl),
    "Qwen3.5": (qwen35.Qwen35(resolution_px=64), tiny.qwen35),
    "Qwen3.5, mixture of experts": (qwen35.Qwen35Moe(resolution_px=64), tiny.qwen35_moe),
    "Mistral 3": (mistral3.Mistral3(resolution_px=64), tiny.mistral3),
    "Ministral 3": (mistral3.Mistral3(resolution_px=64), lambda folder: tiny.mistral3(folder, decoder="ministral3")),
}


def main(_: argparse.Namespace) -> None:
    """All families, all forms."""
    rows = []
    for name, (family, make) in FAMILIES.items():
        with tempfile.TemporaryDirectory() as folder:
            case = check.make(family, make(Path(folder)))
            for form in family.forms:
                found = compare(check.run(case.exported(form), case.frames), case.reference)
                rows.append(_row(name, form, found, check.quantized(case, form)))
    forms: tuple[Form, ...] = ("tree", "prefix")
    rows += [_row("Phi-4 (readings)", form, *_phi4(form)) for form in forms]
    report.write(
        NAME,
        title="One pass against the checkpoint asked question by question",
        rows=rows,
        notes=[
            "Tiny random checkpoints with each family's structure, float32, ONNX Runtime only; transformers is the reference, one forward pass a question.",
            (
                "int8: dynamic, weights in 7 bits per channel, everything but products below 4,096 weights. Drift is the mean difference of a logit; "
                "the spread is the smallest standard deviation of a question's margin over the pictures, which the drift is to be held against."
            ),
            "Random weights leave margins near zero, where a verdict flips easily; a build reports and gates flips for the checkpoint at hand.",
        ],
    )


def _row(family: str, form: str, exact: Difference, small: Difference) -> dict[str, object]:
    return {
        "family": family,
        "form": form,
        "largest error of a logit": f"{exact.max_abs:.1e}",
        "flips": f"{exact.flips} of {exact.verdicts}",
        "int8 flips": f"{small.flips} of {small.verdicts}",
        "int8 drift": f"{small.mean_abs:.3f}",
        "spread": f"{exact.spread:.2f}",
    }


def _phi4(form: Form) -> tuple[Difference, Difference]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        scorer = Phi4(tiny.phi4(folder), phi.READINGS, form=form)
        model = scorer.load()
        rows = phi.values(64)
        reference = scorer.reference(model, phi.QUESTIONS, rows)
        example = torch.from_numpy(rows[:1])
        graph = trace(scorer.one_pass(model, phi.QUESTIONS), example, input_name="readings", output_name="logits")
        fuse(graph)
        ir.save(graph, folder / "float.onnx")
        blank = np.zeros((1, 1, 1, 3), dtype=np.uint8)  # only static ranges look at frames
        quantize(
            "dynamic-int8",
            folder / "float.onnx",
            folder / "int8.onnx",
            frames=blank,
            input_name="readings",
            reduce_range=True,
        )
        return compare(_run(folder / "float.onnx", rows), reference), compare(
            _run(folder / "int8.onnx", rows), reference
        )


def _run(
    graph: Path, rows: np.ndarray[tuple[int, int], np.dtype[np.float32]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    return np.stack([session.run(None, {"readings": row[None]})[0] for row in rows])
