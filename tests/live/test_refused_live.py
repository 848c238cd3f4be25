"""A broker that refuses what the daemon says: the state is the one place where that can be heard, and it says it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge import daemon as daemon_module
from edge.health import monitor as self_monitoring
from edge.plan import site_bundle
from edge.site.settings import Site
from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.bundles import flat_jpeg
from tests.stand.daemon import Ear, Sender, site_document
from tests.stand.plant import ALARM, roomy_bundle

pytestmark = pytest.mark.broker

RED = flat_jpeg(255, 0, 0)
SAID = ("state", "meta", "flag/+", "res/+", "explain/#")
READ = "topic read edge/v1/bench/#\ntopic write edge/v1/bench/in/#\ntopic write edge/v1/bench/cmd/+\n"


def rules(*topics: str) -> str:
    """Access rules for everybody: these topics may be written."""
    return READ + "".join(f"topic write edge/v1/bench/{topic}\n" for topic in topics)


def gaps(ear: Ear) -> set[int]:
    """Numbers of events that were not heard."""
    numbers = {event.document()["seq"] for event in ear.on("event")}
    return set(range(1, max(numbers) + 1)) - numbers


@pytest.fixture
def strict(make_mosquitto: Callable[..., Mosquitto], tmp_path: Path) -> Callable[..., Mosquitto]:
    """Starts a broker whose rules let the daemon say some topics; they lie in ``acl``."""

    def start(*topics: str) -> Mosquitto:
        (tmp_path / "acl").write_text(rules(*topics), encoding="utf-8")
        return make_mosquitto(f"allow_anonymous true\nacl_file {tmp_path / 'acl'}").start()

    return start


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., daemon_module.Daemon]]:
    """Starts the daemon in this process, asking again each second what was refused."""
    monkeypatch.setattr(self_monitoring, "REPUBLISH_NS", 1_000_000_000)
    made: list[daemon_module.Daemon] = []

    def start(port: int, **tables: Any) -> daemon_module.Daemon:
        faults = [{"id": "red", "camera": "cam1", "alarm": ALARM}]
        document = site_document(roomy_bundle(tmp_path / "colours"), port) | {"faults": faults} | tables
        document["cameras"][0]["stale_after_ms"] = 600_000.0
        settings = Site.model_validate(document)
        made.append(daemon_module.Daemon(settings, site_bundle(settings)))
        made[-1].start()
        return made[-1]

    yield start
    for daemon in made:
        daemon.request_stop()
        daemon.stop()


def test_refused_alarms_and_events_are_a_failure_until_they_are_taken(
    strict: Callable[..., Mosquitto],
    run: Callable[..., daemon_module.Daemon],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Alarm and event topics are forbidden: NE 107 F with the topics as reasons; the rules are mended, and everything that was missed is told."""
    broker = strict(*SAID)
    run(broker.port)
    ear, sender = Ear(broker.port), Sender(broker.port)
    state = ear.until("state", lambda state: state["ne107"] == "F" and "refused: event" in state["reasons"])
    assert "refused: alarm/+" in state["reasons"]
    assert "The broker rejects or loses messages or subscriptions of this device" in state["reasons"]
    wait_for(lambda: "the broker refuses alarm/+, event" in caplog.text, what="the log says it too")
    sender.knock(ear, RED)
    assert ear.on("alarm/") == ear.on("event") == []
    (tmp_path / "acl").write_text(rules(*SAID, "alarm/+", "event"), encoding="utf-8")
    broker.signal(signal.SIGHUP)
    assert ear.until("alarm/red", lambda alarm: alarm["active"])
    ear.until("state", lambda state: state["ne107"] == "G" and state["reasons"] == [], timeout_s=20)
    assert ear.until("alarm/node-refused", lambda alarm: alarm["state"] == "RTN_UNACK")
    wait_for(lambda: ear.on("event"), what="events are told")
    wait_for(lambda: not gaps(ear), what="every event was told")
    ear.close()
    sender.close()


def test_a_refused_response_topic_is_no_failure_of_the_node(
    strict: Callable[..., Mosquitto], run: Callable[..., daemon_module.Daemon]
) -> None:
    """Who asks for an answer where the daemon may not write gets none; the node is fine."""
    broker = strict(*SAID, "alarm/+", "event", "heartbeat")
    daemon = run(broker.port)
    ear = Ear(broker.port)
    ear.until("state", lambda state: state["online"])
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # paho leaves this constructor without types
    properties.ResponseTopic = "answers/elsewhere"
    request = {"request_id": "1", "issued_at": ear.last("state")["ts"], "user": "op"}
    client.publish("edge/v1/bench/cmd/rebirth", json.dumps(request), 1, properties=properties).wait_for_publish(5)
    assert ear.wait("event", lambda event: event["what"] == "ok" or event["subject"] == "rebirth")
    wait_for(lambda: daemon._outlet.stats().dropped.get("refused"), what="the answer is refused")
    assert ear.wait("heartbeat", lambda heartbeat: heartbeat["unpublished"], since=ear.count())
    assert ear.last("state")["ne107"] == "G"
    client.disconnect()
    client.loop_stop()
    ear.close()
