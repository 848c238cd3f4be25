"""A restart behind a spoiled picture: kill -9 while a lens is covered or a camera frozen makes nothing normal and raises nothing anew."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edge.inference.picture_quality import REMEMBERED
from tests.stand.brokers import Mosquitto
from tests.stand.bundles import colour_bundle, room
from tests.stand.daemon import FRAME_TOPIC, PREFIX, Daemon, Ear, Sender, site_document

pytestmark = pytest.mark.broker

ALARM = {"severity": 700, "message": "Red", "operator_action": "Look", "consequence": "Scrap", "off_delay_ms": 1000}
TARGET = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 500.0}
SIZE = {"name": "frame", "width": 96, "height": 96, "resize": "stretch"}


class Camera:
    """A camera at ten frames a second, before a daemon that a test kills."""

    def __init__(self, folder: Path, port: int) -> None:
        colour_bundle(folder / "colours", target=TARGET, input=SIZE)
        site = site_document(folder / "colours", port) | {
            "node": {"id": "bench", "state_dir": str(folder / "state")},
            "cameras": [{"id": "cam1", "picture": {"frozen_after_ms": 500}}],
            "faults": [{"id": "red", "camera": "cam1", "alarm": ALARM}],
        }
        self.ear = Ear(port)
        self.daemon = Daemon(site, folder).start()
        self.sender = Sender(port)
        self.count = 0

    def send(self, seconds: float, *, red: bool = False, covered: bool = False, still: bool = False) -> None:
        """Moments of the room, or one of them again and again."""
        for _ in range(round(seconds * 10)):
            self.count += not still
            self.sender.publish(FRAME_TOPIC, room(self.count, red=red, covered=covered))
            time.sleep(0.1)

    def ack(self, alarm_id: str) -> Any:
        """Acknowledge what stands; the alarm then."""
        alarm = self.ear.until(f"alarm/{alarm_id}", lambda alarm: alarm["state"] == "UNACK_ALM")
        self.command("ack", alarm_id=alarm_id, occurrence_id=alarm["occurrence_id"])
        return self.ear.until(f"alarm/{alarm_id}", lambda alarm: alarm["state"] == "ACK_ALM")

    def command(self, verb: str, **fields: Any) -> None:
        """Any command."""
        body = {"request_id": uuid.uuid4().hex, "issued_at": datetime.now(UTC).isoformat(), "user": "op"} | fields
        self.ear.publish(f"{PREFIX}/cmd/{verb}", json.dumps(body).encode())

    def restart(self) -> int:
        """A power cut; a mark of what came before the new start judged a frame."""
        self.daemon.kill()
        mark = self.ear.count()
        self.daemon.start()
        self.ear.wait("state", lambda state: state["online"], since=mark)
        return mark

    def said(self, alarm_id: str, mark: int) -> set[tuple[str, str | None]]:
        """States and occurrences of an alarm since a mark."""
        return {
            (said["state"], said["occurrence_id"])
            for heard in self.ear.on(f"alarm/{alarm_id}", mark)
            if (said := heard.document())
        }

    def flags(self, mark: int) -> set[tuple[bool | None, str]]:
        """Verdicts on frames since a mark."""
        said = [heard.document() for heard in self.ear.on("flag/red", mark)]
        return {(flag["on"], flag["q"]) for flag in said if flag["frame_seq"]}


@pytest.fixture
def camera(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Camera]:
    """A camera that knows its room, whose part is red, which an operator has seen."""
    camera = Camera(tmp_path, mosquitto.port)
    camera.send(REMEMBERED / 10 + 2)
    camera.ear.until("alarm/cam1-covered", lambda alarm: alarm["quality"] == "good", 15)
    camera.send(0.5, red=True)
    camera.ack("red")
    yield camera
    camera.sender.close()
    camera.daemon.kill()
    camera.ear.close()


def test_a_covered_lens_stays_covered_over_a_restart(camera: Camera) -> None:
    """The fault behind it and the cover itself stand as the same occurrences, and no frame of it is judged; taken away, all is as before."""
    camera.send(0.6, red=True, covered=True)
    cover, red = camera.ack("cam1-covered"), camera.ear.last("alarm/red")
    mark = camera.restart()
    camera.send(REMEMBERED / 10 + 2, covered=True)
    assert camera.said("cam1-covered", mark) == {("ACK_ALM", cover["occurrence_id"])}
    assert camera.said("red", mark) == {("ACK_ALM", red["occurrence_id"])}
    assert camera.flags(mark) == {(None, "bad")}
    state = camera.ear.last("state")
    assert (state["ne107"], state["reasons"]) == ("S", ["Something covers the view of camera cam1"])
    camera.send(2.5)
    assert camera.ear.until("alarm/cam1-covered", lambda alarm: not alarm["active"])["state"] == "NORM"
    assert camera.ear.until("alarm/red", lambda alarm: not alarm["active"])["occurrence_id"] == red["occurrence_id"]


def test_a_frozen_camera_stays_frozen_over_a_restart(camera: Camera) -> None:
    """From its first frame on; another picture ends it."""
    camera.send(1.0, still=True)
    frozen, red = camera.ack("cam1-frozen"), camera.ear.last("alarm/red")
    mark = camera.restart()
    camera.send(1.5, still=True)
    assert camera.said("cam1-frozen", mark) == {("ACK_ALM", frozen["occurrence_id"])}
    assert camera.said("red", mark) == {("ACK_ALM", red["occurrence_id"])}
    assert camera.flags(mark) == {(None, "stale")}
    camera.send(1.5)
    assert camera.ear.until("alarm/cam1-frozen", lambda alarm: not alarm["active"])["state"] == "NORM"


def test_an_operator_says_that_the_new_view_is_meant(camera: Camera) -> None:
    """Out of service and back in: what is seen from then on is learned, also when the daemon was restarted meanwhile."""
    camera.send(0.6, covered=True)
    camera.ack("cam1-covered")
    camera.command("out_of_service", alarm_id="cam1-covered", comment="the camera was turned")
    camera.ear.until("alarm/cam1-covered", lambda alarm: alarm["out_of_service"])
    mark = camera.restart()
    camera.send(1.0, covered=True)
    assert camera.flags(mark) == {(None, "bad")}
    camera.command("in_service", alarm_id="cam1-covered", comment="it shall see this")
    camera.ear.until("alarm/cam1-covered", lambda alarm: alarm["state"] == "UNACK_ALM")
    mark = camera.ear.count()
    camera.send(REMEMBERED / 10 + 2, covered=True)
    assert (False, "good") in camera.flags(mark)
    camera.ear.until("alarm/cam1-covered", lambda alarm: not alarm["active"])
