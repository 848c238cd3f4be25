"""One round of the inference thread after another: readings, timers, reports, and what a reconnect asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.frame import Reading
from edge.intake.inbox import MAX_READINGS
from tests.edge.bench import DARK, MS, RED, Bench


def test_a_sensor_alone_raises_and_its_silence_freezes(bench: Bench) -> None:
    """A rule needs no camera; a silent sensor is unknown and has its own alarm."""
    bench.reading(9.0)
    bench.idle(50)
    assert bench.last("flag/loose")["verdict"] == "fault"
    assert bench.last("alarm/loose")["state"] == "UNACK_ALM"
    bench.idle(2000)
    assert bench.last("flag/loose")["verdict"] == "unknown"
    assert bench.last("alarm/loose")["state"] == "UNACK_ALM"
    assert bench.last("alarm/vibration-silent")["state"] == "UNACK_ALM"


def test_a_rule_of_two_sensors_behind_a_gate_is_fed_with_all_of_them(tmp_path: Path) -> None:
    """Vibration per load counts while the machine runs; standing, the flag is unknown and the alarm keeps its state."""
    bench = Bench(
        tmp_path / "bundle",
        sensors=tuple({"id": name, "stale_after_ms": 60_000} for name in ("vibration", "load", "speed")),
        rules=(
            {"id": "running", "sensor": "speed", "kind": "above", "limit": 100.0},
            {
                "id": "shaking", "sensor": "vibration", "divided_by": "load", "kind": "above", "limit": 4.0,
                "when": ("running",),
            },
        ),
    )  # fmt: skip
    for speed, vibration, load, verdict in ((200, 8, 4, "ok"), (200, 8, 1, "fault"), (0, 1, 1, "unknown")):
        for sensor, value in (("speed", speed), ("vibration", vibration), ("load", load)):
            bench.reading(float(value), sensor)
        bench.idle(100)
        assert bench.last("flag/loose")["verdict"] == verdict
    assert bench.last("alarm/loose")["state"] == "UNACK_ALM"


@pytest.mark.parametrize("between_ms", [1, 20, 49])
def test_a_trip_that_is_over_before_anybody_looks_leaves_its_trace(bench: Bench, between_ms: int) -> None:
    """However short, and wherever it falls between two ticks: the alarm is raised, and clears with what is so afterwards."""
    bench.reading(0.0)
    bench.idle(200)
    bench.sent.clear()
    bench.reading(9.0)
    bench.time.now_ns += between_ms * MS
    bench.reading(0.0)
    bench.idle(300)
    assert [body["active"] for body in bench.take("alarm/loose")][:2] == [True, False]


def test_the_heartbeat_accounts_for_every_frame(bench: Bench) -> None:
    """Received is verdicts plus drops, always."""
    for encoded, waited in ((DARK, 0), (b"x", 0), (DARK, 50), (RED, 0)):
        bench.frame(encoded, waited_ms=waited)
    bench.idle(1100)
    camera = bench.last("heartbeat")["cameras"]["cam"]
    assert camera["received"] == 4
    assert camera["verdicts"] + sum(camera["dropped"].values()) == 4


def test_a_reconnect_says_state_meta_alarms_and_flags_again(bench: Bench) -> None:
    """A broker that lost its memory gets everything retained, the standing alarms first."""
    bench.frame(RED)
    bench.idle(100)
    bench.sent.clear()
    bench.inbox.reconnected = True
    bench.turn()
    topics = [message.topic for message in bench.sent]
    assert {"p/state", "p/meta", "p/alarm/red", "p/alarm/cam-silent", "p/flag/red", "p/flag/loose"} <= set(topics)
    alarms = [topic for topic in topics if topic.startswith("p/alarm/")]
    assert alarms[0] == "p/alarm/red"
    assert all(message.retain for message in bench.sent if message.topic.startswith(("p/alarm/", "p/state", "p/meta")))


def test_state_and_heartbeat_do_not_tell_where_files_lie(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody who may read a topic reads them; the log has the whole path."""
    stats = replace(bench.journal.stats(), storage="memory", reason="the disk does not answer; check /srv/edge/state")
    reporter = bench.worker._reporter
    monkeypatch.setattr(reporter, "_journal", lambda: stats)
    monkeypatch.setattr(reporter, "_connections", lambda _now: ("F", ("broker.tls.key_file /etc/edge/n.key is open",)))
    bench.idle(1500)
    assert bench.last("heartbeat")["journal"]["reason"] == "the disk does not answer; check state"
    assert "broker.tls.key_file n.key is open" in bench.last("state")["reasons"]


def test_a_higher_epoch_publishes_every_alarm_again_in_it(bench: Bench) -> None:
    """The broker keeps one of an earlier start: a reader that takes the highest (epoch, seq) must not keep the older alarm."""
    bench.frame(RED)
    bench.idle(100)
    assert bench.last("alarm/red")["epoch"] == 7
    bench.sent.clear()
    bench.inbox.renumber(4_000)
    bench.idle(100)
    assert {bench.last(f"alarm/{name}")["epoch"] for name in ("red", "loose", "node-twin")} == {4_000}
    events = [event for event in bench.take("event") if event["epoch"] == 4_000]
    assert (events[0]["seq"], events[0]["what"]) == (1, "epoch raised")
    assert "3999" in events[0]["detail"]
    assert bench.journal.stats().epoch == 4_000


def test_the_inbox_is_bounded_and_counts_what_it_loses(bench: Bench) -> None:
    """A flood of readings between two ticks keeps the newest, and the heartbeat tells what was lost."""
    for number in range(MAX_READINGS + 5):
        bench.inbox.put_reading(Reading("vibration", float(number), number))
    assert (len(bench.inbox.readings), bench.inbox.readings[-1].value) == (MAX_READINGS, float(MAX_READINGS + 4))
    bench.turn()
    assert bench.health.strays() == {"inbox_overflow": 5}
