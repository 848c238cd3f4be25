"""Bad input against the real daemon and a real broker: each is counted or refused with a clear word, and loses nothing else."""

from __future__ import annotations

import base64
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.inference.preprocess import encode_jpeg
from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.daemon import FRAME_TOPIC, PREFIX, ROOT, Daemon, Ear, Sender, site_document, toml
from tests.stand.plant import GREEN, GREY, RED, SITE, Plant, counted, roomy_bundle

pytestmark = pytest.mark.broker


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
    "a word": (b'{"value": "warm"}', {"not_a_number"}),
}


@pytest.mark.parametrize("name", BAD_FRAMES)
def test_a_bad_frame_is_counted_and_the_next_one_is_judged(plant: Plant, name: str) -> None:
    """A bad frame gives no verdict but `unknown`, is counted under its reason, and loses nothing else."""
    make, reasons = BAD_FRAMES[name]
    before = plant.ledger()
    mark = plant.ear.count()
    plant.send(make())
    wait_for(lambda: plant.ledger()["received"] == before["received"] + 1, what=name)
    after = plant.ledger()
    gained = counted(before["rejected"], after["rejected"])
    assert set(gained) <= reasons, gained
    assert sum(gained.values()) == 1
    assert after["verdicts"] == before["verdicts"]
    assert {flag.document()["verdict"] for flag in plant.ear.on("flag/red", mark)} <= {"unknown"}
    plant.still_works()


def test_a_header_that_claims_a_gigapixel_costs_neither_time_nor_memory(plant: Plant) -> None:
    """The 15 KB bomb is refused from its header: 50 of them do not move the daemon's memory by 20 MiB, and take no second."""
    bomb, rss_mib, cpu_s = _claims(32_000, 32_000, 15_000), plant.daemon.rss_mib(), plant.daemon.cpu_s()
    before = plant.ledger()["received"]
    for _ in range(50):
        plant.send(bomb)
    wait_for(lambda: plant.ledger()["received"] == before + 50)
    assert plant.daemon.rss_mib() - rss_mib < 20
    assert plant.daemon.cpu_s() - cpu_s < 1.0
    plant.still_works()


@pytest.mark.parametrize("name", BAD_READINGS)
def test_a_bad_reading_is_counted_and_changes_no_verdict(plant: Plant, name: str) -> None:
    """A bad reading is counted under its reason and is evidence of nothing; the next good one is heard."""
    payload, reasons = BAD_READINGS[name]
    plant.sense("temperature", b"21.0")
    mark = plant.ear.count()
    wait_for(lambda: len(plant.ear.on("heartbeat", mark)) >= 2, what="a heartbeat that counts the good reading")
    before = plant.ear.heartbeat()["sensors"]["temperature"]
    plant.sense("temperature", payload)
    wait_for(lambda: plant.ear.heartbeat()["sensors"]["temperature"]["rejected"] != before["rejected"], what=name)
    after = plant.ear.heartbeat()["sensors"]["temperature"]
    assert set(counted(before["rejected"], after["rejected"])) <= reasons
    assert after["received"] == before["received"]
    assert not any(flag.document()["on"] for flag in plant.ear.on("flag/hot", mark))
    plant.sense("temperature", b"95.0")
    plant.ear.until("flag/hot", lambda flag: flag["on"])
    plant.sense("temperature", b"21.0")
    plant.ear.until("flag/hot", lambda flag: flag["verdict"] == "ok")


def test_topics_and_commands_that_nobody_knows_do_no_harm(plant: Plant) -> None:
    """Frames of an unknown camera are nobody's, an unknown verb is counted, and a command that is no JSON is counted."""
    before = plant.ear.heartbeat()
    plant.send(RED, "nosuch")
    plant.ear.publish(f"{PREFIX}/cmd/selfdestruct", b"{}")
    plant.ear.publish(f"{PREFIX}/cmd/ack", b"\xff\xfe not json")
    wait_for(lambda: sum(plant.ear.heartbeat()["rejected"].values()) >= sum(before["rejected"].values()) + 2)
    after = plant.ear.heartbeat()
    assert counted(before["rejected"], after["rejected"]) == {"unknown_verb": 1, "bad_command": 1}
    assert after["cameras"]["cam1"]["received"] == before["cameras"]["cam1"]["received"]
    plant.still_works()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_retained_frame_is_an_old_frame(mosquitto: Mosquitto, tmp_path: Path, protocol: str) -> None:
    """A frame that the broker kept since nobody knows when never becomes a verdict: it is not asked for, or counted where a broker cannot be told."""
    ear = Ear(mosquitto.port)
    ear.publish(FRAME_TOPIC, RED, retain=True)
    document = site_document(roomy_bundle(tmp_path / "colours"), mosquitto.port) | SITE
    document["broker"] |= {"protocol": protocol}
    daemon, sender = Daemon(document, tmp_path).start(), Sender(mosquitto.port)
    try:
        sender.knock(ear, GREEN)
        assert not any(flag.document()["on"] for flag in ear.on("flag/red"))
        assert ear.heartbeat()["cameras"]["cam1"]["rejected"] == ({} if protocol == "5" else {"retained": 1})
    finally:
        sender.close()
        daemon.stop()
        ear.close()


def test_a_message_of_100_mb_never_reaches_memory(plant: Plant) -> None:
    """The broker is told our limit, so a giant costs us nothing and the next frame is judged."""
    rss_mib = plant.daemon.rss_mib()
    plant.ear.publish(FRAME_TOPIC, bytes(100_000_000), qos=0)
    plant.still_works()
    assert plant.daemon.rss_mib() - rss_mib < 20


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
    bundle = roomy_bundle(tmp_path / "colours")
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
