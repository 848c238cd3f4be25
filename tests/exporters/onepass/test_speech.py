"""A generative checkpoint speaks on the device as it does in transformers: the same tokens, by the daemon's own loop, without a tokenizer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge.bundle import open_bundle
from edge.errors import ConfigError, ExportError
from edge.explain.setup import load_speech
from edge.inference.onnx_session import Brake
from exporters import pipeline
from exporters.checkpoint.folder import read_checkpoint
from exporters.families.gemma3 import Gemma3
from exporters.families.generative import GenerativeFamily
from exporters.families.mistral3 import Mistral3
from exporters.families.qwen3_vl import Qwen3Vl
from exporters.families.qwen35 import Qwen35
from exporters.families.smolvlm import SmolVlm
from exporters.job import prepare
from exporters.model import SpeechGraphs, SpeechRequest
from exporters.onepass import speech
from exporters.onepass.compiled import GenerativeModel
from exporters.onepass.prompts import load_tokenizer
from tests.exporters.onepass.test_pipeline import RECIPE
from tests.stand import onepass_check as check
from tests.stand import tiny_checkpoints as tiny

QUESTIONS = ("Is there a scratch in the picture?", "Where is the crack? Answer in one short sentence.")
TOKENS = 10


def load(family: GenerativeFamily, make: Callable[[Path], Path], folder: Path) -> GenerativeModel:
    """A tiny checkpoint."""
    return family.load(read_checkpoint(make(folder)))


def build(model: GenerativeModel, folder: Path) -> SpeechGraphs:
    """Its decode graphs, compared with it on four pictures."""
    spec = model.family.pixels(model.checkpoint)
    frames = check.draw(speech.COMPARED, spec.height, spec.width)
    return speech.build(
        model, SpeechRequest(tuple(QUESTIONS), frames, folder, tokens=TOKENS, scheme="float32", reduce_range=True)
    )


@pytest.fixture(scope="module")
def smolvlm(tmp_path_factory: pytest.TempPathFactory) -> GenerativeModel:
    """A tiny SmolVLM."""
    return load(SmolVlm(), tiny.smolvlm, tmp_path_factory.mktemp("speaks"))


def test_it_says_what_the_checkpoint_says(smolvlm: GenerativeModel, tmp_path: Path) -> None:
    """Four sentences in ONNX Runtime are token for token those of transformers' own forward passes."""
    spoken = build(smolvlm, tmp_path)
    assert (spoken.section.compared, spoken.section.equal, spoken.section.scheme) == (4, 4, "float32")
    assert len(spoken.section.questions) == len(QUESTIONS)
    assert set(spoken.files) == {"speech/begin.onnx", "speech/follow.onnx", "speech/pieces.json"}


def test_a_wrong_decode_graph_is_caught(
    smolvlm: GenerativeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token put one position too far behind says something else, and is not shipped."""
    right = speech.Follow.__init__

    def shifted(self: speech.Follow, *arguments: object, prefix: int, room: int) -> None:
        right(self, *arguments, prefix=prefix - 1, room=room)  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr(speech.Follow, "__init__", shifted)
    with pytest.raises(ExportError, match="differ from the checkpoint"):
        build(smolvlm, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "make"),
    [
        pytest.param(Gemma3(), tiny.gemma3, marks=pytest.mark.whole, id="gemma3"),
        pytest.param(Qwen3Vl(resolution_px=64), tiny.qwen3_vl, id="qwen3_vl"),
        pytest.param(Mistral3(resolution_px=64), tiny.mistral3, marks=pytest.mark.whole, id="mistral3"),
    ],
)
def test_other_families_speak_too(family: GenerativeFamily, make: Callable[[Path], Path], tmp_path: Path) -> None:
    """Sliding windows, positions along three axes, scaled embeddings: the same graph, the same words."""
    spoken = build(load(family, make, tmp_path), tmp_path)
    assert (spoken.section.compared, spoken.section.equal) == (4, 4)


@pytest.mark.slow
def test_recurrent_layers_are_refused(tmp_path: Path) -> None:
    """Their state is no cache of keys and values; the message says what to do."""
    with pytest.raises(ExportError, match=r"recurrent layers.*leave explain\.speak out"):
        build(load(Qwen35(resolution_px=64), tiny.qwen35, tmp_path), tmp_path)


def test_the_table_of_bytes_writes_what_the_tokenizer_writes(smolvlm: GenerativeModel) -> None:
    """Any text, put together from the table, is the text again; special tokens are nothing, and end a sentence."""
    folder = smolvlm.checkpoint.folder
    tokenizer, pieces = load_tokenizer(folder), speech.token_pieces(folder)
    for text in ("The crack runs over the rim.", "  Öl läuft aus / 12 °C, 漏油!\n", "3.5 mm/s"):
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert "".join(pieces[token] for token in tokens).encode("latin-1").decode() == text
    special = speech.special_tokens(tokenizer)
    assert {
        tokenizer.convert_tokens_to_ids(name) for name in ("<image>", "<end_of_utterance>", "<|im_end|>")
    } <= special
    assert all(pieces[token] == "" for token in special)


@pytest.mark.parametrize(
    ("name", "byte_level", "wanted"),
    [
        ("\u2581crack", False, b" crack"), ("<0x0A>", False, b"\n"), ("\u00f6l", False, "öl".encode()),
        ("\u0120crack", True, b" crack"), ("\u010a", True, b"\n"), ("\u00c3\u00b6l", True, "öl".encode()), ("<new>\u2581", True, "<new>▁".encode()),
    ],
)  # fmt: skip
def test_how_tokenizers_write_bytes(name: str, byte_level: bool, wanted: bytes) -> None:  # noqa: FBT001 - a case's field
    """A low bar or a dotted G for a space, hexadecimal bytes, signs from 256 on; an added token stands for itself."""
    assert speech.piece_bytes(name, byte_level=byte_level) == wanted


@pytest.mark.slow
def test_a_recipe_that_wants_speech_gets_a_bundle_that_speaks(tmp_path: Path) -> None:
    """Built, opened, loaded and heard as the daemon does it. Of an int8 bundle the speech is int8 too, and its equal sentences are counted."""
    (tmp_path / "smolvlm").mkdir()
    tiny.smolvlm(tmp_path / "smolvlm")
    recipe = RECIPE.replace("[quant", '[generative]\nform = "tree"\n[explain]\nspeak = true\ntokens = 8\n[quant')
    (tmp_path / "recipe.toml").write_text(recipe.replace('["float32", "dynamic-int8"]', '["dynamic-int8"]'))
    job = prepare(tmp_path / "recipe.toml", "x86-64-avx2")
    said: list[str] = []
    path = pipeline.build(job, tmp_path / "out", now=datetime(2026, 11, 25, tzinfo=UTC), log=said.append)
    bundle = open_bundle(path)
    section = bundle.manifest.speech
    assert section is not None
    assert len(section.questions) == 2
    assert (section.scheme, section.compared) == ("dynamic-int8", 4)
    for name in (section.begin, section.follow):
        assert "MatMulInteger" in {node.op_type for node in onnx.load(path / name).graph.node}, name
    assert "sentences are word for word" in (path / "report.md").read_text(encoding="utf-8")
    took_ns: dict[str, int] = {}
    speaker = load_speech(bundle, section, Brake(lambda: False), took_ns)
    assert speaker is not None
    assert set(took_ns) == {"picture", "token"}
    thought = speech.sentence(speaker, np.full((1, 64, 64, 3), 90, np.uint8), 1, section.room)
    assert thought.filled <= section.room


def test_a_dual_encoder_cannot_speak(siglip: Path, tmp_path: Path) -> None:
    """[explain] for a checkpoint that answers nothing is an error, not ignored."""
    recipe = RECIPE.replace('"smolvlm"', f'"{siglip}"').replace("[quant", "[explain]\nspeak = true\n[quant")
    (tmp_path / "recipe.toml").write_text(recipe)
    with pytest.raises(ConfigError, match=r"\[explain\] is for checkpoints that answer in words"):
        prepare(tmp_path / "recipe.toml", "x86-64-avx2")
