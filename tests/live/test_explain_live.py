"""Explanations on the wire: the real daemon on a bundle that speaks, behind a stock Mosquitto, while frames keep coming."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from edge.__main__ import EXIT_FAILED, EXIT_OK, main
from edge.broker.connection import Connection
from edge.inference.preprocess import decode_rgb, encode_jpeg
from edge.site.sections import BrokerSettings
from edge.wire.envelope import Incoming, Subscription
from tests.stand.brokers import MOSQUITTO, Mosquitto, wait_for
from tests.stand.bundles import colour_bundle, fault, flat_jpeg, speech_files, speech_section
from tests.stand.daemon import PREFIX, Daemon, Ear, Sender, site_document
from tests.stand.plant import ALARM, Plant, adds_up, close_plant

pytestmark = pytest.mark.broker

DARK = flat_jpeg(10, 10, 10)
BUDGET_MS = 500.0
FPS = 25.0
IMAGE = "explain/red/image"


def spot() -> bytes:
    """A dark picture with a red patch in its upper right part."""
    picture = np.full((96, 96, 3), 10, np.uint8)
    picture[4:36, 60:92] = (255, 0, 0)
    return encode_jpeg(picture)


def start(folder: Path, camera: dict[str, Any], **more: Any) -> Plant:
    """Broker and daemon; the colour bundle flags a spot, and says so in words of its own."""
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
    site["cameras"][0] |= camera
    site |= {"faults": [{"id": "red", "camera": "cam1", "alarm": ALARM}]} | more
    ear = Ear(broker.port, extra=(f"{PREFIX}/{IMAGE}",))
    daemon = Daemon(site, folder).start()
    sender = Sender(broker.port)
    sender.knock(ear, DARK)
    return Plant(broker, daemon, ear, sender)


@pytest.fixture(scope="module")
def speaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A site as it is by default: sentences, and no pictures."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: `apt-get install mosquitto` to run the broker tests")
    plant = start(tmp_path_factory.mktemp("speaking"), {})
    yield plant
    close_plant(plant)


@pytest.fixture(scope="module")
def showing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A site that wants pictures beside its sentences."""
    if MOSQUITTO is None:
        pytest.skip("mosquitto is not installed: `apt-get install mosquitto` to run the broker tests")
    plant = start(
        tmp_path_factory.mktemp("showing"), {"snapshot": True}, explain={"image": True, "image_px": 160}
    )  # small enough for a slow processor between two frames
    yield plant
    close_plant(plant)


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


# --- the picture beside it --------------------------------------------------------------------------------------------------------------


def kept(port: int, protocol: Literal["5", "3.1.1"]) -> Incoming:
    """The picture that a broker keeps, as somebody gets it who comes now."""
    heard: list[Incoming] = []
    late = Connection(
        BrokerSettings(port=port, protocol=protocol),
        client_id=f"late-{protocol}",
        subscriptions=[Subscription(f"{PREFIX}/{IMAGE}", 1)],
        on_message=heard.append,
    )
    late.start()
    wait_for(lambda: heard, what="the retained picture")
    late.stop()
    return heard[0]


def alarm_and_sentence(plant: Plant) -> tuple[Any, Any]:
    """A spot comes for a second; returns the alarm and what is said of it."""
    mark = plant.ear.count()
    film(plant, spot(), 1.0)
    alarm = plant.ear.wait("alarm/red", lambda alarm: alarm["state"] == "UNACK_ALM", since=mark)
    told = plant.ear.wait("explain/red", lambda told: told["occurrence_id"] == alarm["occurrence_id"], since=mark)
    return alarm, told


def calm_down(plant: Plant, alarm: Any) -> None:
    """The spot goes and somebody acknowledges."""
    plant.command("ack", alarm_id="red", occurrence_id=alarm["occurrence_id"])
    film(plant, DARK, 0.8)
    plant.ear.until("alarm/red", lambda alarm: not alarm["active"])


def test_a_picture_shows_where_the_fault_is_and_no_frame_pays_for_it(showing: Plant) -> None:
    """Alarm after alarm while frames keep coming: each has its own, hot on the spot; no deadline is missed, and no frame lost."""
    before = showing.ledger()
    for _ in range(3):
        mark = showing.ear.count()
        alarm, told = alarm_and_sentence(showing)
        wait_for(lambda mark=mark: [item for item in showing.ear.on(IMAGE, mark) if item.payload], what="the picture")  # type: ignore[misc] # mypy cannot infer a lambda with a default
        (picture,) = [item.payload for item in showing.ear.on(IMAGE, mark) if item.payload]
        assert told["image"]["sha256"] == hashlib.sha256(picture).hexdigest()
        changed = np.abs(decode_rgb(picture).astype(int) - decode_rgb(spot())).sum(axis=2)
        rows, columns = np.nonzero(changed > 0.5 * changed.max())
        assert 4 <= rows.mean() <= 36, "the spot's rows"
        assert 60 <= columns.mean() <= 92, "and its columns"
        calm_down(showing, alarm)
    after = showing.ledger()
    assert after["misses"] == before["misses"]
    assert after["dropped"].get("late", 0) == before["dropped"].get("late", 0)
    assert adds_up(after)
    assert showing.ear.heartbeat()["explanations"] == {"generated": 3, "image": 3}


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_who_comes_later_knows_whose_picture_it_is(protocol: Literal["5", "3.1.1"], showing: Plant) -> None:
    """It is retained; by MQTT 5 it says its occurrence itself, and by 3.1.1 its hash is the one that the sentence names."""
    alarm, told = alarm_and_sentence(showing)
    wait_for(
        lambda: hashlib.sha256(showing.ear.on(IMAGE)[-1].payload).hexdigest() == told["image"]["sha256"],
        what="the picture",
    )
    picture = kept(showing.broker.port, protocol)
    assert picture.retained
    assert hashlib.sha256(picture.payload).hexdigest() == told["image"]["sha256"]
    if protocol == "5":
        assert picture.content_type == "image/jpeg"
        properties = dict(picture.user_properties)
        assert (properties["occurrence_id"], properties["ts"]) == (alarm["occurrence_id"], told["ts"])
        assert properties["machine_made"] == "true"
    calm_down(showing, alarm)


def test_no_picture_is_kept_beside_the_sentence_of_another_occurrence(showing: Plant) -> None:
    """The whole picture is red, which has no place: the spot's picture is gone before the sentence is there."""
    alarm, _ = alarm_and_sentence(showing)
    wait_for(lambda: showing.ear.on(IMAGE)[-1].payload, what="the picture")
    calm_down(showing, alarm)
    mark = showing.ear.count()
    film(showing, flat_jpeg(255, 0, 0), 1.0)
    told = showing.ear.wait("explain/red", lambda _: True, since=mark)
    assert told["image"] is None
    heard = [item for item in showing.ear.everything()[mark:] if item.topic.startswith(f"{PREFIX}/explain/red")]
    assert [item.topic.rpartition("/")[2] for item in heard] == ["image", "red"]
    assert heard[0].payload == b""
    late = Ear(showing.broker.port, extra=(f"{PREFIX}/{IMAGE}",))
    try:
        late.wait("explain/red", lambda _: True)
        late.wait("heartbeat", lambda _: True)  # what was retained came before
        assert not late.on(IMAGE)
    finally:
        late.close()
    film(showing, DARK, 0.8)


def test_by_default_no_picture_leaves_the_device(speaking: Plant) -> None:
    """Whatever was explained before this test and in it."""
    alarm, told = alarm_and_sentence(speaking)
    assert told["image"] is None
    assert not any(item.payload for item in speaking.ear.on(IMAGE))
    calm_down(speaking, alarm)
