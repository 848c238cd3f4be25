"""The form is chosen by time, and really timed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from exporters.checkpoint.folder import read_checkpoint
from exporters.families.smolvlm import SmolVlm
from exporters.onepass.choose import choose_form, fastest
from exporters.onepass.form import Form
from tests.stand import onepass_check as check
from tests.stand import tiny_checkpoints as tiny


def test_the_lowest_median_wins() -> None:
    """One slow outlier does not cost a form the choice."""
    choice = fastest({"tree": [10.0, 10.0, 500.0], "prefix": [11.0, 11.0, 11.0]})
    assert choice.form == "tree"
    assert choice.median_ms["prefix"] == pytest.approx(11.0)


@pytest.mark.parametrize(("prefix_ms", "form"), [(9.9, "tree"), (9.0, "prefix")])
def test_noise_does_not_change_the_form(prefix_ms: float, form: str) -> None:
    """The family's first form stays unless another gains more than runs differ by."""
    choice = fastest({"tree": [10.0] * 3, "prefix": [prefix_ms] * 3})
    assert choice.form == form
    assert "tree 10.00 ms" in choice.note()


@pytest.mark.whole  # `test_pipeline` builds a recipe whose two forms are timed
def test_both_forms_are_measured(tmp_path: Path) -> None:
    """A family with two forms is exported in both and timed in the daemon's engine."""
    checkpoint = read_checkpoint(tiny.smolvlm(tmp_path))
    model = SmolVlm().load(checkpoint)

    def make(form: Form) -> nn.Module:
        return replace(model, family=SmolVlm(form=form)).graph(check.questions(), None)

    choice = choose_form(SmolVlm.forms, make, (64, 64), len(check.questions()), rounds=2)
    assert set(choice.median_ms) == {"tree", "prefix"}
    assert all(value > 0 for value in choice.median_ms.values())
