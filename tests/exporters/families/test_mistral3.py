"""Mistral 3: what is peculiar to the family; what it shares with the others is in `test_every_family`."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.families.mistral3 import Mistral3
from exporters.onepass.check import require_exact
from tests.stand import onepass_check as check
from tests.stand import tiny_checkpoints as tiny
from tests.stand.family_cases import Cases


@pytest.fixture
def case(cases: Cases) -> check.Case:
    """A tiny Mistral 3 with the reference's answers."""
    return cases("mistral3")


def test_ministral3_is_the_same_family(tmp_path: Path) -> None:
    """Ministral 3's decoder (queries scaled with the position) goes the same way."""
    second = check.make(Mistral3(resolution_px=64), tiny.mistral3(tmp_path, decoder="ministral3"), pictures=8)
    require_exact(check.in_torch(second, second.model.one_pass(second.prompts)), second.reference)
