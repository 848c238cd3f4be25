"""A stage of the inference thread that raises what nobody thought of: the others go on, it is an alarm, and no flag stays ok in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.system.internal_errors import FAILING_NS
from edge.verdict.rules import Rule
from edge.worker import TICK_NS
from tests.edge.bench import DARK, RED, Bench


def fail(*_: object, **__: object) -> Any:
    """What nobody thought of."""
    raise KeyError("a fault of this program")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A worker on the colour bundle, with every flag ok."""
    made = Bench(tmp_path / "bundle")
    made.reading(1.0)
    made.frame(DARK)
    made.idle(100)
    assert (made.last("flag/red")["verdict"], made.last("flag/loose")["verdict"]) == ("ok", "ok")
    return made


def explained(bench: Bench) -> Any:
    """Something in the explainer's place."""
    explainer: Any = type("Explains", (), {"ready": fail, "step": fail, "observe": fail, "raised": fail})()
    bench.explanations.explainer = explainer
    return explainer


STAGES: list[tuple[str, Callable[[Bench], Any], str]] = [
    ("alarms", lambda bench: bench.annunciator, "tick"),
    ("journal", lambda bench: bench.journal, "relieve"),
    ("monitor", lambda bench: bench.worker._monitor, "_sample_cameras"),
    ("monitor", lambda bench: bench.worker._monitor, "_sample_refusals"),
    ("report", lambda bench: bench.worker._reporter, "publish_heartbeat"),
    ("report", lambda bench: bench.worker._reporter, "_state"),
    ("explain", explained, "step"),
    ("flags", lambda bench: bench.stages.channels[1], "evidence"),
    ("alarms", lambda bench: bench.stages.channels[1], "is_confirmed"),
    ("path", lambda bench: bench.worker._path._engine, "run"),
]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: f"{stage[0]}-{stage[2]}")
def test_a_stage_that_fails_stops_no_other_and_is_an_alarm(
    bench: Bench,
    stage: tuple[str, Callable[[Bench], Any], str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is counted, logged once, journalled once and NE 107 F; other stages go on; a minute after the last time the alarm returns."""
    place, owner, name = stage
    with monkeypatch.context() as broken:
        broken.setattr(owner(bench), name, fail)
        for _ in range(5):
            bench.reading(1.0)
            bench.frame(DARK)
            bench.idle(100)
        bench.idle(1500)
        bench.reading(9.0)
        bench.idle(200)
        assert bench.last("alarm/node-internal")["state"] == "UNACK_ALM"
        assert (bench.last("state")["ne107"], f"internal error: {place}" in bench.last("state")["reasons"]) == (
            "F",
            True,
        )
        assert bench.last("flag/loose")["verdict"] in {"fault", "unknown"}, "a reading still counts"
        assert bench.errors.counts()[place] >= 2
    bench.explanations.explainer = None
    bench.idle(1200)
    assert bench.last("heartbeat")["internal_errors"][place] >= 2
    assert sum(record.exc_info is not None for record in caplog.records) == 1
    assert [event["what"] for event in bench.take("event") if event["subject"] == "daemon"] == ["internal error"]
    bench.time.now_ns += FAILING_NS
    bench.idle(6000)
    assert bench.last("alarm/node-internal")["state"] == "RTN_UNACK"
    bench.frame(RED)
    assert (bench.last("flag/red")["verdict"], bench.last("flag/red")["q"]) == ("fault", "good")


@pytest.mark.parametrize("stage", ["decode", "assess", "run", "_decide"])
def test_a_frame_that_meets_a_fault_leaves_no_flag_as_it_was(
    bench: Bench, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever on its path: the verdict is unknown, the frame counts as rejected, and the next good frame is judged."""
    path = bench.worker._path
    owners = {
        "decode": path._preprocessors["cam"],
        "assess": path._picture_monitors["cam"],
        "run": path._engine,
        "_decide": path,
    }
    with monkeypatch.context() as broken:
        broken.setattr(owners[stage], stage, fail)
        bench.frame(DARK)
    flag = bench.last("flag/red")
    assert (flag["verdict"], flag["on"], flag["q"]) == ("unknown", None, "bad")
    assert bench.health.cameras(bench.time.now_ns)["cam"].rejected == {"internal_error": 1}
    assert bench.health.tally().failed == 1, "a bundle on trial does not pass so"
    bench.frame(DARK)
    assert (bench.last("flag/red")["verdict"], bench.last("flag/loose")["verdict"]) == ("ok", "ok")


def test_a_rule_that_fails_makes_its_own_flag_unknown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last reading said ok, but it could not take the newest; the next that it can take speaks again."""
    with monkeypatch.context() as broken:
        broken.setattr(Rule, "update", fail)
        bench.reading(9.0)
        bench.idle(100)
    assert (bench.last("flag/loose")["verdict"], bench.last("flag/red")["verdict"]) == ("unknown", "ok")
    bench.reading(9.0)
    bench.idle(100)
    assert bench.last("flag/loose")["verdict"] == "fault"


def test_a_channel_that_cannot_be_judged_is_unknown(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between frames too; the other channels are judged."""
    broken = bench.stages.channels[1]
    monkeypatch.setattr(broken, "evidence", fail)
    bench.reading(1.0)
    bench.idle(100)
    assert (bench.last("flag/loose")["verdict"], bench.last("flag/loose")["q"]) == ("unknown", "bad")
    bench.frame(RED)
    assert bench.last("flag/red")["verdict"] == "fault"


def test_flags_are_uncertain_while_the_device_cannot_look_after_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A covered camera would go unnoticed: an ok may not be called good then; it is again when the watch works."""
    with monkeypatch.context() as broken:
        broken.setattr(bench.worker._monitor, "_sample_cameras", fail)
        bench.idle(100)
        bench.frame(DARK)
        assert bench.last("flag/red")["q"] == "uncertain"
    bench.idle(100)
    bench.frame(DARK)
    assert bench.last("flag/red")["q"] == "good"


def test_a_state_that_cannot_be_made_does_not_leave_a_good_one_standing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retained state says failure, once; the node's letter is not what the last good round said."""
    bench.idle(300)
    assert bench.last("state")["ne107"] == "G"
    monkeypatch.setattr(bench.annunciator, "ne107", fail)
    bench.idle(300)
    told = len(bench.take("state"))
    assert (bench.last("state")["ne107"], bench.last("state")["reasons"]) == ("F", ["internal error: report"])
    bench.idle(600)
    assert len(bench.take("state")) == told


def test_memory_that_is_gone_ends_the_thread(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor starts the daemon anew; going on would mean verdicts that nobody can trust."""

    def gone(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(bench.worker._path._engine, "run", gone)
    with pytest.raises(MemoryError):
        bench.frame(DARK)
    monkeypatch.undo()
    monkeypatch.setattr(bench.annunciator, "tick", gone)
    bench.time.now_ns += TICK_NS
    with pytest.raises(MemoryError):
        bench.turn()
