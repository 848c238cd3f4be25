"""Phi-4: readings in, answers out, as the checkpoint answers when the readings are written into its prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
import torch

from edge.errors import ExportError
from exporters.families.phi4 import EMPTY_THOUGHT, Phi4
from exporters.graph.stream import trace
from exporters.onepass.check import require_exact
from exporters.onepass.readings import find_fields, steps
from tests.stand import tiny_checkpoints as tiny
from tests.stand.readings import QUESTIONS, READINGS, values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Phi-4."""
    torch.set_num_threads(1)
    return tiny.phi4(tmp_path_factory.mktemp("phi4"))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["tree", pytest.param("prefix", marks=pytest.mark.whole)])
def test_one_pass_in_onnx_runtime_answers_as_the_checkpoint(folder: Path, form: str, tmp_path: Path) -> None:
    """16 sets of readings x 8 questions: logits within 1e-4 of transformers reading the numbers, no verdict flips; swapped readings are caught."""
    scorer = Phi4(folder, READINGS, form=form)  # type: ignore[arg-type]  # the parameters are forms
    model = scorer.load()
    graph = scorer.one_pass(model, QUESTIONS)
    rows = values(16)
    reference = scorer.reference(model, QUESTIONS, rows)
    ir.save(trace(graph, torch.from_numpy(rows[:1]), input_name="readings", output_name="logits"), tmp_path / "g.onnx")
    session = ort.InferenceSession(str(tmp_path / "g.onnx"), providers=["CPUExecutionProvider"])
    found = np.stack([session.run(None, {"readings": row[None]})[0] for row in rows])
    assert require_exact(found, reference).spread > 0.05
    wrong = np.stack([session.run(None, {"readings": row[None, [1, 0, 2]]})[0] for row in rows])
    with pytest.raises(ExportError, match="not the checkpoint"):
        require_exact(wrong, reference)


def test_numbers_are_rounded_and_clipped() -> None:
    """A reading is the nearest whole number of steps, halves to even, kept within what three digits write."""
    assert steps(READINGS, np.array([0.25, -7.0, 1e6], dtype=np.float32)) == [2, 0, 999]


def test_a_tokenizer_that_joins_digits_is_refused() -> None:
    """Numbers whose token count varies cannot be a field of the graph."""
    with pytest.raises(ExportError, match="fixed number of tokens"):
        find_fields(READINGS, lambda text: [ord(letter) for letter in text.replace("00", "0")])


@pytest.mark.slow
def test_an_empty_thought_can_open_the_answer(folder: Path) -> None:
    """A checkpoint that was trained to think first is asked behind a closed, empty thought."""
    plain, thought = Phi4(folder, READINGS), Phi4(folder, READINGS, opening=EMPTY_THOUGHT)
    short, long = (scorer.compile(QUESTIONS, [1, 2, 3]).sequences[0] for scorer in (plain, thought))
    assert long[: len(short)] == short
    assert len(long) > len(short)


def test_a_tokenizer_without_digits_is_refused() -> None:
    """Every number would be written alike, and the readings would say nothing."""
    with pytest.raises(ExportError, match="writes every number of 'vibration' alike"):
        find_fields(READINGS, lambda text: [len(text.split())])
