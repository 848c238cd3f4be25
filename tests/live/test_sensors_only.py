"""A site without cameras starts without a bundle, however busy the machine is, and does all that sensors can ask for."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.stand.brokers import Mosquitto
from tests.stand.daemon import PREFIX, Daemon, Ear, sensors_only_document

pytestmark = pytest.mark.broker

ALARM = {"severity": 700, "message": "Loose", "operator_action": "Stop", "consequence": "Scrap"}


def test_a_sensor_raises_its_alarm_without_any_bundle(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Flag, alarm, acknowledgement and explanation work; state and meta name no model; a bundle cannot be tried."""
    document = sensors_only_document(tmp_path, mosquitto.port, ALARM)
    ear = Ear(mosquitto.port)
    daemon = Daemon(document, tmp_path).start()
    try:
        assert ear.wait("state", lambda state: state["online"])["model"] is None
        assert ear.wait("meta", lambda _: True)["model"] is None
        ear.publish(f"{PREFIX}/in/sensor/vibration", b"9.5")
        raised = ear.wait("alarm/loose", lambda alarm: alarm["state"] == "UNACK_ALM")
        assert raised["source"]["model"] is None
        stamp = {"issued_at": datetime.now(UTC).isoformat(), "user": "op"}
        ask = stamp | {"request_id": uuid.uuid4().hex, "alarm_id": "loose", "occurrence_id": raised["occurrence_id"]}
        ear.publish(f"{PREFIX}/cmd/ack", json.dumps(ask).encode())
        assert ear.wait("res/ack", lambda _: True)["code"] == "ok"
        assert "loose" in ear.wait("explain/loose", lambda _: True)["id"]
        ear.publish(f"{PREFIX}/cmd/reload", json.dumps(stamp | {"request_id": "r1", "bundle": "other"}).encode())
        refusal = ear.wait("res/reload", lambda reply: reply["code"] == "not_allowed")
        assert "no camera" in refusal["detail"]
        ear.publish(f"{PREFIX}/cmd/reload", json.dumps(stamp | {"request_id": "r2"}).encode())
        assert ear.wait("res/reload", lambda reply: reply["request_id"] == "r2")["code"] == "ok"
    finally:
        assert daemon.stop() == 0
        ear.close()
