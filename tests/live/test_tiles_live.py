"""Tiles over a real broker: a small fault in a large picture, of which only what changed is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.inference.change import LEARNED
from edge.inference.preprocess import encode_jpeg
from tests.stand.brokers import Mosquitto
from tests.stand.daemon import FRAME_TOPIC, STILLS, Daemon, Ear, Sender, site_document
from tests.stand.plant import ALARM, roomy_bundle

pytestmark = pytest.mark.broker

WEB = {
    "id": "web",
    "box": [0.0, 0.0, 1.0, 1.0],
    "tiles": {"columns": 8, "rows": 4, "overlap": 0.0, "cover_ms": 20_000},
}


def picture(*, spot: bool) -> bytes:
    """A grey JPEG of 1024x512 px; with a spot most of one tile of the second row is red."""
    rgb = np.full((512, 1024, 3), 90, np.uint8)
    if spot:
        rgb[128:240, 768:896] = (255, 0, 0)
    return encode_jpeg(rgb)


def test_a_small_fault_is_found_in_its_tile_and_the_rest_is_not_computed_again(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """The whole picture shows nothing. The heartbeat says what was spared and that all is covered; the explanation says where."""
    document = site_document(roomy_bundle(tmp_path / "colours"), mosquitto.port)
    document["explain"] = {"grid": 2, "min_spare_ms": 0.0}
    document["cameras"] = [{"id": "cam1", "picture": STILLS, "regions": [WEB]}]
    document["faults"] = [
        {"id": "spot", "camera": "cam1", "region": "web", "vision": "red", "alarm": ALARM},
        {"id": "whole", "camera": "cam1", "vision": "red"},
    ]
    ear = Ear(mosquitto.port)
    daemon = Daemon(document, tmp_path).start()
    sender = Sender(mosquitto.port)
    try:
        sender.knock(ear, picture(spot=False))
        for _ in range(LEARNED + 4):
            mark = ear.count()
            sender.publish(FRAME_TOPIC, picture(spot=False))
            flag = ear.wait("flag/spot", lambda flag: flag["frame_seq"] is not None, since=mark)
            assert flag["verdict"] != "fault"
        assert (flag["verdict"], flag["q"]) == ("ok", "good")
        mark = ear.count()
        calm = ear.wait("heartbeat", lambda _: True, since=mark)["cameras"]["cam1"]["regions"]["web"]
        assert (calm["tiles"], calm["coverage"]) == (32, 1.0)
        assert calm["unchanged"] >= 3 * 32
        mark = ear.count()
        sender.publish(FRAME_TOPIC, picture(spot=True))
        assert ear.wait("flag/spot", lambda flag: flag["verdict"] == "fault", since=mark)["met"]
        assert ear.wait("flag/whole", lambda flag: flag["frame_seq"] is not None, since=mark)["verdict"] == "ok"
        assert ear.until("alarm/spot", lambda alarm: alarm["active"])["state"] == "UNACK_ALM"
        told = ear.wait("explain/spot", lambda _: True, timeout_s=30)
        assert told["spot"]["x"] == pytest.approx(832 / 1024, abs=0.1)
        assert told["spot"]["y"] == pytest.approx(192 / 512, abs=0.15)
        mark = ear.count()
        after = ear.wait("heartbeat", lambda _: True, since=mark)["cameras"]["cam1"]["regions"]["web"]
        assert after["computed"] - calm["computed"] <= 9, (
            "the tile with the spot, and at most its neighbours: JPEG spreads colour"
        )
    finally:
        sender.close()
        daemon.kill()
