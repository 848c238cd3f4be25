"""Worded questions become one-token questions, fitted on the site's own images, with their accuracy against the words they replace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExportError
from exporters.calibrate import auroc
from exporters.families.base import Model, Question
from exporters.images import Album
from exporters.onepass.generative import GenerativeModel

LEAST_PICTURES = 5  # of a fault among the fit images; with fewer the worded question is all that the token learns from
HELD_EVERY = 5  # of the fit images' groups each n-th is held to choose the step


def one_token(model: Model, questions: Sequence[Question], album: Album) -> tuple[GenerativeModel, tuple[str, ...]]:
    """The model with fitted questions, and notes for the report.

    Raises:
        ExportError: not a generative model, no fit images, or a family with recurrent layers.
    """
    from exporters.onepass.soft import fit, log_odds, start_tokens  # noqa: PLC0415 - imports torch

    fitting = album.part("fit")
    if not isinstance(model, GenerativeModel) or not fitting.any():
        raise ExportError("one-token questions need a checkpoint that answers in words, and images to fit on.")
    labelled = album.labels[fitting].sum(axis=0) >= LEAST_PICTURES
    test = album.part("test")
    worded = evidence(model, questions, album.frames, test | fitting)
    targets = np.where(labelled, album.labels, 1.0 / (1.0 + np.exp(-worded))).astype(np.float32)
    held = _held(album.groups, fitting)
    guide = worded[fitting]
    for k in np.flatnonzero(labelled):
        guide[:, k] = log_odds(worded[fitting, k], targets[fitting, k])
    start = start_tokens(model, questions)
    soft = fit(model, start, album.frames[fitting], targets[fitting], held[fitting], guide=guide)
    fitted = replace(model, soft=soft)
    notes = _notes(questions, album, worded, evidence(fitted, questions, album.frames, test), labelled)
    return fitted, (_first_note(model, questions, int(fitting.sum()), int(held.sum())), *notes)


def evidence(
    model: GenerativeModel, questions: Sequence[Question], frames: NDArray[np.uint8], wanted: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Evidence [N, K] by the one-pass graph in float32, before it is exported; zero for frames that are not wanted."""
    import torch  # noqa: PLC0415 - heavy

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


def _first_note(model: GenerativeModel, questions: Sequence[Question], images: int, held: int) -> str:
    from exporters.onepass.layout import split  # noqa: PLC0415 - beside its use

    bare = len(split(model.family.bare(model.checkpoint).sequences).prefix)
    lengths = [len(sequence) - bare for sequence in model.family.compile(model.checkpoint, questions).sequences]
    return (
        f"One-token questions: one token a fault, fitted on {images} images ({held} of them choose the step), everything else frozen. "
        f"The {len(lengths)} worded questions take {min(lengths)} to {max(lengths)} tokens each."
    )


def _notes(
    questions: Sequence[Question],
    album: Album,
    worded: NDArray[np.float32],
    short: NDArray[np.float32],
    labelled: NDArray[np.bool_],
) -> tuple[str, ...]:
    """One line a fault: AUROC against normal test images, in words and as one token."""
    test = album.part("test")
    found = []
    for k, question in enumerate(questions):
        areas = [
            auroc(scores[test & album.labels[:, k], k], scores[test & album.normal, k]) for scores in (worded, short)
        ]
        before, after = ("-" if area is None else f"{area:.3f}" for area in areas)
        how = "fitted on labels and on what the words say" if labelled[k] else "fitted on what the worded question says"
        found.append(f"{question.id}: AUROC on test images {before} in words, {after} as one token ({how}).")
    return tuple(found)
