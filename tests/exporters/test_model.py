"""The seam: families and loaded models answer for themselves, so that no later stage asks which kind it holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.errors import ConfigError, ExportError
from exporters import load
from exporters.device import board_names, load_device
from exporters.families.registry import FAMILIES
from exporters.graph.specialise import plain_scale
from exporters.job import prepare
from exporters.model import INT4, Examples, Family, Question, SpeechRequest
from tests.exporters.conftest import BOARD, job_for
from tests.stand import tiny_checkpoints as tiny

ASKED = (Question("crack", ("a crack",), ("a smooth surface",)),)
FRAMES = np.zeros((2, 32, 32, 3), np.uint8)
WITHOUT_FOUR_BITS = {"qwen3-5-moe"}  # experts have no such form


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_four_bits_are_tried_only_where_a_decoder_can_be_streamed(family: Family) -> None:
    """On every board a family names schemes of its own; what streams tries 4 bits on a CPU, and never a static range from disk."""
    for name in board_names():
        _, board = load_device(name)
        on_cpu = board.providers[0] == "CPUExecutionProvider"
        wanted = family.streams and on_cpu and family.name not in WITHOUT_FOUR_BITS
        assert (INT4 in family.schemes(board, streamed=False)) == wanted, name
        if family.streams:
            assert "static-int8" not in family.schemes(board, streamed=True), name
        else:
            assert family.schemes(board, streamed=False) == board.schemes, name


def test_what_a_dual_encoder_lacks_is_refused_in_words(site: Path, siglip: Path, tmp_path: Path) -> None:
    """It writes no graph tensor by tensor, learns no tokens, speaks no sentence and stays in memory; each error says who can."""
    job = job_for(site, siglip.name)
    model = load.load(job.checkpoint, job.family)
    with pytest.raises(ExportError, match="decoder-int4 is for checkpoints that answer in words"):
        model.stream(ASKED, plain_scale(1), tmp_path / "graph.onnx", INT4)
    empty = np.zeros((2, 1), np.float32)
    with pytest.raises(ExportError, match="need a checkpoint that answers in words"):
        model.one_token(ASKED, Examples(FRAMES, empty, np.zeros(2, np.bool_)))
    with pytest.raises(ExportError, match="for checkpoints that answer in words: remove the section"):
        model.speech(
            SpeechRequest(("What is wrong?",), FRAMES, tmp_path, tokens=4, scheme="float32", reduce_range=False)
        )
    with pytest.raises(ExportError, match="needs its weights in memory"):
        load.load(job.checkpoint, job.family, streamed=True)
    assert job.stream_plan("float32") is None
    with pytest.raises(ExportError, match="needs its weights in memory"):
        job.family.stream_plan(job.checkpoint, "float32")


def test_what_a_dual_encoder_need_not_do_changes_nothing(site: Path, siglip: Path) -> None:
    """It has one form and no mask: both answers are the model itself, without a word for the report."""
    job = job_for(site, siglip.name)
    model = load.load(job.checkpoint, job.family)
    said: list[str] = []
    assert model.formed(ASKED, job.provider, said.append) == (model, ())
    assert model.masked(ASKED, FRAMES) is model
    assert said == []
    assert job.sizes == ()


def test_a_scheme_of_decoders_is_refused_before_anything_is_read(site: Path, siglip: Path) -> None:
    """Where the recipe asks a dual encoder for 4 bits, the message says what to take out."""
    with pytest.raises(ConfigError, match=r"siglip has no decoder: take it out of quantization\.schemes"):
        job_for(site, siglip.name, f'quantization = {{ schemes = ["{INT4}"] }}')


def test_a_checkpoint_on_disk_keeps_its_familys_first_form(tmp_path: Path) -> None:
    """A trial of each form would write the whole checkpoint, so nothing is timed."""
    (tmp_path / "smolvlm").mkdir()
    tiny.smolvlm(tmp_path / "smolvlm")
    recipe = 'name = "x"\ncheckpoint = "smolvlm"\ngenerative = { stream = true }\n[[faults]]\nid = "a"\ntitle = "A"\nwords = ["a"]\n'
    (tmp_path / "recipe.toml").write_text(recipe)
    job = prepare(tmp_path / "recipe.toml", BOARD)
    model = load.load(job.checkpoint, job.family, streamed=job.streamed)
    said: list[str] = []
    assert model.formed(job.questions, job.provider, said.append) == (model, ())
    assert said == []
