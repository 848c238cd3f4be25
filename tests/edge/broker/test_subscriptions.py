"""What a link subscribes to, and what the broker rejects of it."""

from __future__ import annotations

from edge.broker.subscriptions import Subscriptions
from edge.wire.envelope import Subscription

A, B, C = Subscription("a", 1), Subscription("b", 1), Subscription("c", 1)
OTHERS = Subscription("own/alarm/+", 1, no_local=True, optional=True)


def test_a_change_asks_only_for_what_is_new() -> None:
    """What stays is not interrupted."""
    subscriptions = Subscriptions([A, B], five=True)
    assert subscriptions.change([B, C]) == (["a"], [C])
    assert subscriptions.wanted == (B, C)


def test_each_rejection_is_known_until_it_is_granted() -> None:
    """By the broker's answers, which come in any order; one of an unknown number says nothing."""
    subscriptions = Subscriptions([A, B], five=True)
    subscriptions.asked(1, [A])
    subscriptions.asked(2, [B])
    before = subscriptions.answered
    subscriptions.suback(2, ["Not authorized"])
    subscriptions.suback(1, [None])
    subscriptions.suback(7, ["Not authorized"])
    assert (before, subscriptions.answered) == (False, True)
    assert subscriptions.rejected() == (B,)
    assert subscriptions.rejected_texts() == ("b (Not authorized)",)
    subscriptions.asked(3, subscriptions.rejected())
    subscriptions.suback(3, [None])
    assert subscriptions.rejected() == ()


def test_what_is_wanted_no_more_is_not_rejected_any_more() -> None:
    """Not even by an answer that comes after the change."""
    subscriptions = Subscriptions([A, B], five=True)
    subscriptions.asked(1, [A, B])
    subscriptions.change([B])
    subscriptions.suback(1, ["Not authorized", "Not authorized"])
    assert subscriptions.rejected() == (B,)
    subscriptions.change([C])
    assert subscriptions.rejected() == ()


def test_the_own_topics_are_watched_on_mqtt_5_only_and_nothing_is_wrong_without() -> None:
    """MQTT 3.1.1 would send a client its own messages back."""
    assert Subscriptions([A, OTHERS], five=False).wanted == (A,)
    assert Subscriptions([A], five=False).change([OTHERS, A, B]) == ([], [B])
    subscriptions = Subscriptions([A, OTHERS], five=True)
    subscriptions.asked(1, subscriptions.wanted)
    subscriptions.suback(1, [None, "Not authorized"])
    assert subscriptions.rejected() == ()
