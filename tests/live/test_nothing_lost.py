"""Whoever dies, no transition is lost, none has its name used twice, and no standing alarm is raised anew; the long versions are benchmarks."""

from __future__ import annotations

import json
import os
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.bundles import colour_bundle, flat_jpeg
from tests.stand.daemon import PREFIX, Daemon, Ear, Sender, site_document
from tests.stand.witness import Driven, Witness

pytestmark = pytest.mark.broker

RED, GREY = flat_jpeg(255, 0, 0), flat_jpeg(90, 90, 90)
ALARM = {"severity": 700, "message": "Red", "operator_action": "Look", "consequence": "Scrap", "off_delay_ms": 100}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """How red, green and blue a picture is, with a budget that a busy test machine keeps."""
    folder = tmp_path_factory.mktemp("bundles") / "colours"
    target = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 500.0}
    colour_bundle(folder, target=target)
    return folder


@pytest.fixture
def broker(make_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> Mosquitto:
    """A Mosquitto configured as Debian does: persistence on, saved every half hour, so kill -9 makes it forget."""
    return make_mosquitto(f"allow_anonymous true\npersistence true\npersistence_location {tmp_path}/").start()


@pytest.fixture
def driven(bundle: Path, broker: Mosquitto, tmp_path: Path) -> Iterator[Driven]:
    """The daemon, whose pictures flip four alarms five times a second; not started."""
    daemon = Driven(bundle, broker.port, tmp_path)
    yield daemon
    daemon.end(signal.SIGKILL)


def test_a_broker_that_is_killed_again_and_again_loses_nothing(broker: Mosquitto, driven: Driven) -> None:
    """Three times kill -9 under 20 transitions a second: after the drain the witness heard every one that the device wrote."""
    witness, chance = Witness(broker.port), random.Random(1)
    driven.start()
    wait_for(lambda: len(witness.names()) > 20, 30, "transitions flow")
    for _ in range(3):
        time.sleep(chance.uniform(1.0, 2.0))
        broker.kill()
        time.sleep(0.3)
        broker.start()
    driven.send(signal.SIGUSR1)
    witness.wait_complete(driven.written, 60)
    driven.end()
    said = witness.testify(driven.written())
    witness.close()
    assert (said.lost, said.broken_chains, said.raised_twice, said.epochs) == (0, 0, 0, 1)
    assert said.transitions > 50
    verdicts = [line["verdicts"] for line in driven.lines()]
    assert sorted(verdicts) == verdicts
    assert "Traceback" not in driven.log()


def test_a_daemon_that_is_killed_again_and_again_loses_nothing(broker: Mosquitto, driven: Driven) -> None:
    """Three times kill -9 at a random moment: no transition lost, no name twice, no occurrence raised twice, alarms go on where they were."""
    witness, chance = Witness(broker.port), random.Random(2)
    for _ in range(3):
        heard = len(witness.names())
        driven.start()
        wait_for(lambda before=heard: len(witness.names()) > before + 12, 30, "transitions flow")  # type: ignore[misc] # a lambda with a default
        time.sleep(chance.uniform(0.0, 0.4))
        driven.end(signal.SIGKILL)
    driven.start()
    wait_for(lambda: len({epoch for epoch, _ in witness.names()}) == 4, 30, "the last start speaks")
    driven.send(signal.SIGUSR1)
    witness.wait_complete(driven.written, 60)
    driven.end()
    said = witness.testify(driven.written())
    witness.close()
    assert (said.lost, said.broken_chains, said.raised_twice, said.epochs) == (0, 0, 0, 4)
    assert "Traceback" not in driven.log()


def _site(bundle: Path, port: int, state: Path) -> dict[str, Any]:
    return site_document(bundle, port) | {
        "node": {"id": "bench", "state_dir": str(state)},
        "faults": [{"id": "red", "camera": "cam1", "alarm": ALARM}],
    }


def _command(ear: Ear, verb: str, *, age_s: float = 0.0, retain: bool = False, **fields: Any) -> str:
    request_id = uuid.uuid4().hex
    issued_at = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
    body = {"request_id": request_id, "issued_at": issued_at, "user": "op"} | fields
    ear.publish(f"{PREFIX}/cmd/{verb}", json.dumps(body).encode(), retain=retain)
    return request_id


def test_an_alarm_survives_its_daemon(mosquitto: Mosquitto, bundle: Path, tmp_path: Path) -> None:
    """After kill -9 the alarm is the same occurrence, still acknowledged, still shelved; the gap is stale data, then life goes on."""
    ear = Ear(mosquitto.port)
    daemon = Daemon(_site(bundle, mosquitto.port, tmp_path / "state"), tmp_path)
    try:
        daemon.start()
        sender = Sender(mosquitto.port)
        sender.knock(ear, RED)
        before = ear.until("alarm/red", lambda alarm: alarm["active"])
        _command(ear, "ack", alarm_id="red", occurrence_id=before["occurrence_id"])
        ear.until("alarm/red", lambda alarm: alarm["acked"])
        _command(ear, "shelve", alarm_id="red", duration_s=600, comment="lens is being cleaned")
        shelved = ear.until("alarm/red", lambda alarm: alarm["shelving"] == "TimedShelved")
        daemon.kill()
        mark = ear.count()
        daemon.start()
        after = ear.wait("alarm/red", lambda _: True, since=mark)
        assert (after["occurrence_id"], after["acked"], after["active"]) == (before["occurrence_id"], True, True)
        assert after["time"]["shelved_until"] == shelved["time"]["shelved_until"]
        assert after["quality"] in {"stale", "bad"}  # bad: nothing seen since the start
        assert after["epoch"] > before["epoch"]
        sender.knock(ear, RED)
        assert ear.until("alarm/red", lambda alarm: alarm["quality"] == "good")["state"] == "SHELVED"
        raised = [event.document() for event in ear.on("event") if event.document()["detail"] == "RAISE"]
        assert len({event["occurrence_id"] for event in raised if event["subject"] == "red"}) == 1
        sender.close()
    finally:
        daemon.kill()
        ear.close()


def test_a_command_that_waited_in_the_broker_is_not_obeyed_late(
    mosquitto: Mosquitto, bundle: Path, tmp_path: Path
) -> None:
    """The broker keeps our session, and so commands that come while we are away; an old one is answered with `expired`."""
    ear = Ear(mosquitto.port)
    daemon = Daemon(_site(bundle, mosquitto.port, tmp_path / "state"), tmp_path)
    try:
        daemon.start()
        ear.wait("state", lambda state: state["online"])
        daemon.kill()
        old = _command(ear, "shelve", age_s=40, alarm_id="red", duration_s=600, comment="long ago")
        new = _command(ear, "shelve", alarm_id="cam1-silent", duration_s=600, comment="just now")
        daemon.start()
        replies = {reply["request_id"]: reply["code"] for reply in _replies(ear, "shelve", 2)}
        assert replies == {old: "expired", new: "ok"}
    finally:
        daemon.kill()
        ear.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_command_that_the_broker_retained_is_not_obeyed(
    mosquitto: Mosquitto, bundle: Path, tmp_path: Path, protocol: str
) -> None:
    """Some SCADA tools publish everything retained (FUXA does): who starts later must not take the copy for a command of now."""
    ear = Ear(mosquitto.port)
    site = _site(bundle, mosquitto.port, tmp_path / "state")
    daemon = Daemon(site | {"broker": site["broker"] | {"protocol": protocol}}, tmp_path)
    try:
        _command(ear, "shelve", retain=True, alarm_id="red", duration_s=600, comment="a copy")
        daemon.start()
        ear.wait("state", lambda state: state["online"])
        asked_at_s = time.monotonic()
        while not ear.on("res/rebirth"):  # until it listens
            assert time.monotonic() - asked_at_s < 15
            _command(ear, "rebirth")
            time.sleep(0.3)
        assert ear.on("res/shelve") == []
        assert ear.last("alarm/red")["shelving"] == "Unshelved"
    finally:
        daemon.kill()
        ear.close()


def _replies(ear: Ear, verb: str, count: int) -> list[dict[str, Any]]:
    wait_for(lambda: len(ear.on(f"res/{verb}")) >= count, 15, "replies")
    return [reply.document() for reply in ear.on(f"res/{verb}")]


def test_a_state_folder_that_cannot_be_is_an_alarm_and_no_obstacle(
    mosquitto: Mosquitto, bundle: Path, tmp_path: Path
) -> None:
    """The daemon goes live, says so on `state` with NE 107 maintenance and in the heartbeat, and recovers without a restart."""
    ear = Ear(mosquitto.port)
    blocked = tmp_path / "state"
    blocked.write_text("a file where the folder should be")
    daemon = Daemon(_site(bundle, mosquitto.port, blocked), tmp_path)
    try:
        daemon.start()
        ear.until("alarm/node-storage", lambda alarm: alarm["active"])
        state = ear.until("state", lambda state: any("Storage" in reason for reason in state["reasons"]))
        assert state["ne107"] in {"M", "F"}  # F when the silent camera is known already
        journal = ear.heartbeat()["journal"]
        assert journal["storage"] == "memory"
        assert blocked.name in journal["reason"]
        assert str(tmp_path) not in journal["reason"]  # what is published names no folder of the device
        blocked.unlink()
        ear.until("alarm/node-storage", lambda alarm: not alarm["active"], 15)
        assert ear.heartbeat()["journal"]["storage"] == "ok"
    finally:
        daemon.kill()
        ear.close()


def test_an_orderly_stop_leaves_nothing_to_repeat(mosquitto: Mosquitto, bundle: Path, tmp_path: Path) -> None:
    """Everything was confirmed and marked, so the next start says nothing of it again; both say when they started and stopped."""
    ear = Ear(mosquitto.port)
    daemon = Daemon(_site(bundle, mosquitto.port, tmp_path / "state"), tmp_path)
    try:
        for _ in range(2):
            mark = ear.count()
            daemon.start()
            ear.wait("event", lambda event: event["what"] == "started", since=mark)
            assert daemon.stop() == 0
        time.sleep(0.5)
        events = [event.document() for event in ear.on("event")]
        names = [(event["epoch"], event["seq"]) for event in events]
        assert names == sorted(set(names))
        assert [event["what"] for event in events if event["subject"] == "daemon"] == ["started", "stopped"] * 2
        assert not any(event["historical"] for event in events)
    finally:
        daemon.kill()
        ear.close()


def test_a_damaged_journal_is_said_aloud(mosquitto: Mosquitto, bundle: Path, tmp_path: Path) -> None:
    """What it held is lost, so nobody may take the alarms' NORM for knowledge: an event, a standing alarm with NE 107 M, and the log say so."""
    ear = Ear(mosquitto.port)
    state = tmp_path / "state"
    daemon = Daemon(_site(bundle, mosquitto.port, state), tmp_path)
    try:
        daemon.start()
        sender = Sender(mosquitto.port)
        sender.knock(ear, RED)
        ear.until("alarm/red", lambda alarm: alarm["active"])
        assert daemon.stop() == 0
        (state / "journal.db").write_bytes(os.urandom(8192))
        mark = ear.count()
        daemon.start()
        told = ear.wait("event", lambda event: event["what"] == "journal set aside", since=mark)
        assert "journal.db.damaged-" in told["detail"]
        assert ear.wait("alarm/red", lambda _: True, since=mark)["quality"] == "bad"
        assert ear.until("alarm/node-storage", lambda alarm: alarm["active"])["state"] == "UNACK_ALM"
        assert any("Storage" in reason for reason in ear.until("state", lambda state: state["reasons"])["reasons"])
        assert ear.heartbeat()["journal"]["set_aside"] == 1
        assert "the file was damaged" in daemon.log()
        assert daemon.stop() == 0
        mark = ear.count()
        daemon.start()
        ear.wait("alarm/node-storage", lambda alarm: alarm["state"] == "RTN_UNACK", since=mark)
        sender.close()
    finally:
        daemon.kill()
        ear.close()


def test_a_service_keeps_its_state_by_default(mosquitto: Mosquitto, bundle: Path, tmp_path: Path) -> None:
    """Under the shipped unit a site file that names no folder loses nothing; without any folder log and journal say what is not known."""
    ear = Ear(mosquitto.port)
    site = _site(bundle, mosquitto.port, tmp_path) | {"node": {"id": "bench"}}
    kept = tmp_path / "kept"
    service = Daemon(site, tmp_path, environment={"STATE_DIRECTORY": f"{kept}:{tmp_path / 'other'}"})
    bare = Daemon(site, tmp_path)
    try:
        service.start()
        assert f"state in {kept}" in service.log()
        sender = Sender(mosquitto.port)
        sender.knock(ear, RED)
        before = ear.until("alarm/red", lambda alarm: alarm["active"])
        service.kill()
        mark = ear.count()
        service.start()
        after = ear.wait("alarm/red", lambda _: True, since=mark)
        assert (after["occurrence_id"], after["state"]) == (before["occurrence_id"], "UNACK_ALM")
        sender.close()
        service.kill()
        mark = ear.count()
        bare.start()
        # what the killed one published last may only arrive now
        unknown = ear.wait("alarm/red", lambda alarm: alarm["state"] == "NORM", since=mark)
        assert unknown["quality"] == "bad"
        told = ear.wait("event", lambda event: event["what"] == "alarm states begin anew", since=mark)
        assert "node.state_dir" in told["detail"]
        assert " WARNING edge: node.state_dir is not set" in bare.log()
    finally:
        service.kill()
        bare.kill()
        ear.close()


def test_an_alarm_that_went_while_the_daemon_was_down_is_cleared(
    mosquitto: Mosquitto, bundle: Path, tmp_path: Path
) -> None:
    """Also one that never moved, because its camera never sent a picture: nobody shall see it for ever."""
    site = _site(bundle, mosquitto.port, tmp_path / "state")
    daemon = Daemon(site | {"faults": [*site["faults"], {"id": "old", "camera": "cam1", "vision": "blue", "alarm": ALARM}]}, tmp_path)  # fmt: skip
    ear = Ear(mosquitto.port)
    try:
        daemon.start()
        assert ear.until("alarm/old", lambda _: True)["quality"] == "bad"
        assert daemon.stop() == 0
        mark = ear.count()
        daemon = Daemon(site, tmp_path).start()
        wait_for(lambda: [heard.payload for heard in ear.on("alarm/old", mark)] == [b""], 10, "it is cleared")
        assert ear.wait("alarm/red", lambda _: True, since=mark)["id"] == "red"
    finally:
        daemon.kill()
        ear.close()
