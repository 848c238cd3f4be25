"""Calibrates thresholds with a bounded false-alarm rate on the site's own images, or leaves the fault unarmed.

The bound is the conformal one: with n exchangeable normal scores and the k-th smallest as limit, k = ceil((n + 1)(1 - bound)), a new normal
frame exceeds it with probability at most ``bound``. That needs n >= 1 / bound - 1 images; with fewer no threshold can promise it.

Views of one part are not exchangeable with those of the next part. Where the recipe asks for it the bound counts groups instead: G groups weigh the
same, and a frame of a *new group* exceeds the limit with probability at most ``bound`` when the mean share of a group above it is at most
((G + 1) bound - 1) / G. With one picture a group both are the same rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.manifest import MAX_NORMAL_SCORES, Calibration, NormalScores
from exporters.pictures.images import Dataset
from exporters.recipe import UNNAMED, Recipe

TEXT_THRESHOLD = 0.5  # words against normal words at even odds, where there are no site images
MEDIAN_NORMAL_SCORE = 0.1  # the scale puts the typical normal frame here and the bound's limit at 0.5
LEAST_HYSTERESIS = 0.02
STEEPEST = 40.0  # gain; evidence whose last float digits differ by 1e-5 moves a score by 1e-4 then, the most that a right graph may
NOISE_SHARE = 90.0  # percentile of the score's change under unchanged content


@dataclass(frozen=True, slots=True)
class Limit:
    """One fault's threshold and what supports it; ``reason`` is why it may not raise alarms, or None."""

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


def conformal_threshold(normal: NDArray[np.float32], bound: float, groups: Sequence[str] | None = None) -> float | None:
    """The smallest threshold that new normal scores reach with probability at most ``bound``; None: too few images.

    A verdict is ``score >= threshold``, so it is one float above the limit score.

    Args:
        normal: scores of normal images [n].
        bound: that probability.
        groups: the group of each image, if the bound is to hold for a new group's frames; None: every image counts by itself.
    """
    limit = _limit_score(normal.astype(np.float32), bound, groups)
    if limit is None:
        return None
    above = float(np.nextafter(np.float32(limit), np.float32(2.0)))
    return above if above <= 1.0 else None


def _limit_score(scores: NDArray[np.float32], bound: float, groups: Sequence[str] | None) -> float | None:
    """The smallest of the scores above which the groups' mean share is small enough; None: there are too few groups."""
    names = np.arange(len(scores)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes = np.bincount(names) if len(names) else np.zeros(0, np.int64)
    count = len(sizes)
    allowed = (count + 1) * bound - 1.0 + 1e-9  # in groups; the slack undoes the rounding of the bound
    if allowed < 0:
        return None
    order = np.argsort(-scores, kind="stable")
    above = np.cumsum(1.0 / sizes[names[order]])  # of the scores down to this one
    reached = int(np.searchsorted(above, allowed, side="right"))  # so many of the highest may lie above the limit
    return float(scores[order[min(reached, len(scores) - 1)]])


def fit_scale(evidence: NDArray[np.float32], bound: float, groups: Sequence[str] | None = None) -> tuple[float, float]:
    """Gain and bias that put the median normal frame at score 0.1 and the bound's limit at 0.5.

    So scores of different faults compare, quantization noise is measured against the spread of normal frames, and nothing saturates.

    Args:
        evidence: normal images' evidence for one fault, float32 [n].
        bound: share of normal frames that may be flagged.
        groups: as for `conformal_threshold`.
    """
    middle = float(np.median(evidence))
    limit = conformal_limit(evidence, bound, groups)
    odds = math.log((1.0 - MEDIAN_NORMAL_SCORE) / MEDIAN_NORMAL_SCORE)
    # One picture, or one picture many times, has no spread: rounding must not be stretched into a score.
    gain = odds / max(limit - middle, odds / STEEPEST, 1e-3 * abs(middle))
    return gain, -gain * limit


def conformal_limit(evidence: NDArray[np.float32], bound: float, groups: Sequence[str] | None = None) -> float:
    """The evidence at the bound's limit, or the largest seen when there are too few images for it."""
    limit = _limit_score(evidence, bound, groups)
    return float(evidence.max()) if limit is None else limit


def auroc(fault: NDArray[np.float32], normal: NDArray[np.float32]) -> float | None:
    """Probability that a faulty image scores above a normal one (ties count half); None without both kinds."""
    if len(fault) == 0 or len(normal) == 0:
        return None
    ordered = np.sort(normal)
    below = np.searchsorted(ordered, fault, side="left").mean()
    tied = np.searchsorted(ordered, fault, side="right").mean() - below
    return float((below + tied / 2) / len(normal))


def release_below(threshold: float, noise: float) -> float:
    """Where a verdict turns back: below the threshold by the score's own noise, so that one picture never chatters.

    Never below half the threshold: a score is at least 0, so a flag that turns back at 0 would never clear.
    """
    return max(threshold / 2, threshold - max(LEAST_HYSTERESIS, noise))


def unbounded_threshold(normal: NDArray[np.float32]) -> float:
    """Where no threshold keeps the bound: halfway between the largest normal score and 1, so that no rounding decides that picture's verdict."""
    return (1.0 + max(float(normal.max()), 0.0)) / 2


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
    groups: Sequence[str],
    by_group: bool,
    images_sha256: str,
    folds: int = 1,
) -> Limit:
    """Threshold, release and evidence of one fault.

    Args:
        calibrate_normal: scores of normal images that choose the threshold.
        test_normal: scores of normal images that do not.
        test_fault: scores of images with the fault that were neither fitted nor calibrated on.
        bound: share of normal frames that may be flagged.
        noise: the score's own noise.
        wanted: threshold that the recipe demands, or None.
        groups: the group of each calibrating image.
        by_group: whether the bound counts groups instead of images.
        images_sha256: over all images.
        folds: members of the head, of which each image was scored by the one that never saw it; 1: it has no members.
    """
    if len(calibrate_normal) == 0:
        threshold = TEXT_THRESHOLD if wanted is None else wanted
        bare = "no site images are normal: nothing bounds its false alarms. Add images.normal to the recipe."
        return Limit(threshold, release_below(threshold, noise), None, bare)
    count = len(set(groups))
    found = conformal_threshold(calibrate_normal, bound, groups if by_group else None)
    reason: str | None = None
    if found is None:
        reason = (
            f"{count if by_group else len(calibrate_normal)} {'groups of ' if by_group else ''}normal images cannot hold a false-alarm bound of {bound:g}: at least {images_needed(bound)} "
            "are needed to calibrate. Add normal images or raise tolerance.false_alarm_bound."
        )
    threshold = wanted if wanted is not None else (unbounded_threshold(calibrate_normal) if found is None else found)
    release = release_below(threshold, noise)
    usual = float(np.median(calibrate_normal))
    if reason is None and usual >= release:
        reason = (
            f"an ordinary normal picture scores {usual:.3f} and a flag clears only below {release:.3f}, so it would stay for good: "
            "its scores lie too close together. Use other words, or add fault pictures and head.kind = 'fitted'."
        )
    if wanted is not None and found is not None and wanted < found:
        reason = f"the recipe's threshold {wanted:g} breaks the false-alarm bound {bound:g}: {found:.3f} would hold it."
    evidence = Calibration(
        method=_method(count, by_group=by_group, folds=folds) if wanted is None else "set by the recipe",
        normal_images=len(calibrate_normal),
        fault_images=len(test_fault),
        false_alarm_bound=bound,
        false_alarm_measured=float((test_normal >= threshold).mean()) if len(test_normal) else None,
        detection_measured=float((test_fault >= threshold).mean()) if len(test_fault) else None,
        auroc=auroc(test_fault, test_normal),
        images_sha256=images_sha256,
        normal=normal_scores(calibrate_normal, count),
    )
    return Limit(threshold, release, evidence, reason)


def normal_scores(scores: NDArray[np.float32], groups: int) -> NormalScores:
    """Scores of normal images as the device compares its own with them: all, or as many quantiles as a bundle carries."""
    ordered = np.sort(np.clip(scores.astype(np.float64), 0.0, 1.0))
    if len(ordered) > MAX_NORMAL_SCORES:
        shares = (np.arange(MAX_NORMAL_SCORES) + 0.5) / MAX_NORMAL_SCORES
        ordered = np.quantile(ordered, shares, method="inverted_cdf")
    return NormalScores(scores=tuple(round(float(score), 6) for score in ordered), independent=groups)


def _method(groups: int, *, by_group: bool, folds: int) -> str:
    judged = f", each scored by the one of {folds} members that never saw its group" if folds > 1 else ""
    return f"conformal quantile {'over groups ' if by_group else ''}of normal images, {groups} groups{judged}"


def calibrating(recipe: Recipe, dataset: Dataset, channel: str | None = None) -> NDArray[np.bool_]:
    """Normal images that set a channel's scale and threshold, bool [N]; ``channel``: its id, None for the named faults.

    With words nothing is fitted, so those put aside for fitting serve too; and the unnamed channel judges each of them out of fold.
    """
    own = recipe.fits and channel != UNNAMED
    parts = dataset.part("calibrate") if own else dataset.part("calibrate", "fit")
    return np.logical_and(parts, dataset.normal)


def calibrating_share(recipe: Recipe) -> float:
    """The share of the normal images that `calibrating` picks, about: groups stay whole."""
    images = recipe.images
    return 1.0 - images.test_share - (images.fit_share if recipe.fits else 0.0)


def unseen(whole: NDArray[np.float32], members: NDArray[np.float32], folds: Sequence[int]) -> NDArray[np.float32]:
    """Scores out of fold [N, K]: of its fold's member where a picture has one, of the whole head elsewhere.

    Args:
        whole: by the whole head [N, K].
        members: by each member [N, F, K].
        folds: of each picture, -1 for those that no member was fitted on.
    """
    found, fold = whole.copy(), np.asarray(folds)
    rows = np.flatnonzero(fold >= 0)
    found[rows] = members[rows, fold[rows]]
    return found


def groups_of(dataset: Dataset, chosen: NDArray[np.bool_]) -> list[str]:
    """The groups of the chosen pictures, one by one."""
    return [group for group, used in zip(dataset.groups, chosen, strict=True) if used]


def thresholds(recipe: Recipe, dataset: Dataset, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each fault's threshold [K] from scores [N, K] of the dataset."""
    return np.array([limit.threshold for limit in site_limits(recipe, dataset, scores, None)], np.float32)


def site_limits(
    recipe: Recipe, dataset: Dataset, scores: NDArray[np.float32], noise: NDArray[np.float32] | None
) -> list[Limit]:
    """Each fault's limit from scores [N, K] of the dataset and the scores' own noise [K]."""
    test = dataset.part("test")
    chosen = [calibrating(recipe, dataset, fault.id) for fault in recipe.channels]
    return [
        limit_for(
            calibrate_normal=scores[chosen[k], k],
            test_normal=scores[test & dataset.normal, k],
            test_fault=scores[test & dataset.labels[:, k], k],
            bound=recipe.tolerance.false_alarm_bound,
            noise=0.0 if noise is None else float(noise[k]),
            wanted=fault.threshold,
            groups=groups_of(dataset, chosen[k]),
            by_group=recipe.tolerance.by_group,
            folds=recipe.head.folds if fault.id != UNNAMED else 1,
            images_sha256=dataset.sha256,
        )
        for k, fault in enumerate(recipe.channels)
    ]
