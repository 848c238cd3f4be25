"""Limits the processor time that one topic's messages may take in a second; past it they are rejected unread.

Every message is bounded, but a flood of the worst ones is not: without a share it would take the interpreter from the thread that judges. Pure: the
time and the cost are arguments.
"""

from __future__ import annotations

from edge.units import NS_PER_S

SHARE_NS = 200_000_000  # of processor time in a second: a 4K camera that sends base64 in JSON takes half of it
REFUSED_WEIGHT = 4  # what is refused costs as much as what is taken, and is good for nothing


class Shares:
    """What each topic, or each camera, has cost in its current second.

    Args:
        share_ns: what one may cost in a second, ns.
    """

    def __init__(self, share_ns: int = SHARE_NS) -> None:
        self._share_ns = share_ns
        self._spent: dict[str, tuple[int, int]] = {}  # by topic: the second, and the cost in it, ns

    def used_up(self, topic: str, now_ns: int) -> bool:
        """Whether this topic has had its share of the second that ``now_ns`` is in."""
        second, cost_ns = self._spent.get(topic, (0, 0))
        return second == now_ns // NS_PER_S and cost_ns >= self._share_ns

    def spend(self, topic: str, now_ns: int, cost_ns: int, *, refused: bool) -> None:
        """Note what reading one message cost; ``topic`` is one of the site's, so their number is bounded."""
        second, before_ns = self._spent.get(topic, (0, 0))
        this = now_ns // NS_PER_S
        before_ns = before_ns if second == this else 0
        self._spent[topic] = this, before_ns + cost_ns * (REFUSED_WEIGHT if refused else 1)
