"""The closed-form head: it tells textures by mean and spread, its map sums to its evidence, and few pictures do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from exporters.fit import head
from exporters.fit.grids import on_finest
from exporters.fit.linear import LinearHead, Places, fit
from exporters.recipe import Head

RULE = Head(kind="fitted", layers=(0.5, 1.0), hidden=0)


def _views(count: int, seed: int) -> tuple[list[list[Tensor]], NDArray[np.bool_]]:
    """Two layers on grids of their own; class 1 is shifted, class 2 is rougher."""
    random = torch.Generator().manual_seed(seed)
    kinds = torch.arange(count) % 3
    fine = torch.randn(count, 16, 6, generator=random)
    fine[kinds == 1, :, 2] += 2
    coarse = torch.randn(count, 4, 5, generator=random)
    coarse[kinds == 2] *= 3
    labels = np.stack([kinds.numpy() == kind for kind in (1, 2)], axis=1)
    return [[torch.zeros(count, 3), fine, coarse]] * 2, labels


def test_shift_and_roughness_are_told_on_new_pictures() -> None:
    """Each class has the highest evidence of its own channel, and most normal pictures have none above even odds."""
    taught = fit(*_views(90, 0), None, RULE)
    views, labels = _views(60, 1)
    said = taught(*views[0]).numpy()
    assert (said[labels.any(axis=1)].argmax(axis=1) == labels[labels.any(axis=1)].argmax(axis=1)).mean() > 0.95
    assert (said[~labels.any(axis=1)] < 0).mean() > 0.9


def test_the_same_pictures_give_the_same_weights() -> None:
    """Nothing is drawn at random."""
    assert torch.equal(fit(*_views(30, 0), None, RULE).weights, fit(*_views(30, 0), None, RULE).weights)


def test_a_feature_that_never_changes_gives_no_infinite_weight() -> None:
    """Two pictures, one of them faulty, with one dead feature."""
    views, labels = _views(4, 0)
    views[0][1][:, :, 0] = 7.0
    assert torch.isfinite(fit(views[:1], labels, None, RULE).weights).all()


def test_the_map_is_hot_where_the_picture_differs() -> None:
    """One patch of the fine layer bears the shift."""
    taught = fit(*_views(90, 0), None, RULE)
    layers = [torch.zeros(1, 16, 6), torch.zeros(1, 16, 5)]
    layers[0][0, 5, 2] = 6.0
    warmth = taught.where(torch.zeros(1, 3), *layers)
    assert warmth.shape == (1, 2, 4, 4)
    assert int(warmth[0, 0].argmax()) == 5


def _marked(count: int, seed: int) -> tuple[list[list[Tensor]], NDArray[np.bool_], NDArray[np.uint8]]:
    """Two faults of one patch each, and any of them, on half of the pictures; masks of 8 x 8 px."""
    random = np.random.default_rng(seed)
    layer = torch.from_numpy(random.normal(0, 1, (count, 16, 6)).astype(np.float32))
    labels, masks = np.zeros((count, 3), np.bool_), np.zeros((count, 8, 8), np.uint8)
    for row in range(0, count, 2):
        place, kind = int(random.integers(16)), row // 2 % 2
        layer[row, place, kind] += 8
        labels[row, [0, 1 + kind]] = True
        masks[row, place // 4 * 2 : place // 4 * 2 + 2, place % 4 * 2 : place % 4 * 2 + 2] = 255
    return [[torch.zeros(count, 3), layer]], labels, masks


def test_a_fault_of_one_patch_is_told_by_its_mask_and_any_fault_by_the_highest() -> None:
    """On new pictures; the map is hot in the marked patch."""
    rule = RULE.model_copy(update={"layers": (1.0,)})
    taught = fit(*_marked(120, 0), rule)
    views, labels, masks = _marked(60, 1)
    said = taught(*views[0]).numpy()
    assert said[labels[:, 0], 0].min() > said[~labels[:, 0], 0].max()
    only = labels[:, 0]
    assert (said[only][:, 1:].argmax(axis=1) == labels[only][:, 1:].argmax(axis=1)).all()
    warmth = taught.where(*views[0])[0, 0].numpy()
    assert masks[0, ::2, ::2].argmax() == warmth.argmax()


def test_the_map_of_any_fault_shows_the_place_of_the_fault_that_counts() -> None:
    """Its own direction sees nothing here; its evidence is the other fault's, and so is its place."""
    own = torch.tensor([[0.0, 1.0], [0.0, 0.0]])  # features x faults: any, and one seen in the first feature
    places = Places(torch.cat([own, torch.zeros(2, 2)]), np.array([[True, True], [False, True]]))
    patches = torch.zeros(1, 9, 2)
    patches[0, 4, 0] = 5.0
    warmth = places.where(patches)
    assert warmth.shape == (1, 9, 2)
    assert warmth[0].argmax(dim=0).tolist() == [4, 4]
    assert torch.equal(warmth.topk(2, dim=1).values.mean(dim=1), places(patches))


def test_a_recipe_with_no_patches_gets_this_head() -> None:
    """Width 0 of the patch network, through the same door."""
    views, labels = _views(30, 0)
    found = head.fit(views, np.zeros((30, 8, 8, 3), np.uint8), labels, None, RULE, log=lambda _: None)
    assert isinstance(found, LinearHead)
    assert found.depths == (0.5, 1.0)


@pytest.mark.slow
def test_networks_over_pixels_judge_beside_it() -> None:
    """Each in its share; the map is of both."""
    views, labels = _views(12, 0)
    frames = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3), np.uint8)
    rule = RULE.model_copy(update={"grain": 1, "grain_epochs": 1})
    found = head.fit(views, frames, labels, None, rule, log=lambda _: None)
    assert isinstance(found, head.Ensemble)
    shown = torch.from_numpy(frames)
    assert found(*views[0], shown).shape == (12, 2)
    assert found.where(views[0][0], *on_finest(views[0][1:]), shown).shape == (12, 2, 4, 4)


def test_it_needs_layers() -> None:
    """Texture statistics are for patch heads."""
    with pytest.raises(ValueError, match="name some"):
        Head(kind="fitted", hidden=0, layers=())
