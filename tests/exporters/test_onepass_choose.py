"""The form is chosen by time, and really timed."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporters.families.base import read_checkpoint
from exporters.families.smolvlm import SmolVlm
from exporters.onepass.choose import choose_form, fastest
from tests.exporters import onepass_check as check
from tests.exporters import tiny_checkpoints as tiny


def test_the_lowest_median_wins() -> None:
    """One slow outlier does not cost a form the choice."""
    choice = fastest({"tree": [10.0, 10.0, 500.0], "prefix": [11.0, 11.0, 11.0]})
    assert choice.form == "tree"
    assert choice.median_ms["prefix"] == pytest.approx(11.0)


@pytest.mark.slow
def test_both_forms_are_measured(tmp_path: Path) -> None:
    """A family with two forms is exported in both and timed in the daemon's engine."""
    checkpoint = read_checkpoint(tiny.smolvlm(tmp_path))
    choice = choose_form(SmolVlm().load(checkpoint), check.questions(), rounds=2)
    assert set(choice.median_ms) == {"tree", "prefix"}
    assert all(value > 0 for value in choice.median_ms.values())
