"""Qwen3-VL: one pass answers as the checkpoint does, and a wrong graph is caught."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edge.errors import ExportError
from exporters.families.qwen3_vl import Qwen3Vl
from exporters.onepass.check import require_exact
from exporters.onepass.generative import Form
from tests.exporters import onepass_check as check
from tests.exporters import tiny_checkpoints as tiny

FORMS = ["tree", pytest.param("prefix", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> check.Case:
    """A tiny Qwen3-VL with the reference's answers."""
    return check.make(Qwen3Vl(resolution_px=64), tiny.qwen3_vl(tmp_path_factory.mktemp("qwen3_vl")))


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


def test_positions_follow_the_reference(case: check.Case) -> None:
    """Positions along time, height and width are those that the model works out itself, for the prefix and every question's rest."""
    family, prompts = case.model.family, case.prompts
    token = family.image_token(case.model.checkpoint)
    whole = np.asarray(prompts.sequences[0])[None]
    wanted, _ = case.model.model.model.get_rope_index(
        torch.from_numpy(whole),
        torch.from_numpy((whole == token).astype(np.int64)),
        image_grid_thw=torch.tensor([[1, 8, 8]]),
    )
    found = family.positions(prompts.sequences[0], token, 4)
    assert np.array_equal(found, wanted[:, 0].numpy())
