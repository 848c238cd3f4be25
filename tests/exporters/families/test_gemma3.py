"""Gemma 3: what is peculiar to the family; what it shares with the others is in `test_every_family`."""

from __future__ import annotations

import dataclasses

import pytest
from PIL import Image

from edge.errors import ExportError
from exporters.families.gemma3 import Gemma3
from exporters.onepass.check import require_exact
from exporters.onepass.prompts import load_tokenizer
from tests.stand import onepass_check as check
from tests.stand.family_cases import Cases


@pytest.fixture
def case(cases: Cases) -> check.Case:
    """A tiny Gemma 3 with the reference's answers."""
    return cases("gemma3")


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
