"""A topic has its share of each second, and another's is its own."""

from __future__ import annotations

import pytest

from edge.intake.share import LONG_NS, LONG_REFUSED_WEIGHT, REFUSED_WEIGHT, SHARE_NS, Shares
from edge.units import NS_PER_S


def test_a_share_is_paid_off_all_the_time() -> None:
    """Not at the start of each second, when a flood would come all at once."""
    shares = Shares()
    assert not shares.used_up("a", 0)
    shares.spend("a", 0, SHARE_NS - 1, refused=False)
    assert not shares.used_up("a", 0)
    shares.spend("a", 0, 1, refused=False)
    assert shares.used_up("a", 0)
    assert not shares.used_up("a", NS_PER_S // 4)
    shares.spend("a", NS_PER_S // 4, SHARE_NS // 2, refused=False)
    assert shares.used_up("a", NS_PER_S // 4)
    assert shares.used_up("a", NS_PER_S // 2 - 1)
    assert not shares.used_up("a", NS_PER_S)


def test_a_message_dearer_than_the_share_is_paid_off_later() -> None:
    """So the dearest of all comes no more often than its cost allows."""
    shares = Shares()
    shares.spend("a", 0, 3 * SHARE_NS, refused=False)
    assert shares.used_up("a", 2 * NS_PER_S)
    assert not shares.used_up("a", 2 * NS_PER_S + NS_PER_S // 100)


@pytest.mark.parametrize(
    ("cost_ns", "refused", "messages"),
    [
        (LONG_NS - 1, False, 101),
        (LONG_NS - 1, True, 101 // REFUSED_WEIGHT + 1),
        (LONG_NS, True, 100 // LONG_REFUSED_WEIGHT + 1),
    ],
)
def test_what_is_refused_costs_more_and_a_long_one_most(cost_ns: int, refused: bool, messages: int) -> None:  # noqa: FBT001 - a case
    """So a flood of bad messages is over sooner than a busy camera."""
    shares = Shares()
    taken = 0
    while not shares.used_up("a", 5):
        shares.spend("a", 5, cost_ns, refused=refused)
        taken += 1
    assert taken == messages


def test_topics_do_not_pay_for_each_other() -> None:
    """A hostile neighbour takes nothing of a good camera's share."""
    shares = Shares()
    shares.spend("hostile", 0, 100 * SHARE_NS, refused=True)
    assert shares.used_up("hostile", 1)
    assert not shares.used_up("good", 1)
