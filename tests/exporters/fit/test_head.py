"""The fitted head learns from picture labels, is the same in and out of the graph, and survives other light."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from exporters.fit import head
from exporters.pictures.images import synthetic_frames
from exporters.recipe import Head

SIDE = 4
COUNT = 60


def _data() -> tuple[list[list[torch.Tensor]], np.ndarray, np.ndarray, np.ndarray]:
    """Features with one odd patch in every third picture, its mask, and frames without content."""
    random = np.random.default_rng(0)
    layer = random.normal(0, 1, (COUNT, SIDE * SIDE, 8)).astype(np.float32)
    labels = np.zeros((COUNT, 1), np.bool_)
    masks = np.zeros((COUNT, 32, 32), np.uint8)
    for index in range(0, COUNT, 3):
        row, column = random.integers(0, SIDE, 2)
        layer[index, row * SIDE + column, 0] += 8
        labels[index, 0] = True
        masks[index, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] = 255
    grid = torch.from_numpy(layer).reshape(COUNT, SIDE, SIDE, 8)
    pooled = torch.zeros(COUNT, 5)
    views = [[pooled, grid.flip([1 + axis for axis in axes]).flatten(1, 2)] for axes in head.FLIPS]
    return views, synthetic_frames(COUNT, 32, 32, 1), labels, masks


@pytest.mark.slow
def test_one_odd_patch_is_found_with_and_without_masks() -> None:
    """Picture labels suffice; masks are a help, not a need."""
    views, frames, labels, masks = _data()
    rule = Head(kind="fitted", layers=(1.0,), epochs=25, hidden=16)
    for given in (masks, None):
        said: list[str] = []
        fitted = head.fit(views, frames, labels, given, rule, log=said.append)
        with torch.inference_mode():
            evidence = fitted(*views[0], torch.from_numpy(frames)).numpy()[:, 0]
        assert evidence[labels[:, 0]].min() > evidence[~labels[:, 0]].max()
        assert said[-1].startswith("pass 200 of 200"), "a small set is passed over until the least steps are done"


@pytest.mark.slow
def test_the_same_seed_fits_the_same_head() -> None:
    """A build can be repeated."""
    views, frames, labels, masks = _data()
    rule = Head(kind="fitted", layers=(1.0,), epochs=2, hidden=8)
    first, second = (head.fit(views, frames, labels, masks, rule, log=lambda _: None) for _ in range(2))
    for left, right in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(left, right)


@pytest.mark.slow
def test_texture_ignores_exposure_and_sees_a_dark_dot() -> None:
    """Half the light changes the statistics little; a dot of a few pixels changes its own patch much."""
    texture = head.Texture(4, 8)
    frames = synthetic_frames(3, 32, 32, 2)
    frames = np.maximum(frames, 60)
    dotted = frames.copy()
    dotted[:, 10:12, 10:12] = 0
    dim = (frames // 2).astype(np.uint8)
    plain, dark, dot = (texture(torch.from_numpy(item)) for item in (frames, dim, dotted))
    assert plain.shape == (3, 16, texture.width)
    moved = (dot - plain).abs().mean(dim=(0, 2))
    assert int(moved.argmax()) == 5
    assert float((dark - plain).abs().mean()) < float(moved[5]) / 2


def test_odd_patch_sizes_have_fewer_scales() -> None:
    """Patches of 14 px halve once, of 7 px never; the frame's remainder is left out as the tower leaves it out."""
    assert [head.Texture(2, patch).scales for patch in (16, 14, 7)] == [3, 2, 1]
    found = head.Texture(27, 14)(torch.zeros(1, 384, 384, 3, dtype=torch.uint8))
    assert found.shape == (1, 27 * 27, 20)


@pytest.mark.slow
def test_without_layers_the_texture_alone_is_judged() -> None:
    """A head that asks for no depth sees no feature of the tower, and still finds a dark dot."""
    views, frames, labels, masks = _data()
    frames = np.maximum(frames, 60)
    for index in np.flatnonzero(labels[:, 0]):
        row, column = np.argwhere(masks[index])[0]
        frames[index, row + 3 : row + 5, column + 3 : column + 5] = 0
    fitted = head.fit(views, frames, labels, masks, Head(kind="fitted", layers=(), epochs=25, hidden=16), log=str)  # type: ignore[arg-type] # any callable will do
    assert fitted.whole is None
    with torch.inference_mode():
        evidence = fitted(views[0][0], torch.from_numpy(frames)).numpy()[:, 0]
    assert evidence[labels[:, 0]].min() > evidence[~labels[:, 0]].max()
