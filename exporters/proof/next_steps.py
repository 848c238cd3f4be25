"""States in numbers what a site should add next: normal pictures to arm a fault, fault pictures to judge it, test pictures to show its bound; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from edge.manifest import FaultSpec
from exporters.proof.calibrate import calibrating_share, images_needed
from exporters.proof.shares import ENOUGH, Share, pictures_to_show
from exporters.recipe import UNNAMED, Recipe


def next_steps(recipe: Recipe, faults: Sequence[FaultSpec], test_normal: int) -> tuple[str, ...]:
    """One sentence for each thing to add, the most pressing first; none: every fault is armed and judged.

    Args:
        recipe: what was asked for.
        faults: as they were armed and measured.
        test_normal: normal pictures of part ``test``.
    """
    bound = recipe.tolerance.false_alarm_bound
    if not 0 < bound < 1:
        return ()
    return (
        *_to_arm(recipe, faults, bound),
        *_to_judge(recipe, faults),
        *_broken(faults, bound, test_normal),
        *_to_show(recipe, faults, bound, test_normal),
    )


def _to_arm(recipe: Recipe, faults: Sequence[FaultSpec], bound: float) -> Iterable[str]:
    kind = "groups of normal pictures" if recipe.tolerance.by_group else "normal pictures of other parts"
    missing: dict[tuple[int, float], list[str]] = {}
    for fault in faults:
        share = 1.0 - recipe.images.test_share if fault.kind == UNNAMED else calibrating_share(recipe)
        lacking = images_needed(bound) - _calibrating(recipe, fault)
        if not fault.armed and lacking > 0:
            missing.setdefault((_ceiling(lacking, share), share), []).append(fault.id)
    for (count, share), ids in missing.items():
        yield f"Add {count} {kind} to arm {', '.join(ids)} at {bound:.1%} false alarms ({share:.0%} of them calibrate)."


def _calibrating(recipe: Recipe, fault: FaultSpec) -> int:
    """Normal pictures, or groups of them where the bound counts these, that set the fault's threshold."""
    evidence = fault.calibration
    if evidence is None:
        return 0
    if recipe.tolerance.by_group and evidence.normal is not None:
        return evidence.normal.independent
    return evidence.normal_images


def _to_judge(recipe: Recipe, faults: Sequence[FaultSpec]) -> Iterable[str]:
    share = recipe.images.test_share
    few = {
        fault.id: 0 if fault.calibration is None else fault.calibration.fault_images
        for fault in faults
        if fault.kind != UNNAMED
    }
    lacking = {name: ENOUGH - count for name, count in few.items() if count < ENOUGH}
    if lacking and share == 0:
        yield "Set images.test_share, 0.3 is usual: no picture measures detection now."
    elif lacking:
        numbers = ", ".join(f"{_ceiling(count, share)} of {name}" for name, count in lacking.items())
        yield f"Add pictures of faults, of other parts: {numbers}. Then {ENOUGH} test pictures each measure detection."


def _broken(faults: Sequence[FaultSpec], bound: float, test_normal: int) -> Iterable[str]:
    for fault in faults:
        share = Share.of(None if fault.calibration is None else fault.calibration.false_alarm_measured, test_normal)
        if fault.armed and share is not None and share.interval[0] > bound:
            yield (
                f"{fault.id} flags {share} normal test pictures, surely more than the {bound:.1%} allowed: the pictures that calibrate are unlike those. "
                "Add normal pictures of more days and parts, and set tolerance.by_group where several show one part."
            )


def _to_show(recipe: Recipe, faults: Sequence[FaultSpec], bound: float, test_normal: int) -> Iterable[str]:
    share, wanted = recipe.images.test_share, pictures_to_show(bound)
    if any(fault.armed for fault in faults) and share > 0 and test_normal < wanted:
        yield (
            f"Add {_ceiling(wanted - test_normal, share)} normal pictures of other parts to show the bound itself: {wanted} test pictures without a "
            f"false alarm exclude more than {bound:.1%}."
        )


def _ceiling(count: int, share: float) -> int:
    """Pictures of which the share is so many; the slack undoes the rounding of the share."""
    return math.ceil(count / share - 1e-9)
