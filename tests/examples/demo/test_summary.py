"""Tests of the closing summary: every check can fail, and the exit status follows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edge.frame import Verdict
from edge.health.ledger import Health
from edge.wire.heartbeat import Heartbeat
from examples.demo.story import CAMERA, CHANNELS, Criteria, line_settings
from examples.demo.summary import Summary, summarise
from examples.demo.watch import Watch
from examples.line.line import Line
from tests.examples.demo.test_view import PREFIX, flag

FRAMES = 150
CRITERIA = Criteria(detection_least=0.9, false_most_per_minute=0.0, grace_s=0.2)


def heartbeat(received: int, verdicts: int, replaced: int) -> Heartbeat:
    """A ledger with these counters."""
    camera = Health({CAMERA: 40_000_000}, [], 0).cameras(1)[CAMERA]
    counted = camera.model_copy(update={"received": received, "verdicts": verdicts, "dropped": {"replaced": replaced}})
    parts: dict[str, Any] = {"cameras": {CAMERA: counted}, "sensors": {}, "realtime": "fifo:10"}
    return Heartbeat.model_construct(**parts)


def run(*, wrong: str | None = None, number_gap: int = 0) -> Watch:
    """A run of six seconds in which every channel says just what is true; `wrong` says fault once on the first, good part."""
    watch = Watch(Line(line_settings(CHANNELS, seed=2, fps=25), FRAMES), CHANNELS, PREFIX)
    number = 0
    for index in range(FRAMES):
        watch.on_plant_line(
            json.dumps({"event": "frame", "index": index, "ns": (index + 1) * 40_000_000, "bytes": 9, "readings": {}})
        )
        for plan in CHANNELS:
            faulty = bool(watch.line.active(index) & plan.truth) or (plan.id == wrong and index == 1)
            number += 1 + (number_gap if index == 70 else 0)
            watch.arrived(
                flag(plan.id, Verdict.FAULT if faulty else Verdict.OK, 0.9 if faulty else 0.1, index + 1, number)
            )
    watch.heartbeat = heartbeat(FRAMES, FRAMES - 2, 2)
    return watch


def summary(
    watch: Watch, *, acknowledged: bool | None = True, daemon_status: int | None = 0, problem: str | None = None
) -> Summary:
    """The summary of a run that went well but for what is said."""
    return summarise(watch, CRITERIA, acknowledged=acknowledged, daemon_status=daemon_status, problem=problem)


def test_a_good_run_worked() -> None:
    """All checks hold and the text says so, with the injected faults counted."""
    watch = run()
    found = summary(watch)
    assert found.worked, found.text()
    assert "It worked." in found.text()
    assert f"flagged {len(watch.line.injections)} of {len(watch.line.injections)}" in found.text()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lambda watch: setattr(watch, "heartbeat", heartbeat(FRAMES - 1, FRAMES - 3, 2)),
            "every frame is accounted for",
        ),
        (lambda watch: setattr(watch, "heartbeat", heartbeat(FRAMES, FRAMES - 3, 2)), "every frame is accounted for"),
        (lambda watch: setattr(watch, "heartbeat", None), "no heartbeat came"),
        (lambda watch: watch.samples.clear(), "flagged 0 of"),
    ],
    ids=["frame lost on the way", "frame lost inside", "no heartbeat", "nothing flagged"],
)
def test_what_goes_wrong_decides_the_exit_status(spoil: Callable[[Watch], None], told: str) -> None:
    """One check fails, says so, and the demo did not work."""
    watch = run()
    spoil(watch)
    found = summary(watch)
    assert not found.worked
    assert any(told in check.text for check in found.checks if not check.holds)


def test_a_lost_flag_fails() -> None:
    """A gap in the flags' numbers is a flag that SCADA never saw."""
    found = summary(run(number_gap=1))
    assert [check.text for check in found.checks if not check.holds] == [
        f"every flag arrived here: {FRAMES * len(CHANNELS)} came, {len(CHANNELS)} are missing"
    ]


def test_false_flags_fail_beyond_their_bound() -> None:
    """A flag on a good part is counted in its channel's row and against the bound."""
    found = summary(run(wrong="blocked_lens"))
    assert not found.worked
    (row,) = [line for line in found.lines if line.startswith("  blocked lens ")]
    assert row.split()[5:7] == ["1", "0"]


@pytest.mark.parametrize(
    "end",
    [
        {"acknowledged": None},
        {"acknowledged": False},
        {"daemon_status": 1},
        {"daemon_status": None},
        {"problem": "the plant ended with status 1"},
    ],
    ids=str,
)
def test_processes_and_operator_count(end: dict[str, Any]) -> None:
    """A process that died, a daemon that did not stop cleanly and an acknowledgement that was refused all fail the demo."""
    assert not summary(run(), **end).worked


def test_latency_over_the_budget_is_told_and_fails_nothing() -> None:
    """A busy machine is no defect: the figure stands in the summary, honestly, and the checks are about mechanism."""
    watch = run()
    for judged in watch.judged.values():
        judged.lat_ms = 90.0
    found = summary(watch)
    assert found.worked
    assert "over the budget" in found.text()


def test_a_run_that_never_started_has_a_summary_too() -> None:
    """Whatever broke, the reader gets the same text with the reason in it."""
    watch = Watch(Line(line_settings(CHANNELS, seed=2, fps=25), FRAMES), CHANNELS, PREFIX)
    found = summary(
        watch, acknowledged=None, daemon_status=None, problem="the broker ended with status 1: no such port"
    )
    assert "no such port" in found.text()
    assert not found.worked
