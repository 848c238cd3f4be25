"""Small exact measures: ranking quality, retrieval, and a logistic regression with whole groups left out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def auroc(scores: Floats, positive: Bools) -> float:
    """Chance that a positive outranks a negative, ties counted half. Raises ValueError when one side is empty."""
    if positive.all() or not positive.any():
        raise ValueError("AUROC needs positives and negatives; choose a larger sample")
    order = np.argsort(scores, kind="stable")
    _, inverse, counts = np.unique(scores[order], return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    ranks = np.empty(len(scores))
    ranks[order] = middle[inverse]
    hits = int(positive.sum())
    return float((ranks[positive].sum() - hits * (hits + 1) / 2) / (hits * (len(scores) - hits)))


def recall_at(scores: Floats, right: Bools, k: int) -> float:
    """Share of rows whose ``k`` best columns hold a right one; scores and right are (rows, columns)."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(right, best, axis=1).any(axis=1).mean())


def balanced_accuracy(predicted: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Mean over the classes of the share that is recognised."""
    return float(np.mean([(predicted[truth == label] == label).mean() for label in np.unique(truth)]))


def group_folds(groups: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """A fold number for every row; a group lies in one fold."""
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    fold_of = {int(name): index % folds for index, name in enumerate(names)}
    return np.array([fold_of[int(group)] for group in groups])


def logistic_scores(train: Floats, labels: Bools, test: Floats, penalty: float) -> Floats:
    """Scores of test rows by a class-balanced L2 logistic regression on standardised features (rows, features)."""
    mean, spread = train.mean(0), train.std(0) + 1e-6
    x, z = (torch.tensor((part - mean) / spread, dtype=torch.float32) for part in (train, test))
    y = torch.tensor(labels, dtype=torch.float32)
    share = float(labels.mean())
    weight = torch.where(y > 0, 0.5 / share, 0.5 / (1 - share))
    beta = torch.zeros(x.shape[1] + 1, requires_grad=True)
    optimiser = torch.optim.LBFGS([beta], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = torch.nn.functional.binary_cross_entropy_with_logits(x @ beta[1:] + beta[0], y, weight=weight)
        value = value + penalty * (beta[1:] ** 2).sum() / len(y)
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves backward untyped
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]  # torch leaves LBFGS.step untyped
    with torch.no_grad():
        return (z @ beta[1:] + beta[0]).numpy().astype(np.float64)


def grouped_scores(
    features: Floats, labels: Bools, groups: NDArray[np.int64], *, folds: int = 5, penalty: float = 30.0, seed: int = 0
) -> Floats:
    """A score for every row from a regression that saw none of its group."""
    fold = group_folds(groups, folds, seed)
    scores = np.zeros(len(labels))
    for index in range(folds):
        held = fold == index
        scores[held] = logistic_scores(features[~held], labels[~held], features[held], penalty)
    return scores
