"""A client that deletes or overwrites retained topics of this node is reported, and they are published again soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.broker.overwritten import AGAIN_NS, OverwrittenTopics
from edge.broker.refusal import FORGET_NS
from tests.stand.brokers import Mosquitto
from tests.stand.daemon import PREFIX, Daemon, Ear, sensors_only_document, wait_for

ALARM = {"severity": 700, "message": "Loose", "operator_action": "Stop", "consequence": "Scrap"}


def test_a_loop_of_deletions_makes_no_storm() -> None:
    """All is published again at once, and then every ten seconds at most; what happened is reported for five minutes."""
    topics = OverwrittenTopics("p")
    assert [topics.note("p/alarm/red", b"", ns) for ns in (0, 1, AGAIN_NS - 1, AGAIN_NS)] == [True, False, False, True]
    topics.note("p/meta", b"{}", AGAIN_NS)
    reported = ("alarm/+ was deleted by another client", "meta was overwritten by another client")
    assert topics.denied(AGAIN_NS).limits == reported
    assert topics.denied(AGAIN_NS + FORGET_NS + 1).limits == ()


@pytest.mark.slow
@pytest.mark.broker
@pytest.mark.not_ours
@pytest.mark.parametrize("topic", ["alarm/loose", "state", "meta"])
def test_what_was_deleted_in_the_broker_comes_back(topic: str, mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Whoever comes later finds it, and the state says what happened."""
    document = sensors_only_document(tmp_path, mosquitto.port, ALARM)
    ear = Ear(mosquitto.port)
    daemon = Daemon(document, tmp_path).start()
    try:
        ear.wait("meta", lambda _: True)
        ear.wait("alarm/loose", lambda _: True)
        ear.publish(f"{PREFIX}/{topic}", b"", retain=True)
        kind = topic.replace("loose", "+")
        reason = f"refused: {kind} was deleted by another client".encode()
        wait_for(lambda: any(reason in heard.payload for heard in ear.on("state")), 10, "the state reports it")
        late = Ear(mosquitto.port)
        assert late.wait(topic, lambda _: True)
        late.close()
    finally:
        daemon.stop()
        ear.close()
