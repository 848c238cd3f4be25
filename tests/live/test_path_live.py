"""The whole path for real: the daemon as a process, a stock Mosquitto, frames, sensors and commands in, every promise checked on the wire."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edge.inference.preprocess import encode_jpeg
from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.daemon import FRAME_TOPIC, Daemon, Ear, Sender, site_document
from tests.stand.plant import BLUE, GREEN, RED, SITE, Plant, adds_up, roomy_bundle

pytestmark = pytest.mark.broker


# --- frames, sensors, alarms ------------------------------------------------------------------------------------------------------------


def test_a_fault_is_flagged_on_the_very_frame_that_shows_it(plant: Plant) -> None:
    """The next flag after a red frame says red, carries that frame's number and stamps, and met its deadline."""
    mark = plant.ear.count()
    plant.send(RED)
    flag = plant.ear.wait("flag/red", lambda _: True, since=mark)
    assert (flag["on"], flag["verdict"], flag["q"], flag["met"]) == (True, "fault", "good", True)
    assert flag["cam"] == "cam1"
    assert 0 < flag["lat_ms"] < 500
    assert len(flag["stage_ms"]) == 4
    mark = plant.ear.count()
    plant.send(GREEN)
    after = plant.ear.wait("flag/red", lambda _: True, since=mark)
    assert (after["on"], after["verdict"], after["frame_seq"]) == (False, "ok", flag["frame_seq"] + 1)


def test_state_and_alarms_are_there_for_who_subscribes_later(plant: Plant) -> None:
    """A SCADA client that connects after the alarm gets state, meta and the alarm from the broker, as retained messages."""
    plant.send(RED)
    plant.ear.until("alarm/red", lambda alarm: alarm["active"])
    late = Ear(plant.broker.port)
    try:
        assert late.wait("state", lambda _: True)["online"]
        channels = {channel["id"] for channel in late.wait("meta", lambda _: True)["channels"]}
        assert channels == {"red", "hot", "both", "second", "third"}
        alarm = late.wait("alarm/red", lambda alarm: alarm["active"])
        assert alarm["source"]["camera"] == "cam1"
        assert all(heard.retained for heard in (late.on("state")[0], late.on("meta")[0], late.on("alarm/red")[0]))
        assert not any(heard.retained for heard in late.on("flag/")), "an old verdict is not a verdict"
    finally:
        late.close()


def test_an_operator_acknowledges_what_he_saw_and_nothing_else(plant: Plant) -> None:
    """Ack with the standing occurrence leads to ACK_ALM; with any other it is refused and changes nothing; a repeat is not executed."""
    for _ in range(5):  # an alarm returns on known time: one frame is a moment, not a time
        plant.send(GREEN)
        time.sleep(0.05)
    plant.ear.until("alarm/red", lambda alarm: not alarm["active"])
    plant.send(RED)
    alarm = plant.ear.until("alarm/red", lambda alarm: alarm["state"] == "UNACK_ALM")
    stale = plant.command("ack", alarm_id="red", occurrence_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert (stale["ok"], stale["code"]) == (False, "stale_occurrence")
    assert plant.ear.last("alarm/red")["state"] == "UNACK_ALM"
    request = {
        "request_id": uuid.uuid4().hex,
        "alarm_id": "red",
        "occurrence_id": alarm["occurrence_id"],
        "comment": "seen",
    }
    reply = plant.command("ack", **request)
    assert (reply["ok"], reply["code"], reply["state"]) == (True, "ok", "ACK_ALM")
    acked = plant.ear.until("alarm/red", lambda found: found["state"] == "ACK_ALM")
    assert acked["ack"] == {"user": "operator", "comment": "seen"}
    assert plant.command("ack", **request)["code"] == "duplicate"
    assert plant.command("ack", alarm_id="nosuch")["code"] == "unknown_alarm"
    assert plant.command("ack", alarm_id="red", issued_at="2020-01-01T00:00:00Z")["code"] == "expired"


def test_a_sensor_alone_raises_and_clears_a_fault(plant: Plant) -> None:
    """A value over its rule's limit is a fault with an alarm; a value below makes both go."""
    plant.sense("temperature", b"95.5")
    assert plant.ear.until("flag/hot", lambda flag: flag["on"])["cam"] is None
    plant.ear.until("alarm/hot", lambda alarm: alarm["active"])
    plant.sense("temperature", b'{"value": 20}')
    plant.ear.until("flag/hot", lambda flag: flag["verdict"] == "ok")
    plant.ear.until("alarm/hot", lambda alarm: not alarm["active"])


def test_camera_and_sensor_together_speak_for_one_fault(plant: Plant) -> None:
    """With combine = all a blue frame alone is no fault, and blue with vibration is one."""
    plant.sense("vibration", b"1.0")
    time.sleep(0.2)
    mark = plant.ear.count()
    plant.send(BLUE)
    assert plant.ear.wait("flag/both", lambda flag: flag["frame_seq"], since=mark)["verdict"] == "ok"
    plant.sense("vibration", b'[{"n": "vibration", "u": "m/s2", "v": 9.5}]')
    plant.ear.wait("flag/both", lambda flag: flag["on"], since=mark)


@contextlib.contextmanager
def sending(plant: Plant, camera: str) -> Iterator[None]:
    """A camera that sends five frames a second: its neighbour's silence is then that camera's own, not their gateway's."""
    ended = threading.Event()

    def send() -> None:
        while not ended.wait(0.2):
            plant.send(GREEN, camera)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def test_a_camera_that_falls_silent_is_unknown_and_never_ok(plant: Plant) -> None:
    """Without frames the verdict becomes unknown with quality stale, a system alarm is active, and no `ok` comes until a frame shows it."""
    with sending(plant, "cam1"):
        for _ in range(15):
            plant.send(GREEN, "cam2")
            time.sleep(0.1)
        plant.ear.until("flag/second", lambda flag: flag["verdict"] == "ok")
        plant.ear.until("alarm/cam2-silent", lambda alarm: not alarm["active"])
        mark = plant.ear.count()
        stale = plant.ear.until("flag/second", lambda flag: flag["verdict"] == "unknown")
        assert (stale["on"], stale["q"]) == (None, "stale")
        plant.ear.until("alarm/cam2-silent", lambda alarm: alarm["active"])
        silent = "Camera cam2 gives no usable picture"
        plant.ear.until("state", lambda state: state["ne107"] == "F" and silent in state["reasons"])
    time.sleep(0.3)
    assert all(flag.document()["verdict"] == "unknown" for flag in plant.ear.on("flag/second", mark))
    plant.send(GREEN, "cam2")
    plant.ear.until("flag/second", lambda flag: flag["verdict"] == "ok")


# --- the deadline -----------------------------------------------------------------------------------------------------------------------


def test_in_a_burst_the_newest_frame_wins_and_every_frame_is_accounted_for(plant: Plant) -> None:
    """Of 400 frames at once few are judged, the last of all is among them, and sent = verdicts + drops."""
    before = plant.ledger()
    mark, frames = plant.ear.count(), 400
    burst = encode_jpeg(np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8), 60)
    for _ in range(frames):
        plant.send(burst)
    last = before["received"] + frames
    wait_for(lambda: plant.ledger()["received"] == last, timeout_s=20)
    time.sleep(0.5)
    after = plant.ledger()
    judged = [flag.document()["frame_seq"] for flag in plant.ear.on("flag/red", mark) if flag.document()["frame_seq"]]
    assert judged == sorted(set(judged))
    assert after["dropped"].get("replaced", 0) > before["dropped"].get("replaced", 0)
    assert adds_up(after)
    assert after["received"] - before["received"] == frames
    mark = plant.ear.count()
    plant.send(GREEN)
    assert plant.ear.wait("flag/red", lambda flag: flag["frame_seq"], since=mark)["frame_seq"] == judged[-1] + 1
    assert after["verdicts"] - before["verdicts"] == len(judged)


def test_late_frames_are_misses_then_drops_and_never_ok(plant: Plant) -> None:
    """Frames too big for their budget are judged late at first (a miss, never `ok`), then dropped before they are decoded."""
    slow = encode_jpeg(np.random.default_rng(2).integers(0, 255, (2400, 3200, 3), np.uint8), 80)
    mark = plant.ear.count()
    for _ in range(28):
        plant.send(slow, "cam3")
        time.sleep(0.09)
    ledger = plant.ear.wait("heartbeat", lambda beat: beat["cameras"]["cam3"]["dropped"].get("late"), since=mark)
    camera = ledger["cameras"]["cam3"]
    assert camera["misses"] > 0
    verdicts = [flag.document() for flag in plant.ear.on("flag/third", mark) if flag.document()["frame_seq"]]
    assert all(not flag["met"] and flag["verdict"] == "unknown" for flag in verdicts)
    wait_for(lambda: adds_up(plant.ledger("cam3")))
    for _ in range(5):
        plant.send(GREEN)
        time.sleep(0.05)
    plant.still_works()


# --- broker and daemon come and go --------------------------------------------------------------------------------------------------------


def test_a_broker_that_is_late_dies_and_comes_back_loses_no_alarm(
    make_mosquitto: Callable[..., Mosquitto], tmp_path: Path
) -> None:
    """The daemon outlives its broker: it waits for it, says everything again to one that forgot, and its will tells of its own death."""
    bundle = roomy_bundle(tmp_path / "colours")
    broker = make_mosquitto()
    site = site_document(bundle, broker.port) | SITE
    daemon = Daemon(site | {"broker": {"port": broker.port, "reconnect_max_s": 0.5}}, tmp_path).start()
    try:
        time.sleep(0.5)  # nobody is there yet
        broker.start()
        ear, sender = Ear(broker.port), Sender(broker.port)
        ear.wait("state", lambda state: state["online"])
        sender.knock(ear, RED)
        before = ear.wait("alarm/red", lambda alarm: alarm["active"])
        ear.close()
        sender.close()
        broker.kill()
        time.sleep(0.5)
        broker.start()  # Mosquitto without persistence: it forgot everything retained
        ear, sender = Ear(broker.port), Sender(broker.port)
        ear.wait("state", lambda state: state["online"], timeout_s=15)
        after = ear.wait("alarm/red", lambda alarm: alarm["active"])
        assert after["occurrence_id"] == before["occurrence_id"]
        sender.knock(ear, GREEN)
        mark = ear.count()
        sender.publish(FRAME_TOPIC, RED)
        ear.wait("flag/red", lambda flag: flag["on"], since=mark)
        daemon.kill()
        will = ear.wait("state", lambda state: not state["online"], timeout_s=15)
        assert will["reasons"] == ["connection lost"]
        ear.close()
        sender.close()
    finally:
        daemon.kill()


# --- all of it


def test_events_are_numbered_without_gaps(plant: Plant) -> None:
    """Over all tests above; that every message fits its schema is held by tests/stand/contract.py, for these tests and all others."""
    numbers = [event.document()["seq"] for event in plant.ear.on("event")]
    assert len(numbers) > 5
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert "Traceback" not in plant.daemon.log()
