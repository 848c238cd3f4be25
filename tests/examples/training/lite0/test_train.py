"""Training gives a tower its words, and goes on where it stopped."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from examples.training.lite0.encoder import Encoder
from examples.training.lite0.train import TOWER, main
from examples.training.siglip.evaluate import evaluate
from exporters import load
from exporters.towers import packages


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A checkpoint of a few steps without real sets, and the work folder it was made in."""
    try:
        importlib.metadata.version(packages.MINILM.name)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{packages.MINILM.name} is not installed: {packages.EXTRA}")
    work = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_DATA", str(work / "absent"))
        main(["--smoke", "--work", str(work), "--out", str(work / "out"), "--processes", "1"])
    return work / "out", work


def test_the_tower_is_untouched_and_its_rights_come_along(trained: tuple[Path, Path]) -> None:
    """The same weights to the byte, its licence, and a notice that says what was added."""
    out, _ = trained
    for name in ("model.safetensors", "LICENSE"):
        assert (out / name).read_bytes() == (TOWER / name).read_bytes(), name
    notice = (out / "NOTICE").read_text(encoding="utf-8")
    assert "ML Illustrated" in notice
    assert "words.safetensors" in notice
    assert load.inspect(out)[1].name == "pretrained-tower"


@pytest.mark.whole
def test_every_figure_can_be_measured(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The evaluation runs without real data, on pictures of the tower's own size."""
    monkeypatch.setenv("EDGE_DATA", str(tmp_path / "absent"))
    figures = json.loads(json.dumps(evaluate(Encoder(trained[0]), scale=0.02)))
    assert 0 <= figures["line"]["mean"]["unseen_normal"] <= 1
    assert set(figures) == {"line", "held_out_pairs", "retrieval", "ground"}


def test_a_stopped_run_goes_on_with_what_it_has(trained: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Samples, features, phrases and weights are all taken up; at the end of its steps it only writes the checkpoint."""
    _, work = trained
    before = load_file(work / "out" / "words.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_DATA", str(work / "absent"))
        main(["--smoke", "--work", str(work), "--out", str(work / "again"), "--processes", "1"])
    assert "going on at step 4" in capsys.readouterr().out
    after = load_file(work / "again" / "words.safetensors")
    assert all(np.isfinite(value.float().numpy()).all() for value in after.values())
    assert before.keys() == after.keys()
