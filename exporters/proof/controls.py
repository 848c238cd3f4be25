"""Controls: whether light, file or hour alone tell a fault as well as the head does, so that a shortcut is not taken for sight; pure.

Each circumstance is judged by a logistic regression, out of fold by groups. An AUROC varies at most as a share of as many pictures as the rarer
class has groups, so the exact interval of that share says whether it is more than chance. Whether it is as good as the head is asked on the head's
own test pictures, with their groups drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exporters.pictures.grouping import folds
from exporters.proof.calibrate import auroc
from exporters.proof.shares import RARE, exact_interval

Floats = NDArray[np.float64]
RIDGE = 1.0  # of the logistic regression
FOLDS = 5
NEWTON_STEPS = 25  # converges in about ten
CHANCE = 0.5  # AUROC of a coin
RESAMPLES = 500


@dataclass(frozen=True, slots=True)
class Control:
    """The circumstance that tells a fault best.

    ``area`` is its AUROC over all pictures and ``least`` the lower end of its interval, which allows for the number of circumstances tried.
    ``beside`` and ``head`` are its AUROC and the head's on test pictures, None without such; ``as_well``: the head is not surely better there.
    """

    fault: str
    circumstance: str
    area: float
    least: float
    faulty: int
    normal: int
    beside: float | None
    head: float | None
    as_well: bool

    @property
    def shortcut(self) -> bool:
        """Whether the circumstance surely tells something, and the head not surely more."""
        return self.least > CHANCE and self.as_well

    @property
    def verdict(self) -> str:
        """A cell of the report's table: yes, no, or that there are too few groups to tell."""
        if self.shortcut:
            return "**yes**"
        return "unsure, too few groups" if self.as_well else "no"

    @property
    def note(self) -> str | None:
        """A loud line of the report, or None."""
        if not self.shortcut:
            return None
        measured = (
            "no test picture measures the head"
            if self.head is None
            else f"AUROC {self.beside:.3f}, the head {self.head:.3f}"
        )
        return (
            f"SHORTCUT: {self.circumstance} alone tells {self.fault} from normal pictures as well as the head ({measured}). Take normal pictures and pictures of {self.fault} in the same "
            "light, hours and file format and build again, unless this is what the fault is."
        )


def control(
    fault: str,
    circumstances: Mapping[str, Floats],
    *,
    faulty: NDArray[np.bool_],
    normal: NDArray[np.bool_],
    test: NDArray[np.bool_],
    groups: Sequence[str],
    scores: NDArray[np.float32],
) -> Control | None:
    """The best of the circumstances beside the head; None where none can be judged.

    Args:
        fault: its id.
        circumstances: numbers [N, D] of each.
        faulty: bool [N], pictures with the fault.
        normal: bool [N], pictures without any.
        test: bool [N], pictures that measure the head.
        groups: of each picture; none is judged by a regression that was fitted on another picture of its group.
        scores: the head's [N].
    """
    rows = np.flatnonzero(faulty | normal)
    labels, names = faulty[rows], [group for group, used in zip(groups, faulty | normal, strict=True) if used]
    places = _folds(labels, names)
    if places is None or not circumstances:
        return None
    predicted = {name: out_of_fold(numbers[rows], labels, places) for name, numbers in circumstances.items()}
    areas = {name: _area(one, labels) for name, one in predicted.items()}
    best = max(areas, key=lambda name: areas[name])
    tested = test[rows]
    shown, mine, heads = labels[tested], predicted[best][tested], scores[rows][tested]
    measured = bool(shown.any() and not shown.all())
    return Control(
        fault=fault,
        circumstance=best,
        area=areas[best],
        least=_least(areas[best], names, labels, RARE / len(areas)),
        faulty=int(labels.sum()),
        normal=int((~labels).sum()),
        beside=_area(mine, shown) if measured else None,
        head=_area(heads, shown) if measured else None,
        as_well=not measured
        or _as_well(mine, heads, shown, [name for name, used in zip(names, tested, strict=True) if used]),
    )


def out_of_fold(numbers: Floats, labels: NDArray[np.bool_], places: NDArray[np.int64]) -> Floats:
    """Scores [n] of rows [n, D], each by a regression over the rows of all other folds."""
    found = np.zeros(len(labels))
    for place in np.unique(places):
        mine = places == place
        found[mine] = logistic(numbers[~mine], labels[~mine], numbers[mine])
    return found


def logistic(train: Floats, labels: NDArray[np.bool_], test: Floats) -> Floats:
    """Scores of test rows by a ridge logistic regression: train [N, D], labels [N] of both kinds, test [M, D] -> [M]."""
    mean, std = train.mean(axis=0), train.std(axis=0) + 1e-9
    rows = np.hstack([(train - mean) / std, np.ones((len(train), 1))])
    weights = np.zeros(rows.shape[1])
    share = labels.mean()
    balance = np.where(labels, 0.5 / share, 0.5 / (1 - share))
    penalty = RIDGE * np.eye(rows.shape[1])
    penalty[-1, -1] = 1e-6
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (balance * (chance - labels)) + penalty @ weights
        bend = (rows * (balance * chance * (1 - chance))[:, None]).T @ rows + penalty
        weights -= np.linalg.solve(bend, slope)
    tested: Floats = np.hstack([(test - mean) / std, np.ones((len(test), 1))]) @ weights
    return tested


def _folds(labels: NDArray[np.bool_], groups: Sequence[str]) -> NDArray[np.int64] | None:
    """The fold of each picture; None if not every regression would see both kinds."""
    classes = [[str(bool(label))] for label in labels]
    places = np.array(folds(groups, classes, min(FOLDS, max(2, len(set(groups))))), np.int64)
    both = all(len(np.unique(labels[places != place])) == 2 for place in np.unique(places))
    return places if both and len(np.unique(places)) > 1 else None


def _area(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """AUROC of scores [n]; NaN without both kinds."""
    found = auroc(scores[labels].astype(np.float32), scores[~labels].astype(np.float32))
    return math.nan if found is None else found


def _as_well(mine: Floats, heads: NDArray[np.float32], labels: NDArray[np.bool_], groups: Sequence[str]) -> bool:
    """Whether the head's AUROC is not surely above the circumstance's on the same pictures, when their groups are drawn again."""
    places = np.unique(np.asarray(groups), return_inverse=True)[1]
    count = int(places.max()) + 1
    random = np.random.default_rng(0)
    drawn = [
        np.repeat(np.arange(len(labels)), np.bincount(random.integers(0, count, count), minlength=count)[places])
        for _ in range(RESAMPLES)
    ]
    ahead = [
        _area(heads[rows], labels[rows]) - _area(mine[rows], labels[rows])
        for rows in drawn
        if labels[rows].any() and not labels[rows].all()
    ]
    return not ahead or float(np.percentile(ahead, 100 * RARE / 2)) <= 0


def _least(area: float, groups: Sequence[str], labels: NDArray[np.bool_], rare: float) -> float:
    """Lower end of an AUROC's interval, by the groups of the rarer class."""
    count = min(
        len({group for group, label in zip(groups, labels, strict=True) if label == kind}) for kind in (True, False)
    )
    return exact_interval(math.floor(area * count + 1e-9), count, rare)[0]
