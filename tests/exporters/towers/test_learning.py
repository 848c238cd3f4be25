"""A student comes nearer to its teacher, and the teacher is asked about a picture once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from edge.errors import ExportError
from exporters.pictures.images import synthetic_frames
from exporters.towers import learning, lite0
from exporters.towers.backbone import FrameTower
from exporters.towers.efficientnet import EfficientNet
from exporters.towers.facts import Variant
from exporters.towers.student import Shape, Student
from tests.stand.tiny_towers import SIDE, efficientnet

LITE = Variant.named(lite0.ARCHITECTURE)
MEAN = (0.5, 0.5, 0.5)
TAUGHT = (3, 5)  # layers of the teacher; 6 and 8 channels


def _teacher() -> FrameTower:
    """Another network of the same form, with other weights."""
    tensors = {name: tensor.flip(0) for name, tensor in efficientnet(excite=False).items()}
    return FrameTower(EfficientNet(tensors, LITE), MEAN, MEAN, TAUGHT).eval()


def _student() -> Student:
    torch.manual_seed(1)
    return Student(EfficientNet(efficientnet(excite=False), LITE, 11), Shape((5, 11), (6, 8)))


@pytest.mark.slow
def test_a_student_comes_nearer_to_its_teacher(tmp_path: Path) -> None:
    """From nothing to a third of the way in eighty steps; what moves is its trunk too."""
    frames = synthetic_frames(24, SIDE, SIDE, 11)
    views = learning.Views(frames, learning.teach(_teacher(), frames, tmp_path / "cache"))
    student = _student()
    before, stem = learning.agreement(student, MEAN, MEAN, views), student.trunk.stem.weight.clone()
    learning.learn(
        student, MEAN, MEAN, views, steps=80, seed=1, state=tmp_path / "state.pt", log=lambda _: None
    )  # fmt: skip
    assert learning.agreement(student, MEAN, MEAN, views) > before + 0.2
    assert not torch.equal(student.trunk.stem.weight, stem)


@pytest.mark.slow
def test_a_stopped_run_ends_as_one_that_was_not(tmp_path: Path) -> None:
    """Killed in the middle and taken up from the state on disk: the same weights to the last bit."""
    frames = synthetic_frames(20, SIDE, SIDE, 3)
    views = learning.Views(frames, learning.teach(_teacher(), frames, tmp_path / "cache"))

    def run(student: Student, state: Path, dies_at: int | None) -> None:
        ticks = iter(range(0, 10**6, 1000))  # every look at the clock is long after the one before: each step is saved

        def log(_: str) -> None:
            if dies_at is not None and int(_.split()[1]) >= dies_at:
                raise KeyboardInterrupt

        learning.learn(
            student, MEAN, MEAN, views, steps=6, seed=1, state=state, log=log, clock=lambda: float(next(ticks))
        )

    whole, stopped, resumed = _student(), _student(), _student()
    run(whole, tmp_path / "whole.pt", None)
    with pytest.raises(KeyboardInterrupt):
        run(stopped, tmp_path / "stopped.pt", 4)
    run(resumed, tmp_path / "stopped.pt", None)
    assert all(torch.equal(one, other) for one, other in zip(whole.parameters(), resumed.parameters(), strict=True))
    other = learning.Views(views.frames[1:], views.target[1:])
    with pytest.raises(ExportError, match="is of another run"):
        learning.learn(
            _student(), MEAN, MEAN, other, steps=6, seed=1, state=tmp_path / "whole.pt", log=lambda _: None
        )  # fmt: skip


def test_the_teacher_is_asked_once(tmp_path: Path) -> None:
    """What it said of the same pictures is read from disk."""
    frames = synthetic_frames(9, SIDE, SIDE, 2)
    first = learning.teach(_teacher(), frames, tmp_path)

    class Silent(FrameTower):
        def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
            raise AssertionError(f"asked again about {len(frame)}")

    silent = Silent(EfficientNet(efficientnet(excite=False), LITE), MEAN, MEAN, TAUGHT)
    assert np.array_equal(first, learning.teach(silent, frames, tmp_path))
