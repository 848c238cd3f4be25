"""What a reload may change, and how a new bundle is judged on its first frames; the reload itself is in tests/live/test_reload.py."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from edge.assembly import Proven, Stages
from edge.errors import ConfigError
from edge.health.ledger import Tally
from edge.plan import Plan
from edge.reload import TRIAL_NS, Reloader, Trial, refuse_fixed
from edge.site.settings import Site
from edge.succession import Record

FORMER = cast("tuple[Proven, Stages]", None)  # a trial only holds it
BEFORE = Tally(1000, 200, 3)


@pytest.mark.parametrize(
    ("in_time", "late", "failed", "verdict"),
    [
        (0, 0, 0, "running"),
        (49, 0, 2, "running"),
        (50, 0, 2, "passed"),
        (50, 49, 0, "passed"),
        (40, 0, 3, "failed"),
        (0, 9, 0, "running"),
        (0, 10, 0, "failed"),
        (10, 10, 0, "running"),
        (10, 11, 0, "failed"),
    ],
)
def test_a_trial_counts_frames_since_the_exchange(in_time: int, late: int, failed: int, verdict: str) -> None:
    """Fifty in time pass, three without scores or mostly late ones fail; what was before does not count."""
    trial = Trial(FORMER, BEFORE, 0)
    now = Tally(BEFORE.in_time + in_time, BEFORE.late + late, BEFORE.failed + failed)
    found, told = trial.judge(now, 1)
    assert found == verdict
    assert f"{in_time} frames in time, {late} late, {failed} without scores" in told


def test_a_trial_ends() -> None:
    """A camera that sends a frame an hour does not keep two bundles in memory."""
    assert Trial(FORMER, BEFORE, 0).judge(BEFORE, TRIAL_NS)[0] == "passed"


def test_a_reload_whose_thread_fails_early_is_answered_and_the_next_may_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything was read, and also when no thread can be started: the order is answered, nothing is wedged."""
    came = threading.Event()
    reloader = Reloader(lambda: site(), came.set, 0)  # noqa: PLW0108 - it is defined below
    plan = cast("Plan", None)
    with monkeypatch.context() as broken:
        broken.setattr("edge.reload.step_back", lambda: 1 // 0)
        assert reloader.ask(None, plan, Record()) is None
        assert came.wait(10)
    result = reloader.take()
    assert result is not None
    assert (result.proven, "ZeroDivisionError" in result.problem) == (None, True)
    with monkeypatch.context() as broken:
        broken.setattr(threading.Thread, "start", _no_more_threads)
        refusal = reloader.ask(None, plan, Record())
    assert refusal is not None
    assert "try again later" in refusal
    came.clear()
    assert reloader.ask(None, plan, Record()) is None
    assert came.wait(10)


def _no_more_threads(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def site(**changes: Any) -> Site:
    """A small site."""
    base: dict[str, Any] = {"bundle": Path("b"), "node": {"id": "n"}, "cameras": ({"id": "cam"},)}
    return Site.model_validate(base | changes)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"node": {"id": "m"}}, "node.id"),
        ({"node": {"id": "n", "state_dir": "/s"}}, "node.state_dir"),
        ({"broker": {"port": 1884}}, "broker"),
        ({"sparkplug": {"enabled": True, "group_id": "g"}}, "sparkplug"),
        ({"runtime": {"realtime_priority": 0}}, "runtime.realtime_priority"),
        ({"broker": {"root": "x"}, "node": {"id": "m"}}, "node.id, broker cannot change"),
    ],
)
def test_what_needs_a_restart_is_named(changes: dict[str, Any], word: str) -> None:
    """Connections and identity stay; the answer names each key that would have to change."""
    with pytest.raises(ConfigError, match=word):
        refuse_fixed(site(**changes), site())


@pytest.mark.parametrize(
    "changes",
    [
        {"bundle": Path("c")},
        {"cameras": ({"id": "cam"}, {"id": "new"})},
        {"node": {"id": "n", "asset_path": "acme", "require_synchronised_clock": True}},
        {"publish": {"flags": "frame"}},
        {"commands": {"refused": ("ack",)}},
        {"runtime": {"intra_op_threads": 2}},
    ],
)
def test_everything_else_may_change(changes: dict[str, Any]) -> None:
    """Bundle, cameras, sensors, rules, faults, alarms, and how much is said."""
    refuse_fixed(site(**changes), site())
