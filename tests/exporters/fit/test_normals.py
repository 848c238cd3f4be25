"""The unnamed channel: fitted on normal pictures alone it finds what is unlike them, from one picture on, and says whom it suspects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from edge.errors import ExportError
from exporters.fit.moments import Moments
from exporters.fit.normals import SUSPECTS_MAX, Fitted, Normals, Painted, far_out, fit, standing_apart
from exporters.fit.procedural import KINDS
from exporters.fit.unnamed import Unnamed, neighbourhoods
from exporters.proof.calibrate import auroc

SIDE, WIDTH = 8, 12
VIEWS = 4
_MIX = np.random.default_rng(9).normal(0, 1, (3, WIDTH))


def _pictures(count: int, seed: int) -> Tensor:
    """Patch features [n, T, E] that vary in three directions, and a little in all."""
    random = np.random.default_rng(seed)
    made = random.normal(0, 1, (count, SIDE * SIDE, 3)) @ _MIX + random.normal(0, 0.1, (count, SIDE * SIDE, WIDTH))
    return torch.from_numpy(made.astype(np.float32))


def _with_fault(pictures: Tensor, size: int = 2, strength: float = 2.0) -> Tensor:
    """The same with a few patches moved where normal ones never go."""
    random = np.random.default_rng(5)
    off = np.linalg.svd(_MIX)[2][-1] * strength
    found = pictures.reshape(-1, SIDE, SIDE, WIDTH).clone()
    for picture in found:
        row, column = random.integers(0, SIDE - size, 2)
        picture[row : row + size, column : column + size] += torch.from_numpy(off.astype(np.float32))
    return found.flatten(1, 2)


def _painted(pictures: Tensor) -> Painted:
    shown = _with_fault(pictures, 3, 1.0)
    covered = ((shown - pictures).abs().sum(-1) > 0).float()
    return Painted(
        [shown],
        covered,
        [list(KINDS)[row % len(KINDS)] for row in range(len(pictures))],
        np.arange(len(pictures)),
        np.arange(len(pictures), dtype=np.float64),
    )


def _fit(pictures: Tensor, groups: Sequence[str] | None = None) -> Fitted:
    pooled = torch.zeros(len(pictures), 1)
    grid = pictures.reshape(-1, SIDE, SIDE, WIDTH)
    views = [[pooled, grid.flip(list(axes)).flatten(1, 2)] for axes in ((), (2,), (1,), (1, 2))]
    names = groups or [f"part {row // 2}" for row in range(len(pictures))]
    return fit(Normals(views, names), _painted(pictures), depths=(0.5,), bound=0.05, log=lambda _: None)


def _evidence(module: Unnamed, pictures: Tensor) -> np.ndarray:
    with torch.inference_mode():
        found: np.ndarray = module(torch.zeros(len(pictures), 1), pictures)[:, 0].numpy()
    return found


@pytest.mark.parametrize("count", [1, 4, 16, 60])
def test_what_is_unlike_the_normal_pictures_is_found_from_one_picture_on(count: int) -> None:
    """No fault picture is fitted on; more normal pictures do no harm."""
    fitted = _fit(_pictures(count, 0))
    normal, faulty = _pictures(40, 1), _with_fault(_pictures(40, 2))
    found = auroc(_evidence(fitted.module, faulty), _evidence(fitted.module, normal))
    assert found is not None
    assert found > 0.95
    assert len(fitted.unseen) == count


def test_the_map_is_hottest_where_the_fault_is() -> None:
    """Where: the neighbourhood that the fault was put into."""
    fitted, picture = _fit(_pictures(20, 0)), _pictures(1, 3)
    shown = picture.reshape(1, SIDE, SIDE, WIDTH).clone()
    shown[0, 4:6, 2:4] += torch.from_numpy((3 * np.linalg.svd(_MIX)[2][-1]).astype(np.float32))
    place = int(fitted.module.where(shown.flatten(1, 2))[0].argmax())
    assert divmod(place, SIDE // 2) == (2, 1)


def test_evidence_out_of_fold_is_like_that_of_new_pictures() -> None:
    """Thresholds are made of it: were it lower than new pictures', the bound would not hold."""
    fitted = _fit(_pictures(60, 0))
    fresh = _evidence(fitted.module, _pictures(200, 4))
    assert np.median(fitted.unseen) >= np.median(fresh) - 0.3
    assert np.percentile(fitted.unseen, 95) >= np.percentile(fresh, 90) - 0.3


def test_faulty_pictures_among_the_normal_ones_are_suspected_and_not_learnt() -> None:
    """Two of forty: both are listed, nobody else is, and such a fault is still found."""
    pictures = _pictures(40, 0)
    pictures[[7, 22]] = _with_fault(pictures[[7, 22]], 4, 6.0)
    fitted = _fit(pictures)
    assert np.flatnonzero(fitted.suspects).tolist() == [7, 22]
    found = auroc(_evidence(fitted.module, _with_fault(_pictures(30, 2))), _evidence(fitted.module, _pictures(30, 1)))
    assert found is not None
    assert found > 0.9


def test_a_second_kind_of_normal_is_no_crowd_of_suspects() -> None:
    """More than a fifth are not outliers."""
    many = np.array([0.0] * 30 + [9.0] * 10, np.float32)
    many[:30] += np.linspace(0, 1, 30, dtype=np.float32)
    assert SUSPECTS_MAX < 0.25
    assert not far_out(many).any()
    assert standing_apart(many).sum() == 10, "but they are told"
    assert far_out(many[:31]).sum() == 1


def test_the_power_tells_each_painted_kind_by_itself() -> None:
    """The report says what kind of fault would be seen, before one was."""
    fitted = _fit(_pictures(60, 0))
    assert set(fitted.power) == set(KINDS)
    assert all(0.5 < one.auroc <= 1.0 for one in fitted.power.values())


def test_the_same_pictures_give_the_same_channel() -> None:
    """Nothing is drawn: a build can be repeated."""
    first, second = _fit(_pictures(12, 0)), _fit(_pictures(12, 0))
    for name, left in first.module.state_dict().items():
        assert torch.equal(left, second.module.state_dict()[name]), name


def test_normal_pictures_that_show_nothing_are_refused() -> None:
    """A covered lens would make everything else look faulty."""
    with pytest.raises(ExportError, match="every patch is the same"):
        _fit(torch.ones(6, SIDE * SIDE, WIDTH))


def test_no_normal_picture_is_said_in_a_sentence() -> None:
    """It names the key to add."""
    with pytest.raises(ExportError, match=r"images\.normal"):
        _fit(torch.zeros(0, SIDE * SIDE, WIDTH), [])


def test_normal_pictures_that_are_all_alike_still_fit() -> None:
    """One picture many times has no spread between pictures; rounding must not become a fault."""
    same = _pictures(1, 0).expand(8, -1, -1).clone()
    fitted = _fit(same)
    assert np.isfinite(fitted.unseen).all()
    assert np.isfinite(_evidence(fitted.module, _pictures(3, 1))).all()


def test_neighbourhoods_are_means_of_two_by_two_patches_and_small_grids_stay() -> None:
    """Coarser grids cost a quarter; a grid too small for that is used as it is."""
    patches = torch.arange(64.0).reshape(1, 64, 1)
    assert neighbourhoods([patches])[0, 0, 0] == (0 + 1 + 8 + 9) / 4
    assert neighbourhoods([patches]).shape == (1, 16, 1)
    assert neighbourhoods([patches[:, :49]]).shape == (1, 49, 1)
    assert neighbourhoods([patches, patches[:, :16]]).shape == (1, 16, 2), "both on the coarser grid"
    assert Moments.of(patches).count == 64


def test_power_is_told_by_size() -> None:
    """Thirds of the painted faults of a kind, from the smallest to the largest; together they are all."""
    fitted = _fit(_pictures(60, 0))
    for number, kind in enumerate(KINDS):
        power = fitted.power[kind]
        small, middle, large = power.sizes
        assert (small.least_px, large.most_px) == (number, number + 54)
        assert small.most_px < middle.least_px <= middle.most_px < large.least_px
        assert [third.count for third in power.sizes] == [4, 3, 3]
        assert sum(third.found for third in power.sizes) == round(10 * power.found)
