"""Explanations on the wire: the real daemon on a bundle that speaks, behind a stock Mosquitto, while frames keep coming."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.rig import Daemon, Ear, Sender, site_document
from edge.__main__ import EXIT_FAILED, EXIT_OK, main
from edge.preprocess import encode_jpeg
from tests.brokers import MOSQUITTO, Mosquitto
from tests.edge.builders import colour_bundle, fault, flat_jpeg, speech_files, speech_section
from tests.plant import ALARM, Plant, adds_up

pytestmark = pytest.mark.broker

DARK = flat_jpeg(10, 10, 10)
BUDGET_MS = 500.0
FPS = 25.0


def spot() -> bytes:
    """A dark picture with a red patch in its upper right part."""
    picture = np.full((96, 96, 3), 10, np.uint8)
    picture[4:36, 60:92] = (255, 0, 0)
    return encode_jpeg(picture)


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """Broker and daemon; the colour bundle flags a spot, and says so in words of its own."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: `apt-get install mosquitto` to run the broker tests")
    folder = tmp_path_factory.mktemp("speaking")
    target = {"board": "x86-64-avx2", "arch": os.uname().machine, "isa_required": [], "memory_mib": 64}
    low = {"threshold": 0.1, "release": 0.08}
    colour_bundle(
        folder / "bundle",
        target=target | {"budget_ms": BUDGET_MS},
        faults=[fault(colour, **low) for colour in ("red", "green", "blue")],
        extra=speech_files(),
        speech=speech_section(),
    )
    broker = Mosquitto(folder).start()
    site = site_document(folder / "bundle", broker.port)
    site |= {"faults": [{"id": "red", "camera": "cam1", "alarm": ALARM}]}
    ear = Ear(broker.port)
    daemon = Daemon(site, folder).start()
    sender = Sender(broker.port)
    sender.knock(ear, DARK)
    yield Plant(broker, daemon, ear, sender)
    sender.close()
    daemon.stop()
    ear.close()
    broker.kill()


def film(plant: Plant, frame: bytes, seconds: float) -> None:
    """A camera's pace for a while."""
    for _ in range(round(seconds * FPS)):
        plant.send(frame)
        time.sleep(1 / FPS)


def test_while_frames_keep_coming_each_alarm_is_explained_once(speaking: Plant) -> None:
    """Three alarms, three sentences with their occurrences, each after its alarm; no frame missed its deadline or was lost."""
    before = speaking.ledger()
    for _ in range(3):
        mark = speaking.ear.count()
        film(speaking, spot(), 1.0)
        alarm = speaking.ear.wait("alarm/red", lambda alarm: alarm["state"] == "UNACK_ALM", since=mark)
        told = speaking.ear.wait("explain/red", lambda _: True, since=mark)
        assert told["occurrence_id"] == alarm["occurrence_id"]
        assert told["text"].startswith(
            'The model says "It is red here." Red on camera cam1, upper right of the picture: score 0.1'
        )
        assert (told["how"], told["machine_made"]) == ("generated", True)
        speaking.command("ack", alarm_id="red", occurrence_id=alarm["occurrence_id"])
        film(speaking, DARK, 0.8)
        speaking.ear.until("alarm/red", lambda alarm: not alarm["active"])
        assert len(speaking.ear.on("explain/red", mark)) == 1
    after = speaking.ledger()
    assert after["misses"] == before["misses"]
    assert after["dropped"].get("late", 0) == before["dropped"].get("late", 0)
    assert adds_up(after)
    assert speaking.ear.heartbeat()["explanations"] == {"generated": 3}


def test_who_comes_later_reads_the_last_sentence(speaking: Plant) -> None:
    """It is retained, like the alarm that it belongs to."""
    film(speaking, spot(), 0.6)
    told = speaking.ear.until(
        "explain/red", lambda told: told["occurrence_id"] == speaking.ear.last("alarm/red")["occurrence_id"]
    )
    late = Ear(speaking.broker.port)
    try:
        assert late.wait("explain/red", lambda _: True)["occurrence_id"] == told["occurrence_id"]
        assert late.on("explain/red")[0].retained
    finally:
        late.close()


def test_an_operator_asks_from_a_terminal(speaking: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    """`edge-daemon explain` shows the new sentence; a stale occurrence is refused, and so is an alarm that does not stand."""
    where = ["--broker", f"127.0.0.1:{speaking.broker.port}", "--node", "bench", "--user", "op"]
    film(speaking, spot(), 0.6)
    speaking.ear.until("alarm/red", lambda alarm: alarm["active"])
    assert main(["explain", "red", *where]) == EXIT_OK
    assert 'The model says "It is red here." Red on camera cam1' in capsys.readouterr().out
    stale = speaking.command("explain", alarm_id="red", occurrence_id="01ARZ3NDEKTSV4RRFFQ69G5FAV")
    assert (stale["ok"], stale["code"]) == (False, "stale_occurrence")
    film(speaking, DARK, 0.8)
    speaking.ear.until("alarm/red", lambda alarm: not alarm["active"])
    assert main(["explain", "red", *where]) == EXIT_FAILED
    assert "not_allowed" in capsys.readouterr().out
