"""Qwen3.5: one pass answers as the checkpoint does, and a wrong graph is caught."""

from __future__ import annotations

import pytest

from edge.errors import ExportError
from exporters.families.qwen35 import Qwen35
from exporters.onepass.check import require_exact
from exporters.onepass.generative import Form
from tests.exporters import onepass_check as check
from tests.exporters import tiny_checkpoints as tiny

FORMS = ["prefix"]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> check.Case:
    """A tiny Qwen3.5 with the reference's answers."""
    return check.make(Qwen35(resolution_px=64), tiny.qwen35(tmp_path_factory.mktemp("qwen35")))


@pytest.mark.parametrize("form", FORMS)
def test_one_pass_in_onnx_runtime_answers_as_the_checkpoint(case: check.Case, form: Form) -> None:
    """64 pictures x 8 questions: logits within 1e-4 of transformers asked one by one, no verdict flips."""
    assert check.in_onnx_runtime(case, form).verdicts == 512


@pytest.mark.parametrize("form", ["prefix"])
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
    found = check.quantized(case, "prefix")
    assert 1e-4 < found.mean_abs < 0.2
    assert found.flips <= 0.03 * found.verdicts


def test_a_tree_is_refused(case: check.Case) -> None:
    """A recurrent layer cannot be masked: the tree form is refused with the forms that there are."""
    with pytest.raises(ExportError, match="it has: prefix"):
        case.model.one_pass(case.prompts, "tree")
