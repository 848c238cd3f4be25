"""Mistral 3: one pass answers as the checkpoint does, and a wrong graph is caught."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ExportError
from exporters.families.mistral3 import Mistral3
from exporters.onepass.check import require_exact
from exporters.onepass.generative import Form
from tests.exporters import onepass_check as check
from tests.exporters import tiny_checkpoints as tiny

FORMS = ["tree", pytest.param("prefix", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> check.Case:
    """A tiny Mistral 3 with the reference's answers."""
    return check.make(Mistral3(resolution_px=64), tiny.mistral3(tmp_path_factory.mktemp("mistral3")))


@pytest.mark.parametrize("form", FORMS)
def test_one_pass_in_onnx_runtime_answers_as_the_checkpoint(case: check.Case, form: Form) -> None:
    """64 pictures x 8 questions: logits within 1e-4 of transformers asked one by one, no verdict flips."""
    assert check.in_onnx_runtime(case, form).verdicts == 512


@pytest.mark.parametrize("form", ["tree", "prefix"])
def test_a_wrong_graph_is_caught(case: check.Case, form: Form) -> None:
    """The same check refuses two swapped questions, and names them, and a shifted position id; the right graph passes it."""
    require_exact(check.in_torch(case, case.model.one_pass(case.prompts, form)), case.reference)
    with pytest.raises(ExportError, match="questions are swapped"):
        require_exact(check.swapped(case, form), case.reference)
    with pytest.raises(ExportError, match="not the checkpoint"):
        require_exact(check.shifted(case, form), case.reference)


@pytest.mark.slow
def test_int8_keeps_nearly_all_verdicts(case: check.Case) -> None:
    """Dynamic int8 drifts, and the drift is a number: on random weights at most 3 % of verdicts flip."""
    found = check.quantized(case, "tree")
    assert 1e-4 < found.mean_abs < 0.2
    assert found.flips <= 0.03 * found.verdicts


def test_ministral3_is_the_same_family(tmp_path: Path) -> None:
    """Ministral 3's decoder (queries scaled with the position) goes the same way."""
    second = check.make(Mistral3(resolution_px=64), tiny.mistral3(tmp_path, decoder="ministral3"), pictures=8)
    require_exact(check.in_torch(second, second.model.one_pass(second.prompts)), second.reference)
