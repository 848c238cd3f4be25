"""A topic has its share of each second, and another's is its own."""

from __future__ import annotations

import pytest

from edge.intake.share import REFUSED_WEIGHT, SHARE_NS, Shares
from edge.units import NS_PER_S


def test_a_share_is_used_up_within_its_second_only() -> None:
    """The next second begins anew, whatever the last one cost."""
    shares = Shares()
    assert not shares.used_up("a", 0)
    shares.spend("a", 0, SHARE_NS - 1, refused=False)
    assert not shares.used_up("a", NS_PER_S - 1)
    shares.spend("a", NS_PER_S - 1, 1, refused=False)
    assert shares.used_up("a", NS_PER_S - 1)
    assert not shares.used_up("a", NS_PER_S)
    shares.spend("a", NS_PER_S, SHARE_NS // 2, refused=False)
    assert not shares.used_up("a", NS_PER_S)


@pytest.mark.parametrize(("refused", "messages"), [(False, 8), (True, 8 // REFUSED_WEIGHT)])
def test_what_is_refused_costs_more(refused: bool, messages: int) -> None:  # noqa: FBT001 - a case
    """So a flood of bad messages is over sooner than a busy camera."""
    shares = Shares()
    taken = 0
    while not shares.used_up("a", 5):
        shares.spend("a", 5, SHARE_NS // 8, refused=refused)
        taken += 1
    assert taken == messages


def test_topics_do_not_pay_for_each_other() -> None:
    """A hostile neighbour takes nothing of a good camera's share."""
    shares = Shares()
    shares.spend("hostile", 0, 100 * SHARE_NS, refused=True)
    assert shares.used_up("hostile", 1)
    assert not shares.used_up("good", 1)
