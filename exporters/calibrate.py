"""Scores of the site's own images become thresholds whose false-alarm bound holds - or a refusal to arm.

The bound is the conformal one: with n exchangeable normal scores and the k-th smallest as limit, k = ceil((n + 1)(1 - bound)), a new normal
frame exceeds it with probability at most ``bound``. That needs n >= 1 / bound - 1 images; with fewer no threshold can promise it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Calibration
from exporters.images import Album
from exporters.recipe import Recipe

TEXT_THRESHOLD = 0.5  # words against normal words at even odds, where no site image says better
MEDIAN_NORMAL_SCORE = 0.1  # the scale puts the typical normal frame here and the bound's limit at 0.5
LEAST_HYSTERESIS = 0.02
NOISE_SHARE = 90.0  # percentile of the score's change under unchanged content


@dataclass(frozen=True, slots=True)
class Limit:
    """One fault's threshold and what supports it; ``reason`` says why it may not raise alarms, or is None."""

    threshold: float
    release: float
    calibration: Calibration | None
    reason: str | None

    @property
    def armed(self) -> bool:
        """Whether the fault may raise alarms."""
        return self.reason is None


def images_needed(bound: float) -> int:
    """Normal images without which no threshold keeps the bound."""
    return math.ceil(1.0 / bound - 1.0) if bound > 0 else 2**31


def conformal_threshold(normal: NDArray[np.float32], bound: float) -> float | None:
    """The smallest threshold that new normal scores reach with probability at most ``bound``; None: too few images.

    A verdict is ``score >= threshold``, so it stands one float above the limit score.
    """
    rank = math.ceil((len(normal) + 1) * (1.0 - bound) - 1e-9)  # the slack undoes the rounding of 1 - bound
    if rank > len(normal):
        return None
    limit = np.sort(normal.astype(np.float32))[rank - 1]
    above = float(np.nextafter(limit, np.float32(2.0)))
    return above if above <= 1.0 else None


def fit_scale(evidence: NDArray[np.float32], bound: float) -> tuple[float, float]:
    """Gain and bias that put the median normal frame at score 0.1 and the bound's limit at 0.5.

    So scores of different faults compare, quantization noise is measured against the spread of normal frames, and nothing saturates.

    Args:
        evidence: normal images' evidence for one fault, float32 [n].
        bound: share of normal frames that may be flagged.
    """
    middle = float(np.median(evidence))
    limit = conformal_limit(evidence, bound)
    spread = max(limit - middle, 1e-6, 1e-3 * abs(middle))
    gain = math.log((1.0 - MEDIAN_NORMAL_SCORE) / MEDIAN_NORMAL_SCORE) / spread
    return gain, -gain * limit


def conformal_limit(evidence: NDArray[np.float32], bound: float) -> float:
    """The evidence at the bound's rank, or the largest seen when there are too few images for it."""
    rank = min(math.ceil((len(evidence) + 1) * (1.0 - bound) - 1e-9), len(evidence))
    return float(np.sort(evidence)[rank - 1])


def auroc(fault: NDArray[np.float32], normal: NDArray[np.float32]) -> float | None:
    """Probability that a faulty image scores above a normal one (ties count half); None without both kinds."""
    if len(fault) == 0 or len(normal) == 0:
        return None
    ordered = np.sort(normal)
    below = np.searchsorted(ordered, fault, side="left").mean()
    tied = np.searchsorted(ordered, fault, side="right").mean() - below
    return float((below + tied / 2) / len(normal))


def release_below(threshold: float, noise: float) -> float:
    """Where a verdict turns back: below the threshold by the score's own noise, so that one picture never chatters."""
    return max(0.0, min(threshold - max(LEAST_HYSTERESIS, noise), threshold))


def score_noise(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """How much a score moves when its content does not: a high percentile of differences of one fault's scores [n]."""
    return float(np.percentile(np.abs(first - second), NOISE_SHARE)) if len(first) else 0.0


def limit_for(
    *,
    calibrate_normal: NDArray[np.float32],
    test_normal: NDArray[np.float32],
    test_fault: NDArray[np.float32],
    bound: float,
    noise: float,
    wanted: float | None,
    groups: int,
    images_sha256: str,
) -> Limit:
    """Threshold, release and evidence of one fault.

    Args:
        calibrate_normal: scores of normal images that choose the threshold.
        test_normal: scores of normal images that do not.
        test_fault: scores of images with the fault that were neither fitted nor calibrated on.
        bound: share of normal frames that may be flagged.
        noise: the score's own noise.
        wanted: threshold that the recipe demands, or None.
        groups: how many groups the calibrating images come from.
        images_sha256: over all images.
    """
    if len(calibrate_normal) == 0:
        threshold = TEXT_THRESHOLD if wanted is None else wanted
        bare = "no site images: the threshold comes from the words alone. Add images.normal to the recipe."
        return Limit(threshold, release_below(threshold, noise), None, bare)
    found = conformal_threshold(calibrate_normal, bound)
    reason: str | None = None
    if found is None:
        reason = (
            f"{len(calibrate_normal)} normal images cannot hold a false-alarm bound of {bound:g}: at least {images_needed(bound)} "
            "are needed to calibrate. Add normal images or raise tolerance.false_alarm_bound."
        )
    threshold = wanted if wanted is not None else (TEXT_THRESHOLD if found is None else found)
    if wanted is not None and found is not None and wanted < found:
        reason = f"the recipe's threshold {wanted:g} breaks the false-alarm bound {bound:g}: {found:.3f} would hold it."
    evidence = Calibration(
        method=f"conformal quantile of normal images, {groups} groups" if wanted is None else "set by the recipe",
        normal_images=len(calibrate_normal),
        fault_images=len(test_fault),
        false_alarm_bound=bound,
        false_alarm_measured=float((test_normal >= threshold).mean()) if len(test_normal) else None,
        detection_measured=float((test_fault >= threshold).mean()) if len(test_fault) else None,
        auroc=auroc(test_fault, test_normal),
        images_sha256=images_sha256,
    )
    return Limit(threshold, release_below(threshold, noise), evidence, reason)


def calibrating(recipe: Recipe, album: Album) -> NDArray[np.bool_]:
    """Normal images that set scale and threshold, bool [N]: with words nothing is fitted, so those put aside for fitting serve too."""
    parts = album.part("calibrate") if recipe.fits else album.part("calibrate", "fit")
    return np.logical_and(parts, album.normal)


def thresholds(recipe: Recipe, album: Album, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each fault's threshold [K] from scores [N, K] of the album."""
    return np.array([limit.threshold for limit in site_limits(recipe, album, scores, None)], np.float32)


def site_limits(
    recipe: Recipe, album: Album, scores: NDArray[np.float32], noise: NDArray[np.float32] | None
) -> list[Limit]:
    """Each fault's limit from scores [N, K] of the album and the scores' own noise [K]."""
    chosen, test = calibrating(recipe, album), album.part("test")
    groups = len({group for group, used in zip(album.groups, chosen, strict=True) if used})
    return [
        limit_for(
            calibrate_normal=scores[chosen, k],
            test_normal=scores[test & album.normal, k],
            test_fault=scores[test & album.labels[:, k], k],
            bound=recipe.tolerance.false_alarm_bound,
            noise=0.0 if noise is None else float(noise[k]),
            wanted=fault.threshold,
            groups=groups,
            images_sha256=album.sha256,
        )
        for k, fault in enumerate(recipe.faults)
    ]
