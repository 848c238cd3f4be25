"""No message escapes the contract: what is built in a test and what passes a test's broker is judged, and a bad message is caught."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from edge.wire.camera import CameraStatus
from edge.wire.envelope import Outgoing
from edge.wire.messages import PUBLISHED, State, schema_name
from edge.wire.topics import IN, OUT, STATE
from tests.stand.brokers import Amqtt, Mosquitto, wait_for
from tests.stand.contract import CONTRACT, Contract, Listener, handling_problem, problem, validators
from tests.stand.daemon import Ear
from tests.stand.plant import Plant

GOOD = State(online=False, ts=None, session="s", ne107="F", version="0").encode()
BAD = GOOD.replace(b"false", b'"no"')
HERE = "edge/v1/n/state"


def test_there_is_a_schema_for_everything_that_is_published() -> None:
    """The files that ship cover all messages, and what `edge-camera` says."""
    published = {schema_name(topic.message) for topic in (*OUT, *IN)}
    assert set(validators()) == published | {schema_name(CameraStatus)}


def changed(**fields: Any) -> bytes:
    """The good message with other fields."""
    return json.dumps(json.loads(GOOD) | fields).encode()


@pytest.mark.parametrize(
    ("topic", "payload", "words"),
    [
        (HERE, BAD, "'no' is not of type 'boolean'"),
        (HERE, changed(ne107="X"), "$.ne107"),
        (HERE, changed(ts="yesterday"), "$.ts"),
        (HERE, changed(mood="fine"), "mood"),
        (HERE, changed(schema="edge.flag/1"), "$.schema"),
        (HERE, b"x", "not JSON"),
        (HERE, b"[]", "not of type 'object'"),
        ("edge/v1/n/flag/crack", GOOD, "edge.flag/1"),
        ("acme/north/hall/edge/v1/n/alarm/crack", b"{}", "edge.alarm/1"),
        ("scada/answers", changed(schema="edge.res/1"), "edge.res/1"),
        ("scada/answers", changed(schema="edge.res/9"), "no schema 'edge.res/9'"),
        ("edge/v1/n/flag/crack", b"", "not JSON"),
        ("edge/v1/n/snapshot/cam", b"{}", "no JPEG or PNG"),
        ("edge/v1/n/snapshot/cam", b"", "no JPEG or PNG"),
        ("edge/v1/n/explain/crack/image", b"\x89PNG\r\n\x1a\n", "no JPEG"),
    ],
)
def test_a_bad_message_is_caught(topic: str, payload: bytes, words: str) -> None:
    """Wrong types, unknown fields, another message's topic, no JSON: each is named with its topic and the place in it."""
    found = problem(topic, payload)
    assert found is not None
    assert found.startswith(topic)
    assert words in found


@pytest.mark.parametrize(
    ("topic", "payload"),
    [(HERE, GOOD), (HERE, b""), ("spBv1.0/g/NDATA/n", b"\x08\x01"), ("edge/v1/n/in/frame/cam", b"\xff\xd8"), ("edge/v1/n/snapshot/cam", b"\xff\xd8\xff\xe0"), ("edge/v1/n/explain/crack/image", b"\xff\xd8\xff\xe0"), ("edge/v1/n/explain/crack/image", b""), ("a/b", b"{}")],
)  # fmt: skip
def test_what_is_good_or_not_ours_passes(topic: str, payload: bytes) -> None:
    """A good message, one that clears what was retained, and what other people say."""
    assert problem(topic, payload) is None


@pytest.mark.not_ours
def test_a_good_message_in_the_wrong_wrapping_is_caught() -> None:
    """QoS and retain are part of the contract."""
    good = STATE.outgoing("edge/v1/n", State.model_validate_json(GOOD))
    assert handling_problem(good) is None
    assert "retain False" in str(handling_problem(Outgoing(good.topic, good.payload, good.qos)))


@pytest.mark.not_ours
def test_whatever_this_process_builds_is_judged() -> None:
    """In any test a message is noted when it is made, without a wire; this very test would fail, were it not marked."""
    Outgoing(HERE, BAD, qos=1, retain=True)
    assert any("'no'" in found for found in CONTRACT.verdict())


@pytest.mark.broker
@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_whatever_passes_a_broker_is_judged(kind: str, request: pytest.FixtureRequest) -> None:
    """A process that is not ours to watch publishes a bad message: a listener on the broker hears it, and the verdict names it."""
    broker: Mosquitto | Amqtt = request.getfixturevalue(kind)
    contract = Contract()
    Listener(broker.port, contract.note)
    ear = Ear(broker.port)
    ear.publish("edge/v1/bench/alarm/crack", BAD)
    ear.close()
    wait_for(contract.verdict, what="the bad message is found")
    wait_for(CONTRACT.verdict, what="the broker's own listener found it too")


@pytest.mark.broker
def test_what_a_broker_passed_just_before_it_was_killed_is_judged(make_mosquitto: Callable[..., Mosquitto]) -> None:
    """The listener takes what had arrived, and a broker that starts again has a new one."""
    broker = make_mosquitto().start()
    for _ in range(2):
        ear = Ear(broker.port)
        ear.publish("edge/v1/bench/event", BAD)
        ear.close()
        time.sleep(0.1)
        broker.kill()
        assert any("edge.event/1" in found for found in CONTRACT.verdict())
        broker.start()


@pytest.mark.broker
def test_a_daemon_of_another_process_is_judged_in_full(plant: Plant) -> None:
    """What the real daemon says reaches the verdict: as many kinds of message as there are."""
    kinds: set[str] = set()
    contract = Contract()

    def note(topic: str, payload: bytes) -> None:
        kinds.add(topic.split("/")[3])
        contract.note(topic, payload)

    Listener(plant.broker.port, note)
    plant.command("rebirth")
    plant.still_works()
    plant.command("inspect", camera="cam1")
    plant.ear.heartbeat()
    wait_for(
        lambda: len(kinds) >= len(PUBLISHED) - 1, what="state, meta, heartbeat, flag, alarm, inspection, event, res"
    )
    assert contract.verdict() == []
    assert contract.judged > 10
