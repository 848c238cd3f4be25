"""What every generative family is put through: one-pass graph in ONNX Runtime against the checkpoint asked question by question."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from exporters.checkpoint.folder import read_checkpoint
from exporters.families.generative import GenerativeFamily
from exporters.graph.export import export
from exporters.graph.quantize import quantize
from exporters.model import Question
from exporters.onepass.check import Difference, compare, require_exact
from exporters.onepass.compiled import GenerativeModel
from exporters.onepass.form import Form
from exporters.onepass.module import OnePass
from exporters.onepass.prompts import Prompts
from exporters.onepass.reference import ask

FAULTS = (
    "a scratch", "a crack on the part", "a missing bolt", "a dent", "rust",
    "Is the lens blocked?", "Is oil leaking from the gearbox?", "Is the part misaligned?",
)  # fmt: skip
PICTURES = 16
torch.set_num_threads(1)  # tiny products: a second thread only costs hand-overs


@dataclass(frozen=True)
class Case:
    """A loaded tiny checkpoint with its pictures and what the reference answers."""

    model: GenerativeModel
    prompts: Prompts
    frames: NDArray[np.uint8]
    reference: NDArray[np.float32]
    work: Path

    def exported(self, form: Form) -> Path:
        """The one-pass graph with logits as its output, exported once."""
        target = self.work / f"{form}.onnx"
        if not target.exists():
            spec = self.model.family.pixels(self.model.checkpoint)
            export(self.model.one_pass(self.prompts, form), spec.height, spec.width, target, fused=True)
        return target


def make(family: GenerativeFamily, folder: Path, *, pictures: int = PICTURES) -> Case:
    """Load the checkpoint and ask the reference every question about every picture, one at a time."""
    checkpoint = read_checkpoint(folder)
    assert family.matches(checkpoint)
    model = family.load(checkpoint)
    prompts = family.compile(checkpoint, questions())
    spec = family.pixels(checkpoint)
    frames = draw(pictures, spec.height, spec.width)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return Case(model, prompts, frames, ask(model, model.normalise(frames), prompts), work)


def questions() -> list[Question]:
    """Eight faults, one phrasing each."""
    return [Question(id=f"fault-{index}", words=(words,), normal_words=()) for index, words in enumerate(FAULTS)]


def draw(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Pictures with coarse colours and fine noise in varying shares."""
    random = np.random.default_rng(7)
    coarse = random.integers(0, 256, (count, 4, 4, 3)).repeat(height // 4, axis=1).repeat(width // 4, axis=2)
    noise = random.integers(0, 256, (count, height, width, 3))
    share = random.random((count, 1, 1, 1))
    return (share * coarse + (1 - share) * noise).astype(np.uint8)


def in_onnx_runtime(case: Case, form: Form) -> Difference:
    """Export, run with nothing but ONNX Runtime, and require the checkpoint's own answers."""
    found = require_exact(run(case.exported(form), case.frames), case.reference)
    assert found.spread > 0.05, "the tiny checkpoint hardly looks at its picture: the comparison proves nothing"
    return found


def run(graph: Path, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits [N, Q, 2] of a one-pass graph."""
    session = ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: frame[None]})[0] for frame in frames])


def in_torch(case: Case, graph: torch.nn.Module) -> NDArray[np.float32]:
    """Logits [N, Q, 2] of the module itself."""
    with torch.inference_mode():
        return np.stack([graph(torch.from_numpy(frame[None])).numpy() for frame in case.frames])


def swapped(case: Case, form: Form) -> NDArray[np.float32]:
    """Sabotage: two questions change places."""
    first, second, *rest = case.prompts.sequences
    wrong = dataclasses.replace(case.prompts, sequences=(second, first, *rest))
    return in_torch(case, case.model.one_pass(wrong, form))


def shifted(case: Case, form: Form) -> NDArray[np.float32]:
    """Sabotage: the branches stand one position too far behind the prefix."""
    graph = case.model.one_pass(case.prompts, form)
    assert isinstance(graph, OnePass)
    stage = "packed" if form == "tree" else "branch"
    start = graph.prefix if form == "tree" else 0
    with torch.no_grad():
        for name, table in graph.named_buffers():
            if name.startswith((f"{stage}_cos", f"{stage}_sin")):
                table[:, start:] = table[:, start:].roll(-1, dims=1)
    return in_torch(case, graph)


def quantized(case: Case, form: Form) -> Difference:
    """Quantize the exported graph to dynamic int8 with the toolchain's own stage, and compare."""
    target = quantize(
        "dynamic-int8",
        case.exported(form),
        case.work / f"{form}-int8.onnx",
        frames=case.frames[:1],
        input_name="frame",
        reduce_range=True,
    )
    return compare(run(target, case.frames), case.reference)
