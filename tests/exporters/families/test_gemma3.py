"""Gemma 3: one pass answers as the checkpoint does, and a wrong graph is caught."""

from __future__ import annotations

import dataclasses

import pytest
from PIL import Image

from edge.errors import ExportError
from exporters.families.gemma3 import Gemma3
from exporters.onepass.check import require_exact
from exporters.onepass.generative import Form
from exporters.onepass.prompts import load_tokenizer
from tests.exporters import onepass_check as check
from tests.exporters import tiny_checkpoints as tiny

FORMS = ["tree", pytest.param("prefix", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> check.Case:
    """A tiny Gemma 3 with the reference's answers."""
    return check.make(Gemma3(), tiny.gemma3(tmp_path_factory.mktemp("gemma3")))


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


def test_the_tokens_are_the_processors_own(case: check.Case) -> None:
    """The prompts are token for token what the family's processor makes of the same conversation."""
    from transformers import AutoImageProcessor, Gemma3Processor

    folder = case.model.checkpoint.folder
    tokenizer = load_tokenizer(folder)
    processor = Gemma3Processor(AutoImageProcessor.from_pretrained(folder), tokenizer, image_seq_length=16)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Answer with yes or no. Is the lens blocked?"}]}],
        tokenize=False, add_generation_prompt=True,
    )  # fmt: skip
    found = processor(text=text, images=[[Image.fromarray(case.frames[0])]], add_special_tokens=False)
    assert tuple(found["input_ids"][0]) == case.prompts.sequences[5]


def test_a_mask_without_the_two_way_image_is_caught(case: check.Case) -> None:
    """What a known fusion pass does silently, dropping the two-way mask between image tokens, does not pass."""
    one_way = dataclasses.replace(case.model, family=OneWay())
    with pytest.raises(ExportError, match="not the checkpoint"):
        require_exact(check.in_torch(case, one_way.one_pass(case.prompts, "tree")), case.reference)


class OneWay(Gemma3):
    """Gemma 3 with a fault."""

    two_way_image = False


def test_another_resolution_is_refused(case: check.Case) -> None:
    """The projector pools the tower's own grid; another size is refused with what to do."""
    with pytest.raises(ExportError, match="leave the resolution out"):
        Gemma3(resolution_px=32).load(case.model.checkpoint)
