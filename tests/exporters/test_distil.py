"""`edge-export distil`: a student learns a teacher's patch features, the same way each time, and is a checkpoint like any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edge.errors import ConfigError, ExportError
from edge.inference.preprocess import encode_jpeg
from exporters import load
from exporters.__main__ import main
from exporters.distil import distil
from exporters.families.pretrained import PretrainedModel
from exporters.pictures.images import synthetic_frames
from exporters.towers.convert import convert
from tests.stand import tiny_towers
from tests.stand.checkpoints import make_checkpoint
from tests.stand.tiny_towers import SIDE

STEPS = 8


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher (ConvNeXt's form), a trunk (EfficientNet-Lite's), and thirty pictures."""
    folder = tmp_path_factory.mktemp("distil")
    for name, kind in (("teacher", "convnext"), ("trunk", "lite0")):
        convert(str(tiny_towers.public(kind, folder / f"{name}-public")), folder / name)
    (folder / "pictures").mkdir()
    for index, frame in enumerate(synthetic_frames(30, SIDE, SIDE, 11)):
        (folder / "pictures" / f"{index:02d}.jpg").write_bytes(encode_jpeg(np.asarray(frame)))
    return folder


def _distil(folders: Path, out: Path, work: Path, *, steps: int = STEPS, seed: int = 1) -> list[str]:
    said: list[str] = []
    pictures = [str(folders / "pictures")]
    lines = distil(
        folders / "teacher", folders / "trunk", out,
        pictures=pictures, size=SIDE, steps=steps, seed=seed, work=work, log=said.append,
    )  # fmt: skip
    assert said
    return lines


@pytest.mark.slow
def test_a_student_is_a_checkpoint_like_any_other(folders: Path, tmp_path: Path) -> None:
    """It says how near it came; its graph equals the published trunk with the predictor on top."""
    lines = _distil(folders, tmp_path / "student", tmp_path / "work")
    assert "cosine to the teacher's features on 3 pictures that it never learnt from" in lines[1]
    model = load.load(*load.inspect(tmp_path / "student"))
    assert isinstance(model, PretrainedModel)
    frames = synthetic_frames(4, SIDE, SIDE, 5)
    _, patches = model.features(frames, (1.0,))
    assert patches.shape == (4, (SIDE // 16) ** 2, 12 + 16), (
        "the teacher's layers side by side, on the student's own grid"
    )
    head = _Mean(patches.shape[2]).eval()
    reference = model.reference(model.normalise(frames), [], head)
    with torch.inference_mode():
        found = model.graph([], head)(torch.from_numpy(frames)).numpy()
    assert np.abs(reference - found).max() < 1e-4 * max(1, np.abs(reference).max())


@pytest.mark.slow
def test_the_same_seed_gives_the_same_student(folders: Path, tmp_path: Path) -> None:
    """Start and order follow the seed, and another seed gives another."""
    for name, seed in (("first", 1), ("same", 1), ("other", 2)):
        _distil(folders, tmp_path / name, tmp_path / f"work-{name}", steps=3, seed=seed)
    first, same, other = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "same", "other"))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.slow
def test_a_run_that_was_stopped_is_taken_up(folders: Path, tmp_path: Path) -> None:
    """The state of a whole run is kept: asked for once more it does not train again; another seed does not take it over."""
    _distil(folders, tmp_path / "first", tmp_path / "work", steps=8)
    kept = (tmp_path / "work" / "student.pt").stat().st_mtime_ns
    _distil(folders, tmp_path / "second", tmp_path / "work", steps=8)
    assert (tmp_path / "work" / "student.pt").stat().st_mtime_ns == kept
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(ExportError, match="is of another run"):
        _distil(folders, tmp_path / "third", tmp_path / "work", steps=8, seed=2)


def test_what_cannot_teach_is_refused(folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trunk that is no EfficientNet, too few pictures, a folder that is there: a sentence each."""
    common = ["--work", str(tmp_path / "work"), "--pictures"]
    few = str(folders / "pictures" / "0?.jpg")
    for trunk, pictures, wanted in (
        ("teacher", str(folders / "pictures"), "is no plain EfficientNet"),
        ("trunk", few, "10 pictures are too few"),
    ):
        arguments = ["distil", str(folders / "teacher"), str(tmp_path / "out"), "--trunk", str(folders / trunk)]
        assert main([*arguments, *common, pictures]) == 1
        assert wanted in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="exists"):
        _distil(folders, tmp_path / "out", tmp_path / "work")


@pytest.mark.slow
def test_other_checkpoints_are_refused_as_what_they_are(folders: Path, tmp_path: Path) -> None:
    """A dual encoder does not teach, and a student is no trunk for the next one."""
    siglip = make_checkpoint("siglip", tmp_path / "siglip")
    rest: dict[str, Any] = {
        "pictures": [str(folders / "pictures")],
        "size": SIDE,
        "steps": 1,
        "seed": 0,
        "work": tmp_path / "work",
    }
    with pytest.raises(ConfigError, match="siglip is no pretrained tower"):
        distil(siglip, folders / "trunk", tmp_path / "out", **rest, log=lambda _: None)
    _distil(folders, tmp_path / "student", tmp_path / "work", steps=1)
    with pytest.raises(ConfigError, match="student is no plain EfficientNet"):
        distil(folders / "teacher", tmp_path / "student", tmp_path / "out", **rest, log=lambda _: None)


@pytest.mark.slow
def test_the_student_bears_the_licence_of_both(folders: Path, tmp_path: Path) -> None:
    """What the teacher's weights are under is said of what was learnt from them."""
    config = json.loads((folders / "teacher" / "config.json").read_text())
    config["tower"]["licence"] = "unverified: somebody's"
    other = tmp_path / "teacher"
    other.mkdir()
    for file in (folders / "teacher").iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "config.json").write_text(json.dumps(config))
    distil(
        other, folders / "trunk", tmp_path / "out",
        pictures=[str(folders / "pictures")], size=SIDE, steps=2, seed=0, work=tmp_path / "work", log=lambda _: None,
    )  # fmt: skip
    written = json.loads((tmp_path / "out" / "config.json").read_text())["tower"]["licence"]
    assert written.startswith("unverified")


class _Mean(torch.nn.Module):
    """A head that reads the student's layer."""

    depths = (1.0,)

    def __init__(self, width: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last = torch.nn.Linear(width, 2)

    def forward(self, pooled: torch.Tensor, patches: torch.Tensor) -> torch.Tensor:
        """Evidence [B, 2]."""
        del pooled
        found: torch.Tensor = self.last(patches).amax(dim=1)
        return found
