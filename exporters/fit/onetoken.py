"""Fits one-token questions on the site's own images, with their accuracy against the words they replace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from edge.errors import ExportError
from exporters.model import Examples, Model, Question
from exporters.onepass.soft import log_odds
from exporters.pictures.images import Dataset
from exporters.proof.calibrate import auroc

LEAST_PICTURES = 5  # of a fault among the fit images; with fewer the worded question is all that the token learns from
HELD_EVERY = 5  # of the fit images' groups each n-th is held to choose the step


def one_token(model: Model, questions: Sequence[Question], dataset: Dataset) -> tuple[Model, tuple[str, ...]]:
    """The model with fitted questions, and notes for the report.

    Raises:
        ExportError: the model answers no questions in words, has recurrent layers, or there are no fit images.
    """
    fitting = dataset.part("fit")
    if not fitting.any():
        raise ExportError("one-token questions need images to fit on: raise images.fit_share, or add images.normal.")
    labelled = dataset.labels[fitting].sum(axis=0) >= LEAST_PICTURES
    test = dataset.part("test")
    worded = evidence(model, questions, dataset.frames, test | fitting)
    targets = np.where(labelled, dataset.labels, 1.0 / (1.0 + np.exp(-worded))).astype(np.float32)
    held = _held(dataset.groups, fitting)
    guide = worded[fitting]
    for k in np.flatnonzero(labelled):
        guide[:, k] = log_odds(worded[fitting, k], targets[fitting, k])
    examples = Examples(dataset.frames[fitting], targets[fitting], held[fitting], guide)
    fitted, saved = model.one_token(questions, examples)
    first = (
        f"One-token questions: one token a fault, fitted on {int(fitting.sum())} images ({int(held.sum())} of them choose the step), everything "
        f"else frozen. {saved}"
    )
    return fitted, (
        first,
        *_notes(questions, dataset, worded, evidence(fitted, questions, dataset.frames, test), labelled),
    )


def evidence(
    model: Model, questions: Sequence[Question], frames: NDArray[np.uint8], wanted: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Evidence [N, K] by the one-pass graph in float32, before it is exported; zero for frames that are not wanted."""
    graph = model.graph(questions, None)
    found = np.zeros((len(frames), len(questions)), np.float32)
    with torch.inference_mode():
        for index in np.flatnonzero(wanted):
            found[index] = graph(torch.from_numpy(frames[index][None])).numpy()[0]
    return found


def _held(groups: Sequence[str], fitting: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Each n-th group of the fit images, whole."""
    names = sorted({group for group, used in zip(groups, fitting, strict=True) if used})
    chosen = set(names[HELD_EVERY - 1 :: HELD_EVERY])
    return np.array([used and group in chosen for group, used in zip(groups, fitting, strict=True)], np.bool_)


def _notes(
    questions: Sequence[Question],
    dataset: Dataset,
    worded: NDArray[np.float32],
    short: NDArray[np.float32],
    labelled: NDArray[np.bool_],
) -> tuple[str, ...]:
    """One line a fault: AUROC against normal test images, in words and as one token."""
    test = dataset.part("test")
    found = []
    for k, question in enumerate(questions):
        areas = [
            auroc(scores[test & dataset.labels[:, k], k], scores[test & dataset.normal, k])
            for scores in (worded, short)
        ]
        before, after = ("-" if area is None else f"{area:.3f}" for area in areas)
        how = "fitted on labels and on the words' answers" if labelled[k] else "fitted on the worded question's answers"
        found.append(f"{question.id}: AUROC on test images {before} in words, {after} as one token ({how}).")
    return tuple(found)
