"""A plant for tests of the whole path: the real daemon on a small real bundle, behind a real broker, with hands and ears on it."""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.stand.brokers import Mosquitto
from tests.stand.bundles import colour_bundle, flat_jpeg
from tests.stand.daemon import PREFIX, STILLS, Daemon, Ear, Sender, site_document

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
        {"id": "cam1", "max_bytes": 2_000_000, "picture": STILLS},
        {"id": "cam2", "stale_after_ms": 700, "picture": STILLS},
        {"id": "cam3", "budget_ms": 8.0, "max_bytes": 20_000_000, "max_pixels": 16_000_000, "picture": STILLS},
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


@dataclass(frozen=True)
class Plant:
    """Broker, daemon, and what tests do to them; it lives through many tests, so what one does must not hurt the next."""

    broker: Mosquitto
    daemon: Daemon
    ear: Ear
    sender: Sender

    def send(self, frame: bytes, camera: str = "cam1") -> None:
        """One frame of a camera."""
        self.sender.publish(f"{PREFIX}/in/frame/{camera}", frame)

    def sense(self, sensor: str, payload: bytes) -> None:
        """One message of a sensor."""
        self.sender.publish(f"{PREFIX}/in/sensor/{sensor}", payload)

    def command(self, verb: str, **fields: Any) -> Any:
        """Send a command and return its reply."""
        request = {
            "schema": "edge.cmd/1",
            "request_id": uuid.uuid4().hex,
            "issued_at": datetime.now(UTC).isoformat(),
            "user": "operator",
        } | fields
        mark = self.ear.count()
        self.ear.publish(f"{PREFIX}/cmd/{verb}", json.dumps(request).encode())
        return self.ear.wait(f"res/{verb}", lambda reply: reply["request_id"] == request["request_id"], since=mark)

    def ledger(self, camera: str = "cam1") -> Any:
        """The camera's ledger now."""
        return self.ear.heartbeat()["cameras"][camera]

    def still_works(self) -> None:
        """A red frame is flagged in time, and a green one clears it."""
        for frame, on in ((RED, True), (GREEN, False)):
            mark = self.ear.count()  # the flag of an earlier frame may still be on its way
            self.send(frame)
            assert self._flag(on=on, since=mark)["met"]

    def _flag(self, *, on: bool, since: int) -> Any:
        return self.ear.wait("flag/red", lambda flag: flag["frame_seq"] and flag["on"] is on, since=since)


def roomy_bundle(folder: Path) -> Path:
    """The colour bundle, with a budget that a busy test machine keeps."""
    target = {"board": "x86-64-avx2", "arch": os.uname().machine, "isa_required": [], "memory_mib": 64}
    colour_bundle(folder, target=target | {"budget_ms": 500.0})
    return folder


def build_plant(folder: Path) -> Plant:
    """Start everything and wait until frames are judged."""
    bundle = roomy_bundle(folder / "colours")
    broker = Mosquitto(folder).start()
    ear = Ear(broker.port)
    daemon = Daemon(site_document(bundle, broker.port) | SITE, folder).start()
    sender = Sender(broker.port)
    sender.knock(ear, GREY)
    return Plant(broker, daemon, ear, sender)


def close_plant(plant: Plant) -> None:
    """Stop everything."""
    plant.sender.close()
    plant.daemon.stop()
    plant.ear.close()
    plant.broker.kill()


def counted(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What a table of counters gained."""
    return {reason: count - before.get(reason, 0) for reason, count in after.items() if count != before.get(reason, 0)}


def adds_up(camera: Any) -> bool:
    """Whether every frame of a camera's ledger became a verdict or a counted drop."""
    return bool(camera["received"] == camera["verdicts"] + sum(camera["dropped"].values()))
