"""What a broker does not take is learned once, told, and not asked for again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.broker.limits import Allowed
from edge.wire.envelope import Outgoing
from tests.stand.brokers import Mosquitto
from tests.stand.bundles import colour_bundle, flat_jpeg
from tests.stand.daemon import FRAME_TOPIC, PREFIX, Daemon, Ear, Sender, site_document

ALARM = {"severity": 700, "message": "Red", "operator_action": "Look", "consequence": "Scrap"}
TARGET = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 5000.0}


@pytest.mark.parametrize(
    ("reason", "left"),
    [
        ("Retain not supported", Allowed(1, retain=False)),
        ("QoS not supported", Allowed(0, retain=True)),
        ("Not authorized", Allowed()),
    ],
)
def test_a_refusal_says_what_is_not_taken(reason: str, left: Allowed) -> None:
    """The will of the next connection asks for no more, and people are told."""
    assert Allowed().after_refusal(reason) == left
    shaped = left.shaped(Outgoing("p/state", b"x", 1, retain=True))
    assert (shaped.qos, shaped.retain) == (left.qos, left.retain)
    assert bool(left.lacks()) == (left != Allowed())


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.parametrize(
    ("protocol", "option", "says"),
    [
        ("auto", "retain_available false", "refused: retained messages"),
        ("5", "retain_available false", "refused: retained messages"),
        ("3.1.1", "retain_available false", "refused: retained messages"),
        ("auto", "max_qos 0", "refused: QoS 1"),  # 3.1.1 has no word for it: Mosquitto takes it as QoS 0
        ("auto", "max_packet_size 2000", "refused: meta of "),
        ("3.1.1", "max_packet_size 2000", "refused: meta of "),
        ("auto", "message_size_limit 2000", "refused: meta of "),  # likewise: acknowledged and dropped
    ],
)  # `auto` is 5 with this broker
def test_a_broker_that_bears_less_gets_what_it_bears(
    make_mosquitto: Callable[..., Mosquitto], tmp_path: Path, protocol: str, option: str, says: str
) -> None:
    """Flags, alarms, events and answers come; the state says what does not."""
    broker = make_mosquitto(f"allow_anonymous true\n{option}").start()
    colour_bundle(tmp_path / "colours", target=TARGET)
    document = site_document(tmp_path / "colours", broker.port) | {
        "broker": {"port": broker.port, "protocol": protocol},
        "cameras": [{"id": "cam1"}],
        "faults": [{"id": "red", "camera": "cam1", "alarm": ALARM}],
    }
    ear = Ear(broker.port)
    daemon = Daemon(document, tmp_path).start()
    sender = Sender(broker.port)
    try:
        ear.wait("state", lambda state: any(reason.startswith(says) for reason in state["reasons"]), timeout_s=30.0)
        for _ in range(100):  # at QoS 0 what comes before the subscription is lost
            sender.publish(FRAME_TOPIC, flat_jpeg(255, 0, 0))
            time.sleep(0.2)
            alarm = ear.last("alarm/red")
            if alarm is not None and alarm["state"] == "UNACK_ALM":
                break
        ear.wait("flag/red", lambda flag: flag["verdict"] == "fault")
        ear.wait("alarm/red", lambda alarm: alarm["state"] == "UNACK_ALM")
        ear.wait("event", lambda event: event["subject"] == "red")
        ear.publish(f"{PREFIX}/cmd/rebirth", b'{"request_id": "r1"}', qos=0)
        assert ear.wait("res/rebirth", lambda _: True)["code"] == "bad_request"
        assert says.removeprefix("refused: ") in daemon.log()
    finally:
        daemon.stop()
        sender.close()
        ear.close()
