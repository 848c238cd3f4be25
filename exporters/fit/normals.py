"""Fits the unnamed channel on normal pictures alone, and judges it by group on pictures it never saw.

Every share of the variance that is tried and every unit is taken out of fold, and chosen on painted faults: no picture of a real fault is
looked at. Pictures that are far from the others are left out of the second fit and listed: someone may have put a faulty part among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edge.errors import ExportError
from exporters.fit.moments import Moments, Subspace, discriminants, subspaces, total
from exporters.fit.procedural import KINDS
from exporters.fit.unnamed import Unnamed, neighbourhoods, patches, standing_out, summary
from exporters.pictures.grouping import folds
from exporters.proof.calibrate import auroc, conformal_limit

SHARES = (0.8, 0.9, 0.95)  # of the variance that a subspace holds
AS_GOOD = 0.005  # area under the curve; of shares this near to the best the smallest is chosen, which costs least
FOLDS = 5
RIDGE = 0.1
COVERED = 0.06  # share of a patch that a painted fault must cover to teach by it
BATCH = 32  # pictures whose features are held in float32 at once
FAR_OUT = 6.0  # robust deviations of the evidence from which a picture is a suspect
SUSPECTS_MAX = 0.2  # of the pictures: more are no outliers, but a second kind of normal


@dataclass(frozen=True, slots=True)
class Normals:
    """Normal pictures: features under each flip as `head.fit` takes them (pooled, then patches [n, T, E] per depth), and the groups [n]."""

    views: Sequence[Sequence[Tensor]]
    groups: Sequence[str]

    @property
    def count(self) -> int:
        """Pictures."""
        return len(self.groups)


@dataclass(frozen=True, slots=True)
class Painted:
    """Faults painted on normal pictures.

    Patch features per depth [m, T, E], the share of each patch covered [m, T], the kinds [m], which picture each was painted on [m], and how far
    each reaches, px of the picture [m].
    """

    layers: Sequence[Tensor]
    covered: Tensor
    kinds: Sequence[str]
    sources: NDArray[np.int64]
    extents: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sized:
    """How many painted faults of some size were found, of how many; they reach from `least_px` to `most_px`."""

    least_px: float
    most_px: float
    found: int
    count: int


@dataclass(frozen=True, slots=True)
class Power:
    """What was found of one kind of painted faults, out of fold: area under the curve, the share above the bound's limit, and how many by size."""

    auroc: float
    found: float
    sizes: tuple[Sized, ...] = ()


@dataclass(frozen=True, slots=True)
class Fitted:
    """The channel; each picture's evidence by weights that never saw its group [n]; suspects bool [n]; power by kind; the share chosen."""

    module: Unnamed
    unseen: NDArray[np.float32]
    suspects: NDArray[np.bool_]
    power: Mapping[str, Power]
    share: float


def fit(
    normals: Normals,
    painted: Painted,
    *,
    depths: Sequence[float],
    bound: float,
    log: Callable[[str], None],
) -> Fitted:
    """Fit on all pictures, and out of fold for every figure about it.

    Args:
        normals: at least one picture.
        painted: faults painted on them.
        depths: of the features.
        bound: share of normal frames that may be flagged; the power is measured at its limit.
        log: takes a line of progress now and then.

    Raises:
        ExportError: there is no picture, or all are one and the same without any structure.
    """
    _check(normals)
    first = _round(normals, painted, depths, bound, np.ones(normals.count, np.bool_))
    suspects = far_out(first.unseen)
    if not suspects.any():
        return first
    log(f"{int(suspects.sum())} of {normals.count} normal pictures are far from the others; fitted again without them")
    again = _round(normals, painted, depths, bound, ~suspects)
    return Fitted(again.module, again.unseen, suspects, again.power, again.share)


def far_out(evidence: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which normal pictures are far above the others; none where they would be many."""
    found = standing_apart(evidence)
    return found if found.mean() <= SUSPECTS_MAX else np.zeros_like(found)


def standing_apart(evidence: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which are far above the median, be they few or many."""
    middle = float(np.median(evidence))
    spread = 1.4826 * float(np.median(np.abs(evidence - middle)))
    found: NDArray[np.bool_] = evidence > middle + FAR_OUT * max(spread, 1e-6)
    return found


def _check(normals: Normals) -> None:
    if normals.count == 0:
        raise ExportError("the unnamed channel needs at least one normal picture: add images.normal to the recipe.")
    if all(float(layer[:1].float().std(dim=1).max()) == 0.0 for layer in normals.views[0][1:]):
        raise ExportError(
            "the normal pictures show nothing (every patch is the same), so nothing could be unlike them: give pictures of the part."
        )


@dataclass(frozen=True, slots=True)
class _Sums:
    """Moments of one fold: patches against their picture, neighbourhoods, whole pictures, and painted patches by kind."""

    patches: Moments
    near: Moments
    whole: Moments
    painted: tuple[Moments, ...]

    def __add__(self, other: _Sums) -> _Sums:
        both = tuple(a + b for a, b in zip(self.painted, other.painted, strict=True))
        return _Sums(self.patches + other.patches, self.near + other.near, self.whole + other.whole, both)


def _round(
    normals: Normals, painted: Painted, depths: Sequence[float], bound: float, used: NDArray[np.bool_]
) -> Fitted:
    """Fit on the used pictures; all pictures are judged out of fold."""
    places = _places(normals.groups, len(normals.views))
    count = int(places.max()) + 1
    sums = [_sums(normals, painted, places == fold, used) for fold in range(count)]
    looked = [_members(_others(sums, fold), depths) for fold in range(count)]
    own = places[0]  # the fold of each unflipped picture
    seen = [_looked(looked, own, share, normals.views[0][1:]) for share in range(len(SHARES))]
    faulty = [_looked(looked, own[painted.sources], share, painted.layers) for share in range(len(SHARES))]
    powers = np.array([_strangeness_power(a[1], b[1]) for a, b in zip(seen, faulty, strict=True)])
    chosen = int(np.flatnonzero(powers >= powers.max() - AS_GOOD)[0])
    whole = sums[0]
    for part in sums[1:]:
        whole = whole + part
    module = _members(whole, depths)[chosen]
    rows = torch.from_numpy(np.flatnonzero(used))
    module.set_units(*(part[rows] for part in seen[chosen]))
    with torch.inference_mode():
        unseen = module.judge(*seen[chosen])[:, 0].numpy()
        painted_scores = module.judge(*faulty[chosen])[:, 0].numpy()
    limit = conformal_limit(unseen, bound, list(normals.groups))
    return Fitted(
        module.eval().requires_grad_(requires_grad=False),
        unseen,
        np.zeros(normals.count, np.bool_),
        _power(unseen, painted_scores, painted, limit),
        SHARES[chosen],
    )


def _places(groups: Sequence[str], views: int) -> NDArray[np.int64]:
    """The fold of every picture under every flip [views, n]: by group, or by flip where there is only one group."""
    names = len(set(groups))
    if names == 1:
        return np.repeat(np.arange(views)[:, None], len(groups), axis=1)
    found = folds(list(groups), [["normal"]] * len(groups), min(FOLDS, names))
    dense = np.unique(found, return_inverse=True)[1]
    return np.repeat(dense[None], views, axis=0)


def _others(sums: Sequence[_Sums], fold: int) -> _Sums:
    """All folds but one; the one itself where there is no other."""
    rest = [one for index, one in enumerate(sums) if index != fold] or [sums[fold]]
    found = rest[0]
    for part in rest[1:]:
        found = found + part
    return found


def _sums(normals: Normals, painted: Painted, chosen: NDArray[np.bool_], used: NDArray[np.bool_]) -> _Sums:
    """Moments of the chosen pictures [views, n] that are used."""
    width = sum(layer.shape[-1] for layer in painted.layers)
    none = Moments.none(width)
    single, near, whole = [none], [none], [Moments.none(2 * width)]
    for view, here in zip(normals.views, chosen & used, strict=True):
        for batch in _batches(view[1:], np.flatnonzero(here)):
            around = neighbourhoods(batch)
            single.append(Moments.of(standing_out(patches(batch))))
            near.append(Moments.of(around))
            whole.append(Moments.of(summary(around)))
    rows = np.flatnonzero((chosen.any(axis=0) & used)[painted.sources])
    shown = []
    for kind in KINDS:
        mine = rows[[painted.kinds[int(row)] == kind for row in rows]] if len(rows) else rows
        parts = [none]
        for batch, covered in zip(
            _batches(painted.layers, mine), _batches([painted.covered[..., None]], mine), strict=True
        ):
            parts.append(Moments.of(standing_out(patches(batch))[covered[0][..., 0] > COVERED]))
        shown.append(total(parts))
    return _Sums(total(single), total(near), total(whole), tuple(shown))


def _batches(layers: Sequence[Tensor], rows: NDArray[np.int64]) -> list[list[Tensor]]:
    """Patch features of some pictures, a few at a time: float32 [b, T, E] per depth."""
    return [[layer[rows[start : start + BATCH]].float() for layer in layers] for start in range(0, len(rows), BATCH)]


def _members(sums: _Sums, depths: Sequence[float]) -> list[Unnamed]:
    """One module for each share of the variance."""
    directions = discriminants(sums.patches, sums.painted, RIDGE)
    # Between few pictures hardly anything varies; within a picture its mean is known only as well as its patches allow.
    per_picture = max(sums.near.count / max(sums.whole.count, 1.0), 1.0)
    floor = np.tile(sums.near.deviation / np.sqrt(per_picture), 2)
    pairs: list[tuple[Subspace, Subspace]] = list(
        zip(subspaces(sums.near, SHARES), subspaces(sums.whole, SHARES, floor), strict=True)
    )
    return [Unnamed(depths=depths, directions=directions, near=near, whole=whole) for near, whole in pairs]


def _looked(
    members: Sequence[Sequence[Unnamed]], own: NDArray[np.int64], share: int, layers: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Raw values of every picture by the member that never saw it: [n, kinds], [n, 2]."""
    kinds, odd = torch.zeros(len(own), len(KINDS)), torch.zeros(len(own), 2)
    with torch.inference_mode():
        for fold, member in enumerate(members):
            rows = np.flatnonzero(own == fold)
            for start, batch in zip(range(0, len(rows), BATCH), _batches(layers, rows), strict=True):
                some = torch.from_numpy(rows[start : start + BATCH])
                kinds[some], odd[some] = member[share].look(*batch)
    return kinds, odd


def _strangeness_power(normal: Tensor, painted: Tensor) -> float:
    """How well the two strangenesses alone tell painted pictures: their mean area under the curve."""
    pairs = zip(painted.T.numpy(), normal.T.numpy(), strict=True)
    return float(np.mean([auroc(fault, ground) or 0.0 for fault, ground in pairs]))


def _power(
    normal: NDArray[np.float32], painted_scores: NDArray[np.float32], painted: Painted, limit: float
) -> dict[str, Power]:
    names = np.array(painted.kinds)
    found = painted_scores > limit
    return {
        kind: Power(
            auroc(painted_scores[names == kind], normal) or 0.0,
            float(found[names == kind].mean()),
            _by_size(painted.extents[names == kind], found[names == kind]),
        )
        for kind in KINDS
        if (names == kind).any()
    }


def _by_size(extents: NDArray[np.float64], found: NDArray[np.bool_]) -> tuple[Sized, ...]:
    """The smallest, the middle and the largest third."""
    thirds = [rows for rows in np.array_split(np.argsort(extents, kind="stable"), 3) if rows.size]
    return tuple(
        Sized(float(extents[rows].min()), float(extents[rows].max()), int(found[rows].sum()), int(rows.size))
        for rows in thirds
    )
