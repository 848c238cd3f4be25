"""Training writes a checkpoint that transformers loads, and goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from examples.training.common.run import learning_rate
from examples.training.siglip.encoder import Encoder
from examples.training.siglip.evaluate import evaluate
from examples.training.siglip.train import main, patches_to_keep


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint of a few steps without real sets, and the work folder it was made in."""
    work = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_DATA", str(work / "absent"))
        main(["--smoke", "--work", str(work), "--out", str(work / "out"), "--processes", "1"])
    return work / "out", work


def test_the_layout_is_the_public_one(trained: tuple[Path, Path]) -> None:
    """All files of a SigLIP checkpoint are there, weights in half precision, below the size that the repository bears."""
    out, _ = trained
    names = {path.name for path in out.iterdir()}
    assert names >= {
        "config.json",
        "model.safetensors",
        "spiece.model",
        "tokenizer_config.json",
        "preprocessor_config.json",
    }
    assert (out / "model.safetensors").stat().st_size < 14e6


def test_transformers_loads_it_offline(trained: tuple[Path, Path]) -> None:
    """The automatic classes open the folder by path alone, and a prompt and a picture give a finite score."""
    from transformers import AutoModel, AutoProcessor

    out, _ = trained
    model = AutoModel.from_pretrained(out, local_files_only=True, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(out, local_files_only=True)
    picture = torch.zeros(3, 480, 640, dtype=torch.uint8).numpy()
    length = model.config.text_config.max_position_embeddings
    inputs = processor(text=["a crack"], images=[picture], padding="max_length", max_length=length, return_tensors="pt")
    with torch.no_grad():
        scores = model(pixel_values=inputs["pixel_values"], input_ids=inputs["input_ids"]).logits_per_image
    assert scores.shape == (1, 1)
    assert torch.isfinite(scores).all()


def test_every_figure_can_be_measured(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The evaluation runs without real data and gives chances between 0 and 1."""
    monkeypatch.setenv("EDGE_DATA", str(tmp_path / "absent"))
    figures = evaluate(Encoder(trained[0]), scale=0.02)
    assert set(figures) == {"line", "held_out_pairs", "retrieval", "ground"}
    pairs = figures["held_out_pairs"]
    assert isinstance(pairs, dict)
    assert all(0 <= value <= 1 for value in pairs.values())


def test_training_goes_on_where_it_stopped(trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """A second start with the same work folder resumes the state instead of beginning anew."""
    out, work = trained
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_DATA", str(work / "absent"))
        main(["--smoke", "--work", str(work), "--out", str(out), "--processes", "1"])
    assert "going on at step" in capsys.readouterr().out


def test_the_rate_rises_then_falls() -> None:
    """Warm-up first, the peak early, almost nothing at the end."""
    rates = [learning_rate(share, 1.0) for share in (0.0, 0.03, 0.5, 1.0)]
    assert rates[0] < rates[2] < rates[1] == pytest.approx(1.0)
    assert rates[3] < 0.05


def test_the_last_steps_see_every_patch() -> None:
    """Training ends as the model is used: with the whole picture."""
    assert patches_to_keep(0.0) is not None
    assert patches_to_keep(1.0) is None


def test_a_further_leg_starts_from_a_checkpoint(trained: tuple[Path, Path], tmp_path: Path) -> None:
    """With another checkpoint's towers and vocabulary the first step is not a fresh start, and bfloat16 products train too."""
    out, work = trained
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_DATA", str(work / "absent"))
        (tmp_path / "samples").symlink_to(work / "samples")
        main(["--smoke", "--start", str(out), "--half", "--threads", "1", "--work", str(tmp_path), "--out", str(tmp_path / "out"), "--processes", "1"])  # fmt: skip
    before, after = (load_file(folder / "model.safetensors") for folder in (out, tmp_path / "out"))
    name = "vision_model.embeddings.position_embedding.weight"
    assert 0 < (before[name].float() - after[name].float()).abs().max() < 0.2
    assert not (tmp_path / "tokenizer").exists()
