"""SmolVLM and Idefics3: what is peculiar to the family; what it shares with the others is in `test_every_family`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edge.errors import ExportError
from edge.inference.engine import Engine
from edge.manifest import Execution
from exporters.checkpoint.folder import read_checkpoint
from exporters.families.smolvlm import SmolVlm
from exporters.graph.export import export
from exporters.graph.specialise import plain_scale, specialise
from exporters.model import Question
from exporters.onepass.check import require_exact
from exporters.onepass.prompts import load_tokenizer
from tests.stand import onepass_check as check
from tests.stand import tiny_checkpoints as tiny
from tests.stand.family_cases import Cases


@pytest.fixture
def case(cases: Cases) -> check.Case:
    """A tiny SmolVLM with the reference's answers."""
    return cases("smolvlm")


def test_the_tokens_are_the_processors_own(case: check.Case) -> None:
    """The prompts are token for token what the family's processor makes of the same conversation."""
    from transformers import AutoImageProcessor, Idefics3Processor

    folder = case.model.checkpoint.folder
    tokenizer = load_tokenizer(folder)
    processor = Idefics3Processor(AutoImageProcessor.from_pretrained(folder), tokenizer, image_seq_len=16)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Answer with yes or no. Is the lens blocked?"}]}],
        tokenize=False, add_generation_prompt=True,
    )  # fmt: skip
    found = processor(
        text=text, images=[[Image.fromarray(case.frames[0])]], do_image_splitting=False, add_special_tokens=False
    )
    assert tuple(found["input_ids"][0]) == case.prompts.sequences[5]


@pytest.mark.whole  # every build of a recipe does it, within 1e-4
def test_the_daemon_runs_the_graph(case: check.Case, tmp_path: Path) -> None:
    """Behind the seam of the toolchain it is a family like any other: uint8 frame in, one score per fault out of the daemon's engine."""
    questions = check.questions()
    spec = case.model.family.pixels(case.model.checkpoint)
    module = specialise(case.model.graph(questions, None), plain_scale(len(questions)))
    graph = export(module, spec.height, spec.width, tmp_path / "graph.onnx")
    execution = Execution(graph=graph.name, provider="CPUExecutionProvider", intra_op_threads=1, scheme="float32")
    engine = Engine.load(graph, execution, input_name="frame", output_name="scores")
    evidence = case.model.reference(case.model.normalise(case.frames[:8]), questions, None)
    wanted = 1 / (1 + np.exp(-evidence))
    found = np.stack([engine.run(frame[None]) for frame in case.frames[:8]])
    assert np.abs(found - wanted).max() < 1e-5


def test_phrasings_of_one_fault_are_averaged(case: check.Case) -> None:
    """A fault with two phrasings has two branches, and its evidence is their mean margin."""
    first, second = check.questions()[:2]
    both = Question(id="both", words=first.words + second.words, normal_words=())
    graph = case.model.graph([both, second], None)
    with torch.inference_mode():
        found = graph(torch.from_numpy(case.frames[:1])).numpy()
    margins = case.reference[0, :, 0] - case.reference[0, :, 1]
    assert found[0] == pytest.approx([margins[:2].mean(), margins[1]], abs=1e-4)


def test_another_resolution(case: check.Case) -> None:
    """At half the tower's resolution the position table is read as the family reads it, with a quarter of the image tokens."""
    small = check.make(SmolVlm(resolution_px=32), case.model.checkpoint.folder, pictures=8)
    assert small.prompts.sequences[0].count(small.model.family.image_token(small.model.checkpoint)) == 4
    require_exact(check.in_torch(small, small.model.one_pass(small.prompts)), small.reference)


def test_smolvlm2_is_the_same_family(tmp_path: Path) -> None:
    """Model type smolvlm (SmolVLM2) goes the same way as idefics3 (SmolVLM)."""
    second = check.make(SmolVlm(), tiny.smolvlm(tmp_path, model_type="smolvlm"), pictures=4)
    require_exact(check.in_torch(second, second.model.one_pass(second.prompts)), second.reference)


def test_a_resolution_that_does_not_fit_is_refused(case: check.Case) -> None:
    """A resolution that is no multiple of what an image token stands for is refused with that number."""
    with pytest.raises(ExportError, match="multiple of 16 px"):
        SmolVlm(resolution_px=40).pixels(read_checkpoint(case.model.checkpoint.folder))
