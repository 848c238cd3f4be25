"""A storm of alarms on a device whose disk stalls at each write for longer than an alarm is held back: the daemon lives, and every event is told."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from edge import daemon as daemon_module
from edge.plan import site_bundle
from edge.publish.store import Store
from edge.site.settings import Site
from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.daemon import PREFIX, Ear, site_document
from tests.stand.plant import ALARM, roomy_bundle

pytestmark = pytest.mark.broker

SENSORS = 200
STALL_S = 1.15  # just longer than an alarm is held back: the disk answers while the inference thread tells what it held


class StallingStore(Store):
    """A real journal file on a disk that takes its time for each write, as an SD card does for a flush."""

    stalls = True

    def write(self, *arguments: Any, **named: Any) -> None:
        """Wait, then write."""
        if StallingStore.stalls:
            time.sleep(STALL_S)
        super().write(*arguments, **named)


def site(folder: Path, port: int) -> Site:
    """Many sensors on one topic, each with an alarm."""
    names = [f"t{number}" for number in range(SENSORS)]
    document = site_document(roomy_bundle(folder / "colours"), port) | {
        "node": {"id": "bench", "state_dir": str(folder / "state")},
        "sensors": [
            {"id": name, "topic": "gateway", "pointer": f"/{name}", "stale_after_ms": 60_000} for name in names
        ],
        "rules": [{"id": f"{name}-high", "sensor": name, "kind": "above", "limit": 80.0} for name in names],
        "faults": [{"id": f"{name}-hot", "rules": [f"{name}-high"], "alarm": ALARM} for name in names],
    }
    return Site.model_validate(document)


@pytest.mark.alone
def test_hundreds_of_flipping_alarms_on_a_disk_that_stalls_end_nothing(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All threads live, nothing failed inside, no event is missing, and each alarm's last condition is the true one."""
    monkeypatch.setattr("edge.publish.disk.Store", StallingStore)
    monkeypatch.setattr(StallingStore, "stalls", False)
    settings = site(tmp_path, mosquitto.port)
    daemon = daemon_module.Daemon(settings, site_bundle(settings))
    daemon.start()
    ear = Ear(mosquitto.port, ("alarm/+", "event", "heartbeat"))
    try:
        wait_for(lambda: daemon._outlet.connected and daemon._ingest.connected, what="both connections are up")
        monkeypatch.setattr(StallingStore, "stalls", True)
        for flip in range(9):
            value = 20.0 if flip % 2 else 99.0
            ear.publish("gateway", json.dumps({f"t{number}": value for number in range(SENSORS)}).encode())
            time.sleep(0.8)
            assert daemon._failure is None, f"{flip}"
        monkeypatch.setattr(StallingStore, "stalls", False)
        expected = {f"{PREFIX}/alarm/t{number}-hot" for number in range(SENSORS)}

        def raised() -> set[str]:
            return {topic for topic, alarm in ear.newest("alarm/").items() if topic in expected and alarm["active"]}

        wait_for(lambda: raised() == expected, 90, "each alarm's last condition is told")

        def numbers() -> set[int]:
            time.sleep(0.5)  # to read thousands of events takes time that the daemon, in this process, needs
            return {item.document()["seq"] for item in ear.on("event")}

        wait_for(
            lambda: len(found := numbers()) > SENSORS and found == set(range(1, max(found) + 1)),
            40,
            "no event is missing",
        )
        assert ear.heartbeat()["internal_errors"] == {}
        daemon.wait(0.1)
        assert daemon.alive()
    finally:
        ear.close()
        daemon.request_stop()
        daemon.stop()


def test_rounds_of_the_inference_thread_that_fail_are_an_alarm_and_feed_no_watchdog(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While every round fails the daemon does not call itself alive; when they work again it says what happened, and judges."""
    settings = Site.model_validate(site_document(roomy_bundle(tmp_path / "colours"), mosquitto.port))
    daemon = daemon_module.Daemon(settings, site_bundle(settings))
    daemon.start()
    ear = Ear(mosquitto.port)
    try:
        ear.until("state", lambda state: state["online"] and state["ne107"] == "G")
        with monkeypatch.context() as broken:
            broken.setattr(daemon._slots, "take", lambda _wait_s: 1 // 0)
            wait_for(lambda: daemon._errors.counts().get("inference", 0) >= 3, what="rounds fail, with a pause between")
            turned_ns = daemon._turned_ns
            wait_for(lambda: daemon._errors.counts()["inference"] >= 6, what="and go on failing")
            assert daemon._turned_ns == turned_ns
        assert ear.until("alarm/node-internal", lambda alarm: alarm["active"])
        state = ear.until("state", lambda state: state["ne107"] == "F")
        assert "internal error: inference" in state["reasons"]
        daemon.wait(0.1)
    finally:
        ear.close()
        daemon.request_stop()
        daemon.stop()
