"""What the threads of a connection share: consistent whoever asks, and never forgotten by a lost link without being counted."""

from __future__ import annotations

import threading

from edge.broker.connection_state import ConnectionState, Lost
from edge.broker.limits import Allowed, BrokerLimits
from edge.broker.refusal import Denied
from edge.wire.envelope import Incoming, Outgoing

LIMITS = BrokerLimits(packet_bytes=100, in_flight=2, qos=1, retain=True, remembered=False)


def up() -> ConnectionState:
    """Connected to a broker that takes 100 bytes."""
    state = ConnectionState()
    state.went_up(LIMITS, 0)
    return state


def test_each_message_that_is_not_queued_is_counted_with_its_reason() -> None:
    """Offline or longer than the broker takes: its user goes on, and the heartbeat says so."""
    state = ConnectionState()
    assert state.accept(Outgoing("t", b"x", 1), 0) is None
    state.went_up(LIMITS, 0)
    assert state.accept(Outgoing("t", bytes(200), 1), 0) is None
    assert state.accept(Outgoing("t", b"x", 1), 0) is not None
    assert state.stats("5").dropped == {"offline": 1, "too_large": 1}
    assert state.pending() == 1


def test_a_topic_that_is_too_long_is_named_until_a_shorter_message_comes() -> None:
    """With its size and the broker's limit."""
    state = up()
    state.accept(Outgoing("p/meta", bytes(200), 1), 0)
    [(topic, size, limit)] = state.denied(0, Allowed()).oversize
    assert (topic, limit) == ("p/meta", 100)
    assert size > 200
    state.accept(Outgoing("p/meta", b"x", 1), 0)
    assert state.denied(0, Allowed()) == Denied()


def test_nothing_is_sent_before_the_broker_accepted_or_after_the_link_is_lost() -> None:
    """What was queued for the lost link is counted, not sent late."""
    state = ConnectionState()
    assert state.following() is None
    state.went_up(LIMITS, 0)
    state.accept(Outgoing("t", b"x", 1), 0)
    assert state.went_down("gone") == Lost(was_up=True, messages=1, changed=True)
    assert state.following() is None
    assert state.went_down("gone") == Lost(was_up=False, messages=0, changed=False)
    stats = state.stats("5")
    assert (stats.connected, stats.protocol, stats.refused, stats.disconnects) == (False, None, "gone", 1)
    assert stats.dropped == {"lost": 1}


def test_the_first_rejected_message_is_marked_and_its_topic_remembered() -> None:
    """It is logged once; the topic counts as refused until the broker takes a message on it."""
    state = up()
    firsts = []
    for number in range(2):
        state.accept(Outgoing("p/event", b"x", 1), 0)
        following = state.following()
        assert following is not None
        state.sent(following[0], following[1].topic, number)
        answered = state.answered(number, 0, accepted=False)
        assert answered is not None
        firsts.append(answered.first)
    assert firsts == [True, False]
    assert state.denied(0, Allowed()).topics == ("p/event",)
    assert state.answered(99, 0, accepted=True) is None


def test_news_of_subscriptions_is_told_once() -> None:
    """The same rejection after each attempt is no news; that it is granted is told to those who ask."""
    state = up()
    assert state.subscriptions_answered(("a (no)",)) == "the broker refused the subscription to a (no)"
    assert state.subscriptions_answered(("a (no)",)) is None
    assert state.denied(0, Allowed()).subscriptions == ("a (no)",)
    assert state.subscriptions_answered(()) is None
    assert state.stats("5").refused is None


def test_what_comes_in_is_counted_whether_or_not_it_can_be_handed_over() -> None:
    """A giant that is cut off was never received as a whole."""
    state = up()
    state.received(Incoming("t", b"abc", retained=False, received_ns=7, received_wall_ns=0))
    assert state.rejected("incoming_bad_topic")
    assert not state.rejected("incoming_bad_topic")
    state.rejected("incoming_too_large", read=False)
    stats = state.stats("5")
    assert (stats.received, stats.received_bytes, stats.last_message_ns) == (3, 3, 7)
    assert stats.dropped == {"incoming_bad_topic": 2, "incoming_too_large": 1}


def test_the_counters_can_be_copied_while_they_grow() -> None:
    """A new reason for a loss appears in the middle of a heartbeat's copy: every thread counts under the lock."""
    state = up()
    with state._lock:
        threads = [
            threading.Thread(target=state.callback_failed),
            threading.Thread(target=state.rejected, args=("incoming_bad_topic",)),
            threading.Thread(target=state.stats, args=("5",)),
        ]
        for thread in threads:
            thread.start()
            thread.join(0.05)
        assert all(thread.is_alive() for thread in threads), "they wait for the lock"
    for thread in threads:
        thread.join(5)
    assert state.stats("5").callback_errors == 1
