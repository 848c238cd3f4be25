"""Alarms over time: two flagged steps in a row, counted from the first annotation."""

from __future__ import annotations

from pathlib import Path

from benchmarks.sets.layout import Step
from benchmarks.sets.sequence import first_alarm, rows


def _position(name: str, labels: str) -> list[Step]:
    kinds = {"n": "normal", "p": "pitting", "u": "unannotated_sequence"}
    return [Step(name, index, Path("f.jpg"), kinds[letter]) for index, letter in enumerate(labels)]


def test_one_flagged_step_is_no_alarm() -> None:
    """The second of two in a row raises it; a step that was not judged breaks the row."""
    assert first_alarm([0.9, 0.1, 0.9, 0.9], 0.5) == 3
    assert first_alarm([0.9, None, 0.9], 0.5) is None
    assert first_alarm([], 0.5) is None


def test_delay_counts_from_the_annotation_and_a_control_has_none() -> None:
    """An early alarm has a negative delay; a fault without an alarm is as late as the steps that are left."""
    shown = [*_position("a", "nnppp"), *_position("b", "nnpp"), *_position("c", "uuu")]
    scores = {"a": [0.1, 0.9, 0.1, 0.9, 0.9], "b": [0.1] * 4, "c": [0.1, 0.9, 0.9]}
    first, second, control = rows(shown, scores, 0.5)
    assert (first["alarm at"], first["delay, steps"], first["normal steps flagged"]) == (4, 2, "1 of 2")
    assert (second["alarm at"], second["delay, steps"]) == ("-", 2)
    assert (control["position"], control["control alarms"]) == ("c (control)", 1)
