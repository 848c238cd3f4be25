"""Regions over a real broker: two in one picture, of which one is faulty; and a reload that adds and removes them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.inference.preprocess import encode_jpeg
from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.daemon import FRAME_TOPIC, PREFIX, STILLS, Daemon, Ear, Sender, site_document, toml
from tests.stand.plant import roomy_bundle

pytestmark = pytest.mark.broker

ALARM = {"severity": 700, "message": "Red", "operator_action": "Look", "consequence": "Scrap", "off_delay_ms": 100}
LEFT = {"id": "left", "box": [0.0, 0.0, 0.5, 1.0]}
RIGHT = {"id": "right", "polygon": [[0.5, 0.0], [1.0, 0.0], [1.0, 1.0], [0.5, 1.0]]}


def picture(colour: tuple[int, int, int]) -> bytes:
    """A JPEG that is blue on its left, and of this colour on the upper part of its right."""
    rgb = np.zeros((240, 320, 3), np.uint8)
    rgb[:, :160], rgb[:200, 160:] = (0, 0, 200), colour
    return encode_jpeg(rgb)


BOTH_BLUE, RIGHT_RED = picture((0, 0, 200)), picture((250, 0, 0))


def fault(region: str) -> dict[str, Any]:
    """A red region is one."""
    return {"id": f"{region}-red", "camera": "cam1", "region": region, "vision": "red", "alarm": ALARM}


class Watched:
    """A daemon on a camera with regions, what it says, and its site file."""

    def __init__(self, folder: Path, port: int) -> None:
        self.document = site_document(roomy_bundle(folder / "colours"), port) | {
            "explain": {"grid": 2, "min_spare_ms": 0.0}
        }
        self.document["faults"] = [fault("left"), fault("right")]
        self.document["cameras"] = [{"id": "cam1", "picture": STILLS, "regions": [LEFT, RIGHT]}]
        self.path = folder / "site.toml"
        self.ear = Ear(port)
        self.daemon = Daemon(self.document, folder).start()
        self.sender = Sender(port)
        self.sender.knock(self.ear, BOTH_BLUE)

    def flags(self, encoded: bytes, *channels: str) -> dict[str, Any]:
        """Send a frame; the flag that each of these channels made of it."""
        mark = self.ear.count()
        self.sender.publish(FRAME_TOPIC, encoded)
        return {
            name: self.ear.wait(f"flag/{name}", lambda flag: flag["frame_seq"] is not None, since=mark)
            for name in channels
        }

    def reload(self, regions: list[dict[str, Any]], faults: list[dict[str, Any]]) -> Any:
        """Write other regions and faults, and ask for them."""
        self.document["cameras"][0]["regions"], self.document["faults"] = regions, faults
        self.path.write_text(toml(self.document), encoding="utf-8")
        body = {"request_id": uuid.uuid4().hex, "issued_at": datetime.now(UTC).isoformat(), "user": "op"}
        mark = self.ear.count()
        self.ear.publish(f"{PREFIX}/cmd/reload", json.dumps(body).encode())
        return self.ear.wait("res/reload", lambda reply: reply["code"] != "busy", since=mark, timeout_s=30)


@pytest.fixture
def watched(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Watched]:
    """Running; stopped at the end."""
    made = Watched(tmp_path, mosquitto.port)
    yield made
    made.sender.close()
    made.daemon.kill()


def test_only_the_faulty_region_of_a_picture_raises_its_alarm(watched: Watched) -> None:
    """The other one is ok on the same frame; the explanation points into the right half of the whole picture."""
    found = watched.flags(RIGHT_RED, "left-red", "right-red")
    assert {name: (flag["verdict"], flag["q"], flag["met"]) for name, flag in found.items()} == {
        "left-red": ("ok", "good", True),
        "right-red": ("fault", "good", True),
    }
    assert found["left-red"]["frame_seq"] == found["right-red"]["frame_seq"]
    assert watched.ear.until("alarm/right-red", lambda alarm: alarm["active"])["state"] == "UNACK_ALM"
    assert not watched.ear.until("alarm/left-red", lambda _: True)["active"]
    told = watched.ear.wait("explain/right-red", lambda _: True, timeout_s=30)
    assert told["where"] == "upper right"
    assert told["spot"]["x"] == pytest.approx(0.75, abs=0.1)
    assert told["spot"]["y"] < 0.5
    mark = watched.ear.count()
    report = watched.ear.wait("heartbeat", lambda _: True, since=mark)["cameras"]["cam1"]["regions"]
    assert {name: region["computed"] > 0 for name, region in report.items()} == {"left": True, "right": True}
    meta = watched.ear.wait("meta", lambda _: True)
    assert {channel["id"]: channel["region"] for channel in meta["channels"]} == {
        "left-red": "left",
        "right-red": "right",
    }


def test_a_reload_adds_and_removes_regions(watched: Watched) -> None:
    """What stays goes on with its alarm, what is new is judged, what went is neither judged nor counted; one that cannot be changes nothing."""
    watched.flags(RIGHT_RED, "right-red")
    before = watched.ear.until("alarm/right-red", lambda alarm: alarm["active"])
    refused = watched.reload([RIGHT], [fault("left"), fault("right")])
    assert (refused["ok"], "region 'left' of camera cam1" in refused["detail"]) == (False, True)
    upper = {"id": "upper", "box": [0.5, 0.0, 0.5, 0.5]}
    mark = watched.ear.count()
    assert watched.reload([RIGHT, upper], [fault("right"), fault("upper")])["ok"]
    watched.ear.wait("meta", lambda meta: any(one["region"] == "upper" for one in meta["channels"]), since=mark)
    found = watched.flags(RIGHT_RED, "right-red", "upper-red")
    assert {flag["verdict"] for flag in found.values()} == {"fault"}
    after = watched.ear.until("alarm/right-red", lambda alarm: alarm["active"])
    assert after["occurrence_id"] == before["occurrence_id"]

    def counted() -> set[str]:
        reports = watched.ear.on("heartbeat", mark)
        return set(reports[-1].document()["cameras"]["cam1"]["regions"]) if reports else set()

    wait_for(lambda: counted() == {"right", "upper"}, 10, "the heartbeat counts the new regions")
    moved = {"id": "right", "box": [0.0, 0.0, 0.5, 1.0]}
    assert watched.reload([moved, upper], [fault("right"), fault("upper")])["ok"]
    assert watched.flags(RIGHT_RED, "right-red")["right-red"]["verdict"] == "ok", "the box counts, not the name"
