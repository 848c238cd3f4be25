"""Compares candidates with the float checkpoint, times them as the daemon runs them, and chooses the best, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExportError
from edge.manifest import Candidate, Execution, Latency, Parity

EXACT = 1e-4  # a float graph that differs by more from the checkpoint computes something else, one that differs by less does not
FLOAT_TOLERANCE = 0.01  # golden scores on other devices: other summation orders
INT8_TOLERANCE = 0.05  # likewise, with roundings that other instruction sets make differently


@dataclass(frozen=True, slots=True)
class Measured:
    """One way to run the graph, measured: what `choose` decides on."""

    execution: Execution
    size_bytes: int
    latency: Latency
    parity: Parity


def compare(
    reference: NDArray[np.float32],
    found: NDArray[np.float32],
    reference_limits: NDArray[np.float32],
    found_limits: NDArray[np.float32],
    flips_share: float,
) -> Parity:
    """How scores [N, K] differ from the reference's, each judged at its own thresholds [K].

    A verdict that turned although its distance to the threshold moved by no more than `EXACT` lay on the threshold: that is rounding, no flip.
    """
    if reference.shape != found.shape:
        raise ExportError(f"the graph gives scores {found.shape}, the checkpoint {reference.shape}.")
    difference = np.abs(reference - found)
    before, after = reference - reference_limits, found - found_limits
    flips = int((((before >= 0) != (after >= 0)) & (np.abs(after - before) > EXACT)).sum())
    return Parity(
        images=len(reference),
        mean_abs=float(difference.mean()),
        max_abs=float(difference.max()),
        flips=flips,
        verdicts=reference.size,
        flips_allowed=int(flips_share * reference.size),
    )


def check_exact(fault_ids: Sequence[str], reference: NDArray[np.float32], found: NDArray[np.float32]) -> None:
    """The float graph must be the checkpoint: a larger difference is a wrong graph, and no tolerance helps.

    Raises:
        ExportError: names the fault that differs most, and the fault it was swapped with if that is what happened.
    """
    largest = float(np.abs(reference - found).max())
    if largest <= EXACT:
        return
    worst = int(np.abs(reference - found).max(axis=0).argmax())
    swapped = [
        k for k in range(found.shape[1]) if k != worst and np.abs(reference[:, worst] - found[:, k]).max() <= EXACT
    ]
    hint = f"; its scores are those of {fault_ids[swapped[0]]!r}, so rows are swapped" if swapped else ""
    raise ExportError(
        f"the exported graph is not the checkpoint: scores differ by up to {largest:.2e} (allowed {EXACT:g}), most for fault "
        f"{fault_ids[worst]!r}{hint}. Nothing was written; please report the model's configuration."
    )


def choose(measured: Sequence[Measured]) -> list[Candidate]:
    """The fastest candidate that keeps its flips within tolerance is chosen; each gets its verdict in words with numbers.

    Raises:
        ExportError: none keeps the verdicts (float32 always does, unless it was left out).
    """
    keeping = [one for one in measured if one.parity.flips <= one.parity.flips_allowed]
    if not keeping:
        table = "; ".join(
            f"{_name(one, measured[0])}: {_flips(one)}, allowed {one.parity.flips_allowed}" for one in measured
        )
        tried = {one.execution.scheme for one in measured}
        advice = "" if "float32" in tried else "add float32 to quantization.schemes, or "
        raise ExportError(f"no candidate keeps the verdicts ({table}): {advice}raise tolerance.flips_share.")
    best = min(keeping, key=lambda one: one.latency.p50_ms)
    several = len({one.execution.provider for one in measured}) > 1
    return [
        Candidate(
            scheme=one.execution.scheme,
            provider=one.execution.provider if several else None,
            intra_op_threads=one.execution.intra_op_threads,
            size_bytes=one.size_bytes,
            latency=one.latency,
            parity=one.parity,
            chosen=one is best,
            verdict=_verdict(one, best, measured),
        )
        for one in measured
    ]


def _verdict(one: Measured, best: Measured, measured: Sequence[Measured]) -> str:
    mine, provider = one.latency.p50_ms, one.execution.provider
    floats = [other for other in measured if other.execution.scheme == "float32"]
    same = [other for other in floats if other.execution.provider == provider]
    float_p50 = min((other.latency.p50_ms for other in same), default=None)
    words = []
    if one.parity.flips > one.parity.flips_allowed:
        words.append(f"passed over: {_flips(one)}, allowed {one.parity.flips_allowed}")
    elif one is best:
        words.append(f"chosen: fastest that keeps the verdicts, p50 {mine:.2f} ms, {_flips(one)}")
    else:
        words.append(
            f"passed over: p50 {mine:.2f} ms against {best.latency.p50_ms:.2f} ms of {_name(best, one)}, {_flips(one)}"
        )
    if one.execution.scheme != "float32" and float_p50 is not None:
        if mine > float_p50:
            words.append(f"int8 is slower than float32 here: {mine:.2f} against {float_p50:.2f} ms")
        else:
            words.append(f"{float_p50 / mine:.2f}x as fast as the best float32")
    return "; ".join(words)


def _flips(one: Measured) -> str:
    return f"{one.parity.flips} of {one.parity.verdicts} verdicts flip"


def _name(one: Measured, beside: Measured | None = None) -> str:
    """Scheme and threads, and the provider where it is another one than that of ``beside``."""
    execution = one.execution
    threads, provider = execution.intra_op_threads, execution.provider.removesuffix("ExecutionProvider")
    other = beside is not None and beside.execution.provider != execution.provider
    return f"{execution.scheme} on {threads} thread{'s' if threads != 1 else ''}{f' by {provider}' if other else ''}"


def golden_tolerance(scheme: str) -> float:
    """Largest difference of a golden score that a device may show."""
    return FLOAT_TOLERANCE if scheme == "float32" else INT8_TOLERANCE


def pick_straddling(
    scores: NDArray[np.float32], thresholds: NDArray[np.float64], armed: NDArray[np.bool_], tolerance: float
) -> list[int]:
    """Indexes of pictures on either side of each armed threshold, as near to it as is sure on every device.

    A threshold that is moved past one of them changes a verdict, so it is noticed. A side that no picture is on has none.

    Args:
        scores: [N, K].
        thresholds: [K].
        armed: [K], whose thresholds matter.
        tolerance: how much a score may differ between devices.
    """
    taken: list[int] = []
    for k in np.flatnonzero(armed):
        margin = scores[:, k] - thresholds[k]
        for side in (margin, -margin):
            sure = np.flatnonzero(side > tolerance)
            if len(sure):
                taken.append(int(sure[side[sure].argmin()]))
    return list(dict.fromkeys(taken))


def pick_golden(
    scores: NDArray[np.float32], labels: NDArray[np.bool_], count: int, first: Sequence[int] = ()
) -> list[int]:
    """Indexes of pictures whose scores differ most: a wrong graph must not pass by giving everything the same score.

    Starts with those that are wanted `first`, else at the picture nearest the mean, then takes the one farthest from all taken, so the choice
    is spread and deterministic; pictures with faults and without alternate while there are both.
    """
    taken = list(first) or [int(np.abs(scores - scores.mean(axis=0)).sum(axis=1).argmin())]
    faulty: NDArray[np.bool_] = np.asarray(labels.any(axis=1), np.bool_)
    while len(taken) < min(count, len(scores)):
        distance = np.min([np.abs(scores - scores[index]).sum(axis=1) for index in taken], axis=0)
        distance[taken] = -1.0
        other = np.asarray(faulty != faulty[taken[-1]], np.bool_)
        other[taken] = False
        pool = np.flatnonzero(other) if other.any() else np.arange(len(scores))
        taken.append(int(pool[distance[pool].argmax()]))
    return taken


def indistinct(golden: NDArray[np.float32], tolerance: float) -> list[tuple[int, int]]:
    """Pairs of faults that the golden inputs cannot tell apart: swapping them would stay within tolerance. Proves the check can fail."""
    count = golden.shape[1]
    return [
        (left, right)
        for left in range(count)
        for right in range(left + 1, count)
        if np.abs(golden[:, left] - golden[:, right]).max() <= tolerance
    ]
