"""Rows, names and worst misses are right where the answer is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.sets.figures import BASELINES
from benchmarks.sets.findings import baselines, named_right, rows, worst
from benchmarks.sets.pictures import Picture


def _faults() -> Any:
    return [
        SimpleNamespace(id="crack", kind="named", threshold=0.5),
        SimpleNamespace(id="fray", kind="named", threshold=0.5),
        SimpleNamespace(id="unnamed", kind="unnamed", threshold=0.5),
    ]


def _pictures() -> list[Picture]:
    shown: list[list[str]] = [[]] * 4 + [["crack"]] * 2 + [["fray"]] * 2
    return [
        Picture(Path(f"{index}.jpg"), frozenset(faults), str(index), tested=False, fold=index % 2)
        for index, faults in enumerate(shown)
    ]


SCORES = np.array(
    [
        *[[0.1, 0.1, 0.1], [0.2, 0.1, 0.2], [0.3, 0.1, 0.3], [0.6, 0.1, 0.4]],
        *[[0.9, 0.2, 0.9], [0.8, 0.2, 0.45]],
        *[[0.15, 0.1, 0.9], [0.1, 0.7, 0.9]],
    ]
)
TRIVIAL = dict.fromkeys(BASELINES, SCORES)


def test_each_channel_is_held_against_the_normal_pictures() -> None:
    """A channel of a fault asks for it; the unnamed one asks for any; shares come with their exact interval."""
    made = {row["channel"]: row for row in rows(_faults(), _pictures(), SCORES, TRIVIAL)}
    assert (made["crack"]["pictures"], made["crack"]["AUROC"]) == (2, 1.0)
    assert (made["unnamed"]["pictures"], made["unnamed"]["AUROC"]) == (4, 1.0)
    assert str(made["unnamed"]["found %"]).startswith("75.0 (")
    assert made["crack"]["false alarms %"] == "25.0 (0.6 to 80.6)"


def test_without_normal_pictures_a_fault_is_held_against_the_others() -> None:
    """Of four pictures the two with the fault come first."""
    made = rows(_faults()[:2], _pictures()[4:], SCORES[4:, :2], dict.fromkeys(BASELINES, SCORES[4:, :2]))
    assert [row["AUROC"] for row in made] == [1.0, 0.5]


def test_the_highest_score_is_the_name() -> None:
    """One fray is called a crack."""
    assert named_right(_faults(), _pictures(), SCORES).tolist() == [True, True, False, True]


def test_the_worst_are_the_furthest_from_their_threshold() -> None:
    """Faulty pictures below it, by their own best channel, then normal ones above any."""
    found = worst(_faults(), _pictures(), SCORES, 1)
    assert [(picture.file.name, channel) for picture, channel, _ in found] == [("5.jpg", "crack"), ("3.jpg", "crack")]


def test_baselines_never_judge_a_picture_of_the_fold_they_learned_from() -> None:
    """Features that only name the picture teach nothing that holds in the other fold."""
    pictures = _pictures()
    features = {name: np.eye(len(pictures)) for name in BASELINES}
    said = baselines(_faults(), pictures, features)
    shown = np.array([bool(picture.faults) for picture in pictures])
    assert said[BASELINES[0]].shape == (8, 3)
    assert not (said[BASELINES[0]][shown, 2].min() > said[BASELINES[0]][~shown, 2].max())
    learned = baselines(_faults(), pictures, features, pictures, features)
    assert learned[BASELINES[0]][shown, 2].min() > learned[BASELINES[0]][~shown, 2].max()


def test_a_baseline_that_saw_one_kind_alone_says_nothing() -> None:
    """Every score is the same, instead of a division by zero."""
    pictures = _pictures()[:4]
    said = baselines(_faults(), pictures, {name: np.eye(4) for name in BASELINES})
    assert not said[BASELINES[0]].any()
