"""The whole path for real: the daemon as a process, a stock Mosquitto, frames, sensors and commands in, every promise checked on the wire."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest

from benchmarks.rig import FRAME_TOPIC, PREFIX, ROOT, Daemon, Ear, Sender, site_document, toml
from edge.messages import json_schemas
from edge.preprocess import encode_jpeg
from tests.brokers import MOSQUITTO, Mosquitto, wait_for
from tests.edge.builders import colour_bundle, flat_jpeg

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(
        MOSQUITTO is None, reason="mosquitto is not installed: `apt-get install mosquitto` to run the broker tests"
    ),
]

RED, GREEN, BLUE, GREY = (flat_jpeg(*colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255), (90, 90, 90)))
ALARM = {
    "severity": 700,
    "message": "Red",
    "operator_action": "Look",
    "consequence": "Scrap",
    "off_delay_ms": 100,
}
SITE = {
    "node": {"id": "bench", "asset_path": "acme/north/line3"},
    "cameras": [
        {"id": "cam1", "max_bytes": 2_000_000},
        {"id": "cam2", "stale_after_ms": 700},
        {"id": "cam3", "budget_ms": 8.0, "max_bytes": 20_000_000},
    ],
    "sensors": [
        {"id": "temperature", "stale_after_ms": 60_000},
        {"id": "vibration", "stale_after_ms": 60_000},
    ],
    "rules": [
        {"id": "hot", "sensor": "temperature", "kind": "above", "limit": 80.0},
        {"id": "shakes", "sensor": "vibration", "kind": "above", "limit": 5.0},
    ],
    "faults": [
        {"id": "red", "camera": "cam1", "alarm": ALARM},
        {"id": "hot", "rules": ["hot"], "alarm": ALARM},
        {"id": "both", "camera": "cam1", "vision": "blue", "rules": ["shakes"], "combine": "all"},
        {"id": "second", "camera": "cam2", "vision": "red"},
        {"id": "third", "camera": "cam3", "vision": "red"},
    ],
    "publish": {"flags": "frame", "heartbeat_s": 0.25},
    # A busy test machine must not make frames of cam1 late: what is late is tested on cam3, with a budget of its own.
    "runtime": {"realtime_priority": 10},
}


def _roomy_bundle(folder: Path) -> Path:
    """The colour bundle with a budget that a busy test machine keeps."""
    target = {"board": "x86-64-avx2", "arch": os.uname().machine, "isa_required": [], "memory_mib": 64}
    colour_bundle(folder, target=target | {"budget_ms": 500.0})
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real bundle: how red, green and blue a picture is."""
    return _roomy_bundle(tmp_path_factory.mktemp("bundles") / "colours")


@pytest.fixture(scope="module")
def plant(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A broker and a daemon that live through most tests: what one test does to them must not hurt the next."""
    folder = tmp_path_factory.mktemp("plant")
    broker = Mosquitto(folder).start()
    ear = Ear(broker.port)
    daemon = Daemon(site_document(bundle, broker.port) | SITE, folder).start()
    sender = Sender(broker.port)
    sender.knock(ear, GREY)
    yield SimpleNamespace(
        port=broker.port, ear=ear, daemon=daemon, sender=sender, send=lambda frame: _send(sender, frame)
    )
    sender.close()
    daemon.stop()
    ear.close()
    broker.kill()


def _send(sender: Sender, frame: bytes, camera: str = "cam1") -> None:
    sender.publish(f"{PREFIX}/in/frame/{camera}", frame)


def _sense(plant: SimpleNamespace, sensor: str, payload: bytes) -> None:
    plant.sender.publish(f"{PREFIX}/in/sensor/{sensor}", payload)


def _command(plant: SimpleNamespace, verb: str, **fields: Any) -> Any:
    """Send a command and return its reply."""
    request = {
        "schema": "edge.cmd/1",
        "request_id": uuid.uuid4().hex,
        "issued_at": datetime.now(UTC).isoformat(),
        "user": "operator",
    } | fields
    mark = plant.ear.count()
    plant.ear.publish(f"{PREFIX}/cmd/{verb}", json.dumps(request).encode())
    return plant.ear.wait(f"res/{verb}", lambda reply: reply["request_id"] == request["request_id"], since=mark)


# --- frames, sensors, alarms ------------------------------------------------------------------------------------------------------------


def test_a_fault_is_flagged_on_the_very_frame_that_shows_it(plant: SimpleNamespace) -> None:
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


def test_state_and_alarms_are_there_for_who_subscribes_later(plant: SimpleNamespace) -> None:
    """A SCADA client that connects after the alarm gets state, meta and the alarm from the broker, as retained messages."""
    plant.send(RED)
    plant.ear.until("alarm/red", lambda alarm: alarm["active"])
    late = Ear(plant.port)
    try:
        assert late.wait("state", lambda _: True)["online"]
        channels = {channel["id"] for channel in late.wait("meta", lambda _: True)["channels"]}
        assert channels == {"red", "hot", "both", "second", "third"}
        alarm = late.wait("alarm/red", lambda alarm: alarm["active"])
        assert alarm["source"]["camera"] == "cam1"
        assert all(heard.retained for heard in (late.on("state")[0], late.on("meta")[0], late.on("alarm/red")[0]))
        assert late.on("flag/red") == [], "a flag is never retained: an old verdict is not a verdict"
    finally:
        late.close()


def test_an_operator_acknowledges_what_he_saw_and_nothing_else(plant: SimpleNamespace) -> None:
    """Ack with the standing occurrence leads to ACK_ALM; with any other it is refused and changes nothing; a repeat is not executed."""
    for _ in range(5):  # an alarm returns on known time: one frame is a moment, not a time
        plant.send(GREEN)
        time.sleep(0.05)
    plant.ear.until("alarm/red", lambda alarm: not alarm["active"])
    plant.send(RED)
    alarm = plant.ear.until("alarm/red", lambda alarm: alarm["state"] == "UNACK_ALM")
    stale = _command(plant, "ack", alarm_id="red", occurrence_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert (stale["ok"], stale["code"]) == (False, "stale_occurrence")
    assert plant.ear.last("alarm/red")["state"] == "UNACK_ALM"
    request = {
        "request_id": uuid.uuid4().hex,
        "alarm_id": "red",
        "occurrence_id": alarm["occurrence_id"],
        "comment": "seen",
    }
    reply = _command(plant, "ack", **request)
    assert (reply["ok"], reply["code"], reply["state"]) == (True, "ok", "ACK_ALM")
    acked = plant.ear.until("alarm/red", lambda found: found["state"] == "ACK_ALM")
    assert acked["ack"] == {"user": "operator", "comment": "seen"}
    assert _command(plant, "ack", **request)["code"] == "duplicate"
    assert _command(plant, "ack", alarm_id="nosuch")["code"] == "unknown_alarm"
    assert _command(plant, "ack", alarm_id="red", issued_at="2020-01-01T00:00:00Z")["code"] == "expired"


def test_a_sensor_alone_raises_and_clears_a_fault(plant: SimpleNamespace) -> None:
    """A value over its rule's limit is a fault with an alarm; a value below makes both go."""
    _sense(plant, "temperature", b"95.5")
    assert plant.ear.until("flag/hot", lambda flag: flag["on"])["cam"] is None
    plant.ear.until("alarm/hot", lambda alarm: alarm["active"])
    _sense(plant, "temperature", b'{"value": 20}')
    plant.ear.until("flag/hot", lambda flag: flag["verdict"] == "ok")
    plant.ear.until("alarm/hot", lambda alarm: not alarm["active"])


def test_camera_and_sensor_together_speak_for_one_fault(plant: SimpleNamespace) -> None:
    """With combine = all a blue frame alone is no fault, and blue with vibration is one."""
    _sense(plant, "vibration", b"1.0")
    time.sleep(0.2)
    mark = plant.ear.count()
    plant.send(BLUE)
    assert plant.ear.wait("flag/both", lambda flag: flag["frame_seq"], since=mark)["verdict"] == "ok"
    _sense(plant, "vibration", b'[{"n": "vibration", "u": "m/s2", "v": 9.5}]')
    plant.ear.wait("flag/both", lambda flag: flag["on"], since=mark)


def test_a_camera_that_falls_silent_is_unknown_and_never_ok(plant: SimpleNamespace) -> None:
    """Without frames the verdict becomes unknown with quality stale, a system alarm stands, and no `ok` is said until a frame shows it."""
    for _ in range(15):
        _send(plant.sender, GREEN, "cam2")
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
    _send(plant.sender, GREEN, "cam2")
    plant.ear.until("flag/second", lambda flag: flag["verdict"] == "ok")


# --- bad input --------------------------------------------------------------------------------------------------------------------------


def _photograph() -> bytes:
    """A JPEG with enough content that damage shows."""
    return encode_jpeg(np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8))


def _cut_out(jpeg: bytes) -> bytes:
    """A chunk is gone from the middle; the end marker is there."""
    middle = len(jpeg) // 2
    return jpeg[:middle] + jpeg[middle + 1500 :]


def _overwritten(jpeg: bytes) -> bytes:
    """A network segment of zero bytes in the middle."""
    middle = len(jpeg) // 2
    return jpeg[:middle] + bytes(1460) + jpeg[middle + 1460 :]


def _claims(width: int, height: int, length: int) -> bytes:
    """A JPEG whose header claims a size it does not have, padded to a length in bytes."""
    jpeg = bytearray(GREY)
    start = jpeg.index(b"\xff\xc0") + 5
    jpeg[start : start + 4] = height.to_bytes(2) + width.to_bytes(2)
    return bytes(jpeg[:-2]) + bytes(length - len(jpeg)) + b"\xff\xd9"


BAD_FRAMES: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "truncated JPEG": (lambda: _photograph()[:-4000], {"damaged"}),
    "chunk cut out of a JPEG": (lambda: _cut_out(_photograph()), {"damaged"}),
    "JPEG with a zeroed segment": (lambda: _overwritten(_photograph()), {"damaged"}),
    "15 KB that claim 32000x32000": (lambda: _claims(32_000, 32_000, 15_000), {"oversize_pixels"}),
    "frame over max_bytes": (lambda: GREY[:-2] + bytes(2_100_000) + b"\xff\xd9", {"oversize_bytes"}),
    "empty frame": (lambda: b"", {"empty"}),
    "text instead of a picture": (lambda: b"hello, this is no picture", {"not_an_image"}),
    "JSON without a picture": (lambda: b'{"hello": 1}', {"missing"}),
    "JSON that ends too early": (lambda: b'{"image": "' + base64.b64encode(GREY), {"not_json"}),
    "base64 with a hole": (lambda: json.dumps({"image": "/9j/****"}).encode(), {"bad_base64"}),
}
BAD_READINGS: dict[str, tuple[bytes, set[str]]] = {
    "JSON that is not": (b"{value: 3", {"not_json"}),
    "NaN": (b'{"value": NaN}', {"not_finite"}),
    "a number beyond floats": (b'{"value": 1e999}', {"not_finite"}),
    "duplicate keys": (b'{"value": 1, "value": 99}', {"duplicate_key"}),
    "100,000 nested lists": (b"[" * 100_000, {"too_deep", "not_json"}),
    "bytes that are no text": (bytes(range(128, 200)), {"not_text"}),
    "null": (b'{"value": null}', {"no_value"}),
    "a number as text": (b'{"value": "99"}', {"not_a_number"}),
}


def _counted(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {reason: count - before.get(reason, 0) for reason, count in after.items() if count != before.get(reason, 0)}


def _the_path_still_works(plant: SimpleNamespace) -> None:
    mark = plant.ear.count()
    plant.send(RED)
    plant.ear.wait("flag/red", lambda flag: flag["on"] and flag["met"], since=mark)
    mark = plant.ear.count()
    plant.send(GREEN)
    plant.ear.wait("flag/red", lambda flag: flag["verdict"] == "ok", since=mark)


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_bad_frame_is_counted_and_the_next_one_is_judged(plant: SimpleNamespace, name: str) -> None:
    """A bad frame gives no verdict but `unknown`, is counted under its reason, and loses nothing else."""
    make, reasons = BAD_FRAMES[name]
    before = plant.ear.heartbeat()["cameras"]["cam1"]
    mark = plant.ear.count()
    plant.send(make())
    wait_for(lambda: plant.ear.heartbeat()["cameras"]["cam1"]["received"] == before["received"] + 1, what=name)
    after = plant.ear.heartbeat()["cameras"]["cam1"]
    counted = _counted(before["rejected"], after["rejected"])
    assert set(counted) <= reasons, counted
    assert sum(counted.values()) == 1
    assert after["verdicts"] == before["verdicts"]
    assert {flag.document()["verdict"] for flag in plant.ear.on("flag/red", mark)} <= {"unknown"}
    _the_path_still_works(plant)


def test_a_header_that_claims_a_gigapixel_costs_neither_time_nor_memory(plant: SimpleNamespace) -> None:
    """The 15 KB bomb is refused from its header: 50 of them do not move the daemon's memory by 20 MiB, and take no second."""
    bomb, rss_mib, cpu_s = _claims(32_000, 32_000, 15_000), plant.daemon.rss_mib(), plant.daemon.cpu_s()
    before = plant.ear.heartbeat()["cameras"]["cam1"]["received"]
    for _ in range(50):
        plant.send(bomb)
    wait_for(lambda: plant.ear.heartbeat()["cameras"]["cam1"]["received"] == before + 50)
    assert plant.daemon.rss_mib() - rss_mib < 20
    assert plant.daemon.cpu_s() - cpu_s < 1.0
    _the_path_still_works(plant)


@pytest.mark.parametrize("name", BAD_READINGS)
def test_a_bad_reading_is_counted_and_changes_no_verdict(plant: SimpleNamespace, name: str) -> None:
    """A bad reading is counted under its reason and is evidence of nothing; the next good one is heard."""
    payload, reasons = BAD_READINGS[name]
    mark = plant.ear.count()
    _sense(plant, "temperature", b"21.0")
    before = plant.ear.heartbeat()["sensors"]["temperature"]
    _sense(plant, "temperature", payload)
    wait_for(lambda: plant.ear.heartbeat()["sensors"]["temperature"]["rejected"] != before["rejected"], what=name)
    after = plant.ear.heartbeat()["sensors"]["temperature"]
    assert set(_counted(before["rejected"], after["rejected"])) <= reasons
    assert after["received"] == before["received"]
    assert not any(flag.document()["on"] for flag in plant.ear.on("flag/hot", mark))
    _sense(plant, "temperature", b"95.0")
    plant.ear.until("flag/hot", lambda flag: flag["on"])
    _sense(plant, "temperature", b"21.0")
    plant.ear.until("flag/hot", lambda flag: flag["verdict"] == "ok")


def test_topics_and_commands_that_nobody_knows_do_no_harm(plant: SimpleNamespace) -> None:
    """Frames of an unknown camera are nobody's, an unknown verb is counted, and a command that is no JSON is counted."""
    before = plant.ear.heartbeat()
    _send(plant.sender, RED, "nosuch")
    plant.ear.publish(f"{PREFIX}/cmd/selfdestruct", b"{}")
    plant.ear.publish(f"{PREFIX}/cmd/ack", b"\xff\xfe not json")
    wait_for(lambda: sum(plant.ear.heartbeat()["rejected"].values()) >= sum(before["rejected"].values()) + 2)
    after = plant.ear.heartbeat()
    assert _counted(before["rejected"], after["rejected"]) == {"unknown_verb": 1, "bad_command": 1}
    assert after["cameras"]["cam1"]["received"] == before["cameras"]["cam1"]["received"]
    _the_path_still_works(plant)


def test_a_retained_frame_is_an_old_frame(plant: SimpleNamespace) -> None:
    """A frame that the broker kept is not delivered again after a reconnect, or it is counted: it never becomes a verdict."""
    topic = f"{PREFIX}/in/frame/cam1"
    plant.ear.publish(topic, RED, retain=True)
    plant.ear.publish(topic, b"", retain=True)
    _the_path_still_works(plant)


def test_a_message_of_100_mb_never_reaches_memory(plant: SimpleNamespace) -> None:
    """The broker is told our limit, so a giant costs us nothing and the next frame is judged."""
    rss_mib = plant.daemon.rss_mib()
    plant.ear.publish(FRAME_TOPIC, bytes(100_000_000), qos=0)
    _the_path_still_works(plant)
    assert plant.daemon.rss_mib() - rss_mib < 20


# --- the deadline -----------------------------------------------------------------------------------------------------------------------


def _adds_up(camera: Any) -> bool:
    return bool(camera["received"] == camera["verdicts"] + sum(camera["dropped"].values()))


def test_in_a_burst_the_newest_frame_wins_and_every_frame_is_accounted_for(plant: SimpleNamespace) -> None:
    """Of 400 frames at once few are judged, the last of all is among them, and sent = verdicts + drops."""
    before = plant.ear.heartbeat()["cameras"]["cam1"]
    mark, frames = plant.ear.count(), 400
    burst = encode_jpeg(np.random.default_rng(1).integers(0, 255, (720, 1280, 3), np.uint8), 60)
    for _ in range(frames):
        plant.send(burst)
    last = before["received"] + frames
    wait_for(lambda: plant.ear.heartbeat()["cameras"]["cam1"]["received"] == last, timeout_s=20)
    time.sleep(0.5)
    after = plant.ear.heartbeat()["cameras"]["cam1"]
    judged = [flag.document()["frame_seq"] for flag in plant.ear.on("flag/red", mark) if flag.document()["frame_seq"]]
    assert judged == sorted(set(judged))
    assert after["dropped"].get("replaced", 0) > before["dropped"].get("replaced", 0)
    assert _adds_up(after)
    assert after["received"] - before["received"] == frames
    mark = plant.ear.count()
    plant.send(GREEN)
    assert plant.ear.wait("flag/red", lambda flag: flag["frame_seq"], since=mark)["frame_seq"] == judged[-1] + 1
    assert after["verdicts"] - before["verdicts"] == len(judged)


def test_late_frames_are_misses_then_drops_and_never_ok(plant: SimpleNamespace) -> None:
    """Frames too big for their budget are judged late at first (a miss, never `ok`), then dropped before they are decoded."""
    slow = encode_jpeg(np.random.default_rng(2).integers(0, 255, (2400, 3200, 3), np.uint8), 80)
    mark = plant.ear.count()
    for _ in range(28):
        _send(plant.sender, slow, "cam3")
        time.sleep(0.09)
    ledger = plant.ear.wait("heartbeat", lambda beat: beat["cameras"]["cam3"]["dropped"].get("late"), since=mark)
    camera = ledger["cameras"]["cam3"]
    assert camera["misses"] > 0
    verdicts = [flag.document() for flag in plant.ear.on("flag/third", mark) if flag.document()["frame_seq"]]
    assert all(not flag["met"] and flag["verdict"] == "unknown" for flag in verdicts)
    wait_for(lambda: _adds_up(plant.ear.heartbeat()["cameras"]["cam3"]))
    for _ in range(5):
        plant.send(GREEN)
        time.sleep(0.05)
    _the_path_still_works(plant)


def test_everything_that_was_said_fits_its_schema(plant: SimpleNamespace) -> None:
    """Every message of all tests above validates against the schema that it names; events are numbered without gaps."""
    schemas = {
        name: jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        for name, schema in json_schemas().items()
    }
    plant.ear.heartbeat()
    heard = plant.ear.everything()
    assert len(heard) > 5
    for message in heard:
        document = message.document()
        schemas[document["schema"]].validate(document)
    numbers = [event.document()["seq"] for event in plant.ear.on("event")]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
    assert "Traceback" not in plant.daemon.log()


# --- broker and daemon come and go --------------------------------------------------------------------------------------------------------


def test_a_broker_that_is_late_dies_and_comes_back_loses_no_alarm(bundle: Path, tmp_path: Path) -> None:
    """The daemon outlives its broker: it waits for it, says everything again to one that forgot, and its will tells of its own death."""
    broker = Mosquitto(tmp_path)
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
        _send(sender, RED)
        ear.wait("flag/red", lambda flag: flag["on"], since=mark)
        daemon.kill()
        will = ear.wait("state", lambda state: not state["online"], timeout_s=15)
        assert will["reasons"] == ["connection lost"]
        ear.close()
        sender.close()
    finally:
        daemon.kill()
        broker.kill()


# --- bundles that may not go live -----------------------------------------------------------------------------------------------------------


def _flip_a_bit(bundle: Path) -> None:
    graph = bundle / "graph.onnx"
    content = bytearray(graph.read_bytes())
    content[random.Random(0).randrange(len(content))] ^= 1
    graph.write_bytes(content)


def _add_a_field(bundle: Path) -> None:
    manifest = bundle / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"sharpen": True}))


def _change_the_board(bundle: Path) -> None:
    manifest = bundle / "manifest.json"
    document = json.loads(manifest.read_text())
    document["target"] |= {
        "board": "raspberry-pi-5",
        "arch": "aarch64" if os.uname().machine != "aarch64" else "x86_64",
    }
    manifest.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("spoil", "word"), [(_flip_a_bit, "hash"), (_add_a_field, "sharpen"), (_change_the_board, "raspberry-pi-5")]
)
def test_a_bundle_that_is_not_what_it_says_never_goes_live(
    mosquitto: Mosquitto, tmp_path: Path, spoil: Callable[[Path], None], word: str
) -> None:
    """Exit status 3 with a message that names the problem, and not one message to anybody."""
    bundle = _roomy_bundle(tmp_path / "colours")
    spoil(bundle)
    config = tmp_path / "site.toml"
    config.write_text(toml(site_document(bundle, mosquitto.port)))
    ear = Ear(mosquitto.port)
    ended = subprocess.run(
        [sys.executable, "-m", "edge", "run", "--config", str(config)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3, ended.stderr
    assert word in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ear.everything() == []
    ear.close()
