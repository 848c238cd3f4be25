"""Compares one pass with the checkpoint asked question by question: logits compared, verdicts counted; pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExportError

EXACT = 1e-4  # largest logit difference of a float graph; logits are of the order of 1 to 10


@dataclass(frozen=True, slots=True)
class Difference:
    """How logits [N, Q, 2] differ from the reference's.

    Attributes:
        max_abs, mean_abs: of a logit.
        flips: verdicts (yes above no) that differ.
        verdicts: pictures times questions.
        spread: standard deviation of the reference's margin over pictures, smallest of all questions; near 0 the comparison proves little.
    """

    max_abs: float
    mean_abs: float
    flips: int
    verdicts: int
    spread: float


def compare(logits: NDArray[np.float32], reference: NDArray[np.float32]) -> Difference:
    """The difference, in numbers. Raises ExportError when the shapes differ."""
    if logits.shape != reference.shape:
        raise ExportError(f"the graph gives logits {logits.shape}, the checkpoint {reference.shape}.")
    margin, wanted = logits[..., 0] - logits[..., 1], reference[..., 0] - reference[..., 1]
    apart = np.abs(logits.astype(np.float64) - reference)
    return Difference(
        max_abs=float(apart.max()),
        mean_abs=float(apart.mean()),
        flips=int(((margin > 0) != (wanted > 0)).sum()),
        verdicts=wanted.size,
        spread=float(wanted.std(axis=0).min()),
    )


def require_exact(
    logits: NDArray[np.float32], reference: NDArray[np.float32], *, tolerance: float = EXACT
) -> Difference:
    """Like `compare`, for a float graph, which must be the checkpoint.

    Raises:
        ExportError: names the question that differs most, and the one it was swapped with if that is what happened.
    """
    found = compare(logits, reference)
    if found.max_abs <= tolerance and found.flips == 0:
        return found
    worst = int(np.abs(logits - reference).max(axis=(0, 2)).argmax())
    swapped = [
        q
        for q in range(reference.shape[1])
        if q != worst and np.abs(logits[:, worst] - reference[:, q]).max() <= tolerance
    ]
    hint = f"; its logits are those of question {swapped[0]}, so questions are swapped" if swapped else ""
    raise ExportError(
        f"the one-pass graph is not the checkpoint: logits differ by up to {found.max_abs:.2e} (allowed {tolerance:g}), "
        f"{found.flips} of {found.verdicts} verdicts flip, most for question {worst}{hint}."
    )
