"""Qwen3.5: what is peculiar to the family; what it shares with the others is in `test_every_family`."""

from __future__ import annotations

import pytest

from edge.errors import ExportError
from tests.exporters import onepass_check as check
from tests.exporters.families.conftest import Cases


@pytest.fixture
def case(cases: Cases) -> check.Case:
    """A tiny Qwen3.5 with the reference's answers."""
    return cases("qwen35")


def test_a_tree_is_refused(case: check.Case) -> None:
    """A recurrent layer cannot be masked: the tree form is refused with the forms that there are."""
    with pytest.raises(ExportError, match="it has: prefix"):
        case.model.one_pass(case.prompts, "tree")
