"""The deletion check: a head that sees the fault passes, one that reads the light does not, and only the place is filled in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from exporters.fit.deletion import check, filled, hottest

SIDE, CELL = 4, 8


class _Dark(nn.Module):
    """Evidence is the darkest cell; its map is the darkness of each."""

    depths = (1.0,)

    def where(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """Darkness of each cell."""
        del pooled
        return -seen[0][:, :, 0].reshape(-1, 1, SIDE, SIDE)

    def forward(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """The most of it."""
        return self.where(pooled, *seen).flatten(2).amax(dim=2)


class _Light(_Dark):
    """Looks at the darkest cell and judges by the light of the whole picture: what is filled in there makes it surer."""

    def forward(self, pooled: Tensor, *seen: Tensor) -> Tensor:
        """Brightness of the picture."""
        del pooled
        return seen[0][:, :, 0].mean(dim=1, keepdim=True)


def _features(frames: NDArray[np.uint8], depths: Sequence[float]) -> list[Tensor]:
    """The mean of each cell's pixels as its only feature."""
    del depths
    cells = frames.reshape(len(frames), SIDE, CELL, SIDE, CELL, 3).mean(axis=(2, 4, 5))
    return [torch.zeros(len(frames), 1), torch.from_numpy(cells.reshape(len(frames), -1, 1).astype(np.float32))]


@pytest.fixture
def frames() -> NDArray[np.uint8]:
    """Twelve grey pictures, each with a dark cell."""
    found = np.full((12, SIDE * CELL, SIDE * CELL, 3), 150, np.uint8)
    for index, frame in enumerate(found):
        row, column = divmod(index, SIDE)
        frame[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 40
    return found


def test_a_head_that_sees_the_fault_says_less_once_it_is_filled_in(frames: NDArray[np.uint8]) -> None:
    """All pictures fall, and the note says so quietly."""
    (found,) = check(_Dark(), _features, frames, np.ones((12, 1), np.bool_), folds=(), faults=["spot"])
    assert (found.pictures, found.fell, found.holds) == (12, 12, True)
    assert found.mean_fall > 50
    assert found.note.startswith("Deletion check: ")


def test_a_head_that_reads_the_light_is_told_loudly(frames: NDArray[np.uint8]) -> None:
    """Without the dark spot the picture is brighter, so its evidence rises."""
    (found,) = check(_Light(), _features, frames, np.ones((12, 1), np.bool_), folds=(), faults=["spot"])
    assert (found.fell, found.holds) == (0, False)
    assert "DELETION CHECK FAILED" in found.note
    assert "rises" in found.note


def test_each_picture_is_judged_by_the_member_that_never_saw_it(frames: NDArray[np.uint8]) -> None:
    """Member 0 sees the fault and member 1 the light: the folds decide who is asked."""

    class Both(nn.Module):
        depths = (1.0,)

        def __init__(self) -> None:
            super().__init__()
            self.heads = nn.ModuleList([_Dark(), _Light()])

    folds = [0] * 9 + [1] * 3
    (found,) = check(Both(), _features, frames, np.ones((12, 1), np.bool_), folds=folds, faults=["spot"])
    assert found.fell == 9


def test_a_fault_without_pictures_is_not_asked_about(frames: NDArray[np.uint8]) -> None:
    """Nothing is said of it."""
    assert check(_Dark(), _features, frames, np.zeros((12, 1), np.bool_), folds=(), faults=["spot"]) == []


def test_the_place_is_connected_and_never_most_of_the_picture() -> None:
    """A second hot cell far away is left out, and a map that is hot all over gives a quarter at most."""
    warmth = np.zeros((8, 8), np.float32)
    warmth[1, 1], warmth[1, 2], warmth[6, 6] = 1.0, 0.8, 0.9
    assert np.argwhere(hottest(warmth)).tolist() == [[1, 1], [1, 2]]
    slope = np.arange(64, dtype=np.float32).reshape(8, 8) + 100
    assert 0 < hottest(slope).sum() <= 16


def test_only_the_place_changes_and_it_takes_the_colours_around_it(frames: NDArray[np.uint8]) -> None:
    """The dark cell becomes the grey around it; pixels a cell away stay as they are."""
    cells = np.zeros((SIDE, SIDE), np.bool_)
    cells[1, 1] = True
    changed = filled(frames[SIDE + 1], cells)
    assert (changed[CELL : 2 * CELL, CELL : 2 * CELL] == 150).all()
    assert (frames[SIDE + 1][CELL : 2 * CELL, CELL : 2 * CELL] == 40).all(), "the picture itself stays"
    assert (changed[3 * CELL :] == frames[SIDE + 1][3 * CELL :]).all()


def test_a_place_that_is_the_whole_picture_has_nothing_to_be_filled_from(frames: NDArray[np.uint8]) -> None:
    """It stays as it is."""
    assert (filled(frames[0], np.ones((SIDE, SIDE), np.bool_)) == frames[0]).all()
