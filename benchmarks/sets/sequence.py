"""Positions over time: every step's frame goes through the daemon window by window, and an alarm is two flagged steps in a row."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.sets.layout import QUALITY, Step, frame, windows
from benchmarks.sets.replay import replay
from edge.bundle import open_bundle

ANNOTATED = "pitting"
CONTROL = "unannotated_sequence"


def play(bundle: Path, shown: Sequence[Step], fps: float) -> dict[str, list[float | None]]:
    """The highest score of each step's windows by position, in order of time; None: no window was judged."""
    encoded, owner = [], []
    for place, step in enumerate(shown):
        for window in windows(frame(step.file)):
            stream = io.BytesIO()
            window.save(stream, "JPEG", quality=QUALITY)
            encoded.append(stream.getvalue())
            owner.append(place)
    (fault, *_) = open_bundle(bundle).manifest.faults
    highest: list[float | None] = [None] * len(shown)
    for place, one in zip(owner, replay(bundle, encoded, fps).judged, strict=True):
        if one is not None:
            highest[place] = max(one.scores[fault.id], highest[place] or 0.0)
    found: dict[str, list[float | None]] = {}
    for step, score in zip(shown, highest, strict=True):
        found.setdefault(step.sequence, []).append(score)
    return found


def first_alarm(scores: Sequence[float | None], threshold: float) -> int | None:
    """The second of the first two steps in a row that are flagged, as an index; None: no alarm. A step without a score flags nothing."""
    flagged = [score is not None and score >= threshold for score in scores]
    return next((index + 1 for index, (a, b) in enumerate(pairwise(flagged)) if a and b), None)


def rows(
    shown: Sequence[Step], scores: Mapping[str, Sequence[float | None]], threshold: float
) -> list[dict[str, object]]:
    """A row a position: when it was annotated, when the alarm came, and what was flagged while it was normal."""
    made: list[dict[str, object]] = []
    for name, said in scores.items():
        own = [step for step in shown if step.sequence == name]
        annotated = next((place for place, step in enumerate(own) if step.label == ANNOTATED), None)
        alarm = first_alarm(said, threshold)
        normal = [score for step, score in zip(own, said, strict=True) if step.label == "normal"]
        control = any(step.label == CONTROL for step in own)
        made.append(
            {
                "position": f"{name}{' (control)' if control else ''}",
                "steps": len(own),
                "annotated at": "-" if annotated is None else annotated,
                "alarm at": "-" if alarm is None else alarm,
                "delay, steps": "-"
                if annotated is None
                else len(own) - annotated
                if alarm is None
                else alarm - annotated,
                "control alarms": int(alarm is not None) if control else "-",
                "normal steps flagged": f"{sum(score is not None and score >= threshold for score in normal)} of {len(normal)}",
            }
        )
    return made
