"""The measures agree with their definitions on cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from examples.training.common.scoring import auroc, balanced_accuracy, group_folds, grouped_scores, recall_at


def test_auroc_counts_pairs() -> None:
    """Three of four pairs in order make 0.75; a tie counts half."""
    positive = np.array([True, False, True, False])
    assert auroc(np.array([4.0, 3.0, 2.0, 1.0]), positive) == 0.75
    assert auroc(np.array([1.0, 1.0, 1.0, 1.0]), positive) == 0.5


def test_auroc_needs_both_sides() -> None:
    """Only positives have no ranking."""
    with pytest.raises(ValueError, match="positives and negatives"):
        auroc(np.array([1.0, 2.0]), np.array([True, True]))


def test_recall_looks_at_the_best_columns() -> None:
    """A right answer in second place counts at two, not at one."""
    scores, right = np.array([[0.9, 0.8, 0.1]]), np.array([[False, True, False]])
    assert recall_at(scores, right, 1) == 0
    assert recall_at(scores, right, 2) == 1


def test_balanced_accuracy_weighs_classes_alike() -> None:
    """Always naming the large class scores one half of two classes."""
    assert balanced_accuracy(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1])) == 0.5


def test_a_group_lies_in_one_fold() -> None:
    """No group is split between folds."""
    groups = np.repeat(np.arange(20), 3)
    folds = group_folds(groups, 5, 0)
    assert all(len(set(folds[groups == group])) == 1 for group in range(20))
    assert set(folds) == set(range(5))


def test_a_probe_finds_what_is_there_and_nothing_else() -> None:
    """Separable classes score high with groups left out; random labels stay near one half."""
    rng = np.random.default_rng(0)
    labels, groups = rng.random(300) < 0.4, np.repeat(np.arange(60), 5)
    signal = rng.standard_normal((300, 5)) + 2 * labels[:, None]
    assert auroc(grouped_scores(signal, labels, groups), labels) > 0.95
    assert abs(auroc(grouped_scores(rng.standard_normal((300, 5)), labels, groups), labels) - 0.5) < 0.15
