"""Every generative family: one pass answers as the checkpoint does, a wrong graph is caught, and int8 is a number."""

from __future__ import annotations

from typing import Any

import pytest

from edge.errors import ExportError
from exporters.onepass.check import require_exact
from exporters.onepass.form import Form
from tests.stand import onepass_check as check
from tests.stand.family_cases import FAMILIES, Cases

TRACED = {"smolvlm", "qwen35_moe"}
"""To trace a graph takes up to a minute: `make test-whole` does it for every family, `make test` for the public demo's and for the one with everything in it."""


def _forms(*, traced: bool) -> list[Any]:
    """Every family in every form that it has; traced, all but a few only in `make test-whole`."""
    return [
        pytest.param(
            name,
            form,
            marks=pytest.mark.whole if traced and (name not in TRACED or form != family.forms[0]) else (),
            id=f"{name}-{form}",
        )
        for name, (family, _) in FAMILIES.items()
        for form in family.forms
    ]


@pytest.mark.parametrize(("name", "form"), _forms(traced=True))
def test_one_pass_in_onnx_runtime_answers_as_the_checkpoint(cases: Cases, name: str, form: Form) -> None:
    """16 pictures or more x 8 questions: logits within 1e-4 of transformers asked one by one, no verdict flips."""
    case = cases(name, many=True)  # the graph of the test of int8
    assert check.in_onnx_runtime(case, form).verdicts == len(case.frames) * 8 >= 128


@pytest.mark.parametrize(("name", "form"), _forms(traced=False))
def test_a_wrong_graph_is_caught(cases: Cases, name: str, form: Form) -> None:
    """The same check refuses two swapped questions, and names them, and a shifted position id; the right graph passes it."""
    case = cases(name)
    require_exact(check.in_torch(case, case.model.one_pass(case.prompts, form)), case.reference)
    with pytest.raises(ExportError, match="questions are swapped"):
        require_exact(check.swapped(case, form), case.reference)
    with pytest.raises(ExportError, match="not the checkpoint"):
        require_exact(check.shifted(case, form), case.reference)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name if name in TRACED else pytest.param(name, marks=pytest.mark.whole) for name in FAMILIES])  # fmt: skip
def test_int8_keeps_nearly_all_verdicts(cases: Cases, name: str) -> None:
    """Dynamic int8 drifts, and the drift is a number: on random weights at most 3 % of verdicts flip."""
    case = cases(name, many=True)
    found = check.quantized(case, case.model.family.forms[0])
    assert 1e-4 < found.mean_abs < 0.2
    assert found.flips <= 0.03 * found.verdicts
