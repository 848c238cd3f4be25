"""From acceptance to acknowledgement: in order, bounded, each message counted once."""

from __future__ import annotations

from edge.broker.limits import BrokerLimits
from edge.broker.send_queue import MAX_BACKLOG, MAX_URGENT, SendQueue
from edge.wire.envelope import Outgoing

LIMITS = BrokerLimits(packet_bytes=1_000, in_flight=2, qos=1, retain=True, remembered=False)


def taken(queue: SendQueue) -> str | None:
    """The topic of the next message that may be sent."""
    following = queue.take(LIMITS)
    return None if following is None else following[1].topic


def test_an_answer_does_not_wait_behind_a_storm() -> None:
    """Somebody waits for it: it goes before what was queued, and still finds room where everything else has none left."""
    queue = SendQueue()
    for number in range(MAX_BACKLOG):
        assert queue.put(Outgoing(f"event/{number}", b"x", 1)) is not None
    assert queue.put(Outgoing("event/more", b"x", 1)) is None
    assert queue.put(Outgoing("res/ack", b"x", 1, urgent=True)) is not None
    assert [taken(queue), taken(queue)] == ["res/ack", "event/0"]
    assert queue.dropped == {"backlog": 1}


def test_urgent_messages_are_bounded_too() -> None:
    """A storm of commands does not fill the memory with answers."""
    queue = SendQueue()
    accepted = [queue.put(Outgoing("res/ack", b"x", 1, urgent=True)) for _ in range(MAX_BACKLOG + MAX_URGENT + 5)]
    assert accepted.count(None) == 5


def test_no_more_are_in_flight_than_the_broker_takes() -> None:
    """The next one waits for an acknowledgement; a message at QoS 0 has none and takes no place."""
    queue = SendQueue()
    for number in range(5):
        queue.put(Outgoing(f"t/{number}", b"x", 1))
    for paho_number in (None, 11, 12):
        following = queue.take(LIMITS)
        assert following is not None
        queue.sent(following[0], following[1].topic, paho_number)
    assert queue.take(LIMITS) is None
    assert queue.answered(11, accepted=True) == (2, "t/1")
    assert queue.answered(12, accepted=False) == (3, "t/2")
    assert queue.answered(12, accepted=True) is None
    assert taken(queue) == "t/3"
    assert (queue.published, queue.acknowledged, dict(queue.dropped)) == (3, 1, {"refused": 1})


def test_a_lost_connection_loses_what_was_not_confirmed_and_repeats_no_id() -> None:
    """Waiting or in flight: a message is published again by whoever kept it."""
    queue = SendQueue()
    first = queue.put(Outgoing("t/0", b"x", 1))
    queue.put(Outgoing("t/1", b"x", 1))
    following = queue.take(LIMITS)
    assert following is not None
    queue.sent(following[0], "t/0", 11)
    assert len(queue) == 2
    assert queue.clear() == 2
    assert queue.clear() == 0
    assert (len(queue), dict(queue.dropped)) == (0, {"lost": 2})
    assert queue.put(Outgoing("t/0", b"x", 1)) not in {first, None}
