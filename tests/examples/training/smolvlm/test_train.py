"""Training writes a SmolVLM checkpoint that transformers and the toolchain load, and goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edge.inference.preprocess import encode_jpeg
from examples.training.smolvlm.batches import UNKNOWN, Batches, patch_map
from examples.training.smolvlm.compiled import Compiled
from examples.training.smolvlm.model import SCENE, TABLE_PX, Trainee, config, take_decoder, take_tower
from examples.training.smolvlm.prompts import pack
from examples.training.smolvlm.tokens import load_tokenizer
from examples.training.smolvlm.train import SIGLIP, answer_loss, main, merged
from exporters.checkpoint.folder import read_checkpoint
from exporters.families.smolvlm import FAMILY
from exporters.model import Question


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint of a few steps without real sets, and the work folder it was made in."""
    work = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_DATA", str(work / "absent"))
        main(["--smoke", "--work", str(work), "--out", str(work / "out")])
    return work / "out", work


def test_the_layout_is_the_public_one(trained: tuple[Path, Path]) -> None:
    """All files of a SmolVLM checkpoint are there, weights in half precision, below the size that the repository bears."""
    out, _ = trained
    names = {path.name for path in out.iterdir()}
    wanted = {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "preprocessor_config.json",
    }
    assert names >= wanted
    assert (out / "model.safetensors").stat().st_size < 12e6


def test_the_model_that_was_trained_is_the_one_that_is_compiled(trained: tuple[Path, Path]) -> None:
    """Training's packed forward pass and the compiled graph give the same margins: positions, masks, image tokens and the enlarged table agree."""
    out, work = trained
    tokenizer = load_tokenizer(out)
    model = Trainee(config(len(tokenizer)))
    model.load_state_dict(torch.load(work / "state.pt", weights_only=True)["model"])
    model.half().float()  # as the file rounds
    model.finish()
    asked = ["Is there a crack in the picture?", "Is anything wrong here?", "Is this a gear?"]
    picture = np.random.default_rng(0).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    packed = pack(tokenizer, [f"Answer with yes or no. {question}" for question in asked], 4)
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    yes, no = (tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0] for word in ("Yes", "No"))
    with torch.no_grad():
        logits = model.eval()(pixels, packed).answers[0]
    family = FAMILY.__class__(resolution_px=128)
    loaded = family.load(read_checkpoint(out))
    graph = loaded.graph([Question(f"q{index}", (words,), ()) for index, words in enumerate(asked)], None)
    with torch.no_grad():
        found = graph(torch.from_numpy(picture[None]))[0]
    torch.testing.assert_close(found, logits[:, yes] - logits[:, no], atol=2e-2, rtol=2e-2)


def test_one_token_questions_are_trained_where_the_toolchain_asks_them(trained: tuple[Path, Path]) -> None:
    """A one-token question gets the same margin from training's packed sequence as from a graph compiled with its token; no other question sees it."""
    out, work = trained
    tokenizer = load_tokenizer(out)
    model = Trainee(config(len(tokenizer)))
    model.load_state_dict(torch.load(work / "state.pt", weights_only=True)["model"])
    model.half().float()
    model.finish()
    turns = ["Answer with yes or no. Is this a gear?", "Answer with a word. What is wrong?"]
    asked = [
        ["Is there rust in the picture?", "Is there a rusty patch in the picture?"],
        ["Is there a crack in the picture?"],
    ]
    picture = np.random.default_rng(2).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    yes, no = (tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0] for word in ("Yes", "No"))
    with torch.no_grad():
        packed = pack(tokenizer, turns, 4, asked)
        logits, soft = model.eval()(pixels, packed).answers[0], model.short(packed)
        alone = model(pixels, pack(tokenizer, turns, 4)).answers[0]
    torch.testing.assert_close(logits[:2], alone)
    loaded = FAMILY.__class__(resolution_px=128).load(read_checkpoint(out))
    questions = [Question(f"q{index}", tuple(words), ()) for index, words in enumerate(asked)]
    with torch.no_grad():
        found = replace(loaded, soft=soft).graph(questions, None)(torch.from_numpy(picture[None]))[0]
    torch.testing.assert_close(found, logits[2:, yes] - logits[2:, no], atol=2e-2, rtol=2e-2)


def test_a_questions_yes_and_no_weigh_the_same() -> None:
    """However rare a fault is among the pictures, saying no to all of them costs as much as saying yes to all of them."""
    yes, no = 1, 2
    right = torch.tensor([[yes, no], [no, no], [no, UNKNOWN], [no, no]])
    always = {answer: torch.zeros(4, 2, 4).index_fill(2, torch.tensor([answer]), 4.0) for answer in (yes, no)}
    torch.testing.assert_close(*(answer_loss(said[:, :1], right[:, :1], yes, no) for said in always.values()))
    assert answer_loss(always[no], right, yes, no) < answer_loss(always[yes], right, yes, no)


def test_training_starts_from_a_checkpoints_decoder_behind_the_siglips_tower(trained: tuple[Path, Path]) -> None:
    """Connector, decoder and vocabulary are taken, the tower is left alone."""
    out, _ = trained
    saved = load_file(out / "model.safetensors")
    model = Trainee(config(len(load_tokenizer(out))))
    tower = model.smolvlm.model.vision_model.encoder.layers[0].mlp.fc1.weight.clone()
    take_decoder(model, out)
    for name in (
        "connector.modality_projection.proj.weight",
        "text_model.layers.2.mlp.up_proj.weight",
        "text_model.embed_tokens.weight",
    ):
        torch.testing.assert_close(model.smolvlm.model.get_parameter(name), saved[f"model.{name}"].float())
    torch.testing.assert_close(model.smolvlm.model.vision_model.encoder.layers[0].mlp.fc1.weight, tower)


def test_an_image_token_shows_what_any_of_its_patches_shows() -> None:
    """The patch map shrinks as the connector's pixel shuffle does: two by two, row by row."""
    patches = torch.zeros(1, 16, 2, dtype=torch.bool)
    patches[0, 4 * 1 + 2, 1] = True  # row 1, column 2: the upper right token
    assert merged(patches)[0].tolist() == [[False, False], [False, True], [False, False], [False, False]]


@pytest.mark.whole
def test_compiled_questions_answer_pictures(trained: tuple[Path, Path]) -> None:
    """A margin for every picture and question, finite, at another resolution than any of training."""
    compiled = Compiled(trained[0], ["Is there rust?", "Is this a gear?"], 96)
    frames = np.random.default_rng(1).integers(0, 256, (3, 120, 160, 3)).astype(np.uint8)
    margins = compiled.ask([encode_jpeg(frame) for frame in frames])
    assert margins.shape == (3, 2)
    assert np.isfinite(margins).all()


def test_training_goes_on_where_it_stopped(trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """A second start finds its time used up: it takes the saved state, and does not begin anew."""
    out, work = trained
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_DATA", str(work / "absent"))
        main(["--smoke", "--work", str(work), "--out", str(out)])
    assert "going on at step" in capsys.readouterr().out


def test_the_tower_is_the_siglips() -> None:
    """The start is our own SigLIP's tower, its places enlarged; the decoder's numbers are fresh."""
    model = Trainee(config(600))
    take_tower(model, SIGLIP)
    own = model.smolvlm.model.vision_model.encoder.layers[3].mlp.fc1.weight
    saved = load_file(SIGLIP / "model.safetensors")
    torch.testing.assert_close(own, saved["vision_model.encoder.layers.3.mlp.fc1.weight"].float())
    assert model.table().shape == ((TABLE_PX // 16) ** 2, 192)
    assert model.table().std() > 0.01


def test_a_batch_fits_together(trained: tuple[Path, Path]) -> None:
    """Every picture of a batch has an answer, a scene and patches of its grid."""
    _, work = trained
    batch = Batches(work / "samples", load_tokenizer(trained[0]), size=4, questions_each=8, seed=3).batch()
    pictures, side = len(batch.pixels), batch.pixels.shape[-1] // 16
    short = int(batch.short.sum())
    assert short >= 12, "every line fault and whether all is normal are asked in one token too"
    assert batch.targets.shape == (pictures, 10 + short)
    assert batch.yes_no.tolist() == [True] * 8 + [False] * 2 + [True] * short
    assert batch.short.tolist() == [False] * 10 + [True] * short
    assert len(batch.packed.ends) == 10 + short
    assert batch.patches.shape[:2] == (pictures, side * side)
    assert batch.scene.shape == (pictures, len(SCENE))
    assert batch.meant.shape == (8 + short, 2 * len(SCENE))
    assert bool(batch.meant.any(1).all()), "every yes/no question is about something"


def test_the_patch_map_keeps_a_small_fault_at_every_size() -> None:
    """One marked fine cell marks one patch (or two where grids do not divide), of its own concept only."""
    coarse, fine = torch.zeros(1, 3, 12, 12, dtype=torch.bool), torch.zeros(1, 48, 48, dtype=torch.bool)
    coarse[0, 1, 5, 7], fine[0, 21, 30] = True, True
    for side in (12, 14, 16, 20):
        found = patch_map(coarse, fine, side)
        assert found.shape == (1, side * side, 3)
        assert 1 <= int(found[..., 1].sum()) <= 4
        assert not found[..., [0, 2]].any()
