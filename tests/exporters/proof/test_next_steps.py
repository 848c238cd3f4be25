"""What to add is said in numbers that are enough, and not where nothing is missing."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from edge.manifest import FaultSpec
from exporters.pictures.grouping import Part, split
from exporters.proof.calibrate import limit_for
from exporters.proof.next_steps import next_steps
from exporters.recipe import Recipe


def recipe(*, bound: float = 0.02, by_group: bool = False, **images: float) -> Recipe:
    """A recipe for one fault with a fitted head."""
    return Recipe.model_validate(
        {
            "name": "line", "checkpoint": "c", "head": {"kind": "fitted"},
            "images": {"normal": ["n"], **images},
            "faults": [{"id": "crack", "title": "crack", "words": ["a crack"], "images": ["f"]}],
            "tolerance": {"false_alarm_bound": bound, "by_group": by_group},
        }
    )  # fmt: skip


def fault(
    normal: int, faulty: int, *, test_normal: int = 40, flagged: int = 0, views: int = 1, **said: Any
) -> FaultSpec:
    """A fault as so many calibrating pictures, of ``views`` a group, and so many test pictures make it."""
    asked = recipe(**said)
    limit = limit_for(
        calibrate_normal=np.linspace(0.0, 0.2, normal).astype(np.float32),
        test_normal=np.where(np.arange(test_normal) < flagged, 1.0, 0.1).astype(np.float32),
        test_fault=np.full(faulty, 0.9, np.float32),
        bound=asked.tolerance.false_alarm_bound,
        noise=0.0,
        wanted=None,
        groups=[str(index // views) for index in range(normal)],
        by_group=asked.tolerance.by_group,
        images_sha256="0" * 64,
    )
    return FaultSpec(
        id="crack", title="crack", words=("a crack",), threshold=limit.threshold, release=limit.release,
        calibration=limit.calibration, armed=limit.armed,
    )  # fmt: skip


def added(step: str) -> int:
    """The number that a sentence asks for."""
    found = re.search(r"Add (?:pictures of faults, of other parts: )?(\d+)", step)
    assert found is not None, step
    return int(found[1])


@pytest.mark.parametrize("have", [0, 10, 48])
def test_so_many_more_normal_pictures_arm_the_fault(have: int) -> None:
    """With the pictures that are asked for, shared out by the recipe's own shares, the fault is armed."""
    asked = recipe()
    step = next_steps(asked, [fault(have, 30)], 40)[0]
    assert "to arm crack at 2.0% false alarms (20% of them calibrate)" in step
    names = [f"new-{index}" for index in range(added(step))]
    shares: dict[Part, float] = {"fit": 0.5, "calibrate": 0.2, "test": 0.3}
    parts = split(names, [["normal"]] * len(names), shares)
    assert fault(have + parts.count("calibrate"), 30).armed
    assert not fault(have, 30).armed


def test_groups_are_asked_for_where_groups_count() -> None:
    """Sixty pictures of six parts lack 43 parts of 49."""
    said = {"by_group": True}
    step = next_steps(recipe(**said), [fault(60, 30, views=10, **said)], 40)[0]
    assert step.startswith("Add 215 groups of normal pictures to arm crack")  # 43 of them calibrate, a fifth of all


def test_a_fault_with_few_test_pictures_has_its_number() -> None:
    """Five of twenty test pictures lack fifteen, and three of ten new pictures test."""
    steps = next_steps(recipe(), [fault(60, 5)], 400)
    assert len(steps) == 1
    assert added(steps[0]) == 50


def test_a_bound_that_the_test_pictures_break_is_said() -> None:
    """Ten of forty flagged is no chance at 2 %; one of forty is."""
    steps = next_steps(recipe(), [fault(60, 30, flagged=10)], 40)
    assert any(
        step.startswith("crack flags 25.0% of 40") and "surely more than the 2.0% allowed" in step for step in steps
    )
    assert not any("flags" in step for step in next_steps(recipe(), [fault(60, 30, flagged=1)], 40))


def test_pictures_that_show_the_bound_are_counted() -> None:
    """183 quiet test pictures exclude more than 2 %: 143 beside forty, at three tests of ten pictures."""
    (step,) = next_steps(recipe(), [fault(60, 30)], 40)
    assert added(step) == 477
    assert "183 test pictures without a false alarm exclude more than 2.0%" in step


def test_nothing_is_asked_for_where_nothing_is_missing() -> None:
    """Armed, judged on twenty pictures, and shown on enough normal ones."""
    assert next_steps(recipe(), [fault(60, 20, test_normal=200)], 200) == ()
    assert next_steps(recipe(bound=0.0), [fault(60, 0)], 0) == ()


def test_without_a_test_part_it_is_asked_for() -> None:
    """No number of pictures helps while none of them tests."""
    (step,) = next_steps(recipe(test_share=0.0), [fault(60, 0)], 0)
    assert step.startswith("Set images.test_share")
