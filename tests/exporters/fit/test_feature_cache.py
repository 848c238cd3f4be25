"""Features are computed once for each frame and checkpoint, and come back as they were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from exporters.fit.feature_cache import Features, cached, remembered

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), np.uint8)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder of weights."""
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def _counting(seen: list[int]) -> Features:
    def features(frames: NDArray[np.uint8], depths: Sequence[float]) -> list[Tensor]:
        seen.append(len(frames))
        flat = torch.from_numpy(frames).half().flatten(1)
        return [flat, *(flat[:, :6].reshape(-1, 2, 3) * depth for depth in depths)]

    return features


def test_a_frame_is_computed_once_and_a_new_one_alone(checkpoint: Path, tmp_path: Path) -> None:
    """The second time nothing is computed; of more pictures only the new ones are."""
    seen: list[int] = []
    plain = _counting([])
    kept = cached(_counting(seen), checkpoint, tmp_path / "kept")
    for frames in (FRAMES[:3], FRAMES[:3], FRAMES[[4, 0, 1, 3]]):
        for left, right in zip(kept(frames, (0.5, 1.0)), plain(frames, (0.5, 1.0)), strict=True):
            assert torch.equal(left, right)
    assert seen == [3, 2]


def test_other_weights_or_depths_are_other_features(checkpoint: Path, tmp_path: Path) -> None:
    """A checkpoint that was changed in place is not the one that spoke."""
    seen: list[int] = []
    cached(_counting(seen), checkpoint, tmp_path / "kept")(FRAMES, (0.5,))
    cached(_counting(seen), checkpoint, tmp_path / "kept")(FRAMES, (0.25,))
    (checkpoint / "model.safetensors").write_bytes(b"others!")
    cached(_counting(seen), checkpoint, tmp_path / "kept")(FRAMES, (0.5,))
    assert seen == [5, 5, 5]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"no archive at all"])
def test_a_damaged_file_is_made_again(checkpoint: Path, tmp_path: Path, damage: bytes) -> None:
    """A build that was killed, or a full disk, costs one computation."""
    seen: list[int] = []
    kept = cached(_counting(seen), checkpoint, tmp_path / "kept")
    wanted = kept(FRAMES, (0.5,))
    next((tmp_path / "kept").glob("*.npz")).write_bytes(damage)
    assert all(torch.equal(left, right) for left, right in zip(kept(FRAMES, (0.5,)), wanted, strict=True))
    assert seen == [5, 1]
    assert not list((tmp_path / "kept").glob("*.part"))


def test_a_build_asks_the_tower_once_for_each_frame_and_depths() -> None:
    """A second head that reads the same depths costs nothing, other depths do, and what is new is computed alone."""
    seen: list[int] = []
    plain = _counting([])
    kept = remembered(_counting(seen))
    for frames, depths in ((FRAMES[:3], (0.5, 1.0)), (FRAMES[[2, 4, 0]], (0.5, 1.0)), (FRAMES[:3], (0.5,))):
        for left, right in zip(kept(frames, depths), plain(frames, depths), strict=True):
            assert torch.equal(left, right)
    assert seen == [3, 1, 3]


def test_what_does_not_fit_into_memory_is_computed_each_time() -> None:
    """The answer is the same; the limit counts the features of a frame, not frames."""
    seen: list[int] = []
    a_frame = sum(part[0].nbytes for part in _counting([])(FRAMES, (0.5,)))
    kept = remembered(_counting(seen), most_bytes=2 * a_frame)
    wanted = kept(FRAMES, (0.5,))
    assert all(torch.equal(left, right) for left, right in zip(kept(FRAMES, (0.5,)), wanted, strict=True))
    assert seen == [5, 3]


def test_what_is_held_is_no_view_of_a_batch() -> None:
    """Who changes what was given changes nothing that is held."""
    kept = remembered(_counting([]))
    wanted = [part.clone() for part in kept(FRAMES, (0.5,))]
    for part in kept(FRAMES, (0.5,)):
        part.zero_()
    assert all(torch.equal(left, right) for left, right in zip(kept(FRAMES, (0.5,)), wanted, strict=True))
