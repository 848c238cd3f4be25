"""Limits the processor time that one topic's messages may take in a second; past it they are rejected unread.

Every message is bounded, but a flood of the worst ones is not: without a share it would take the interpreter from the thread that judges. Pure: the
time and the cost are arguments.
"""

from __future__ import annotations

from edge.units import NS_PER_MS, NS_PER_S

SHARE_NS = 200_000_000  # of processor time in a second: a 4K camera that sends base64 in JSON takes half of it
REFUSED_WEIGHT = 4  # what is refused costs as much as what is taken, and is good for nothing
LONG_NS = 2 * NS_PER_MS
LONG_REFUSED_WEIGHT = 16  # and a long one holds up everybody behind it


class Shares:
    """What each topic, or each camera, has cost and not yet paid off.

    A debt is paid off by `share_ns` a second, all the time: a share that began anew with each second would let a flood come at its start, all at once.

    Args:
        share_ns: what one may cost in a second, ns.
        long_weight: what a long one counts that is refused.
    """

    def __init__(self, share_ns: int = SHARE_NS, long_weight: int = LONG_REFUSED_WEIGHT) -> None:
        self._share_ns = share_ns
        self._long_weight = long_weight
        self._debts: dict[str, tuple[int, int]] = {}  # by topic: when it was noted, and the debt, ns

    def used_up(self, topic: str, now_ns: int) -> bool:
        """Whether this topic owes a second's share or more."""
        return self._owed_ns(topic, now_ns) >= self._share_ns

    def spend(self, topic: str, now_ns: int, cost_ns: int, *, refused: bool) -> None:
        """Note what reading one message cost; ``topic`` is one of the site's, so their number is bounded."""
        weight = 1 if not refused else REFUSED_WEIGHT if cost_ns < LONG_NS else self._long_weight
        self._debts[topic] = now_ns, self._owed_ns(topic, now_ns) + cost_ns * weight

    def _owed_ns(self, topic: str, now_ns: int) -> int:
        then_ns, debt_ns = self._debts.get(topic, (now_ns, 0))
        return max(0, debt_ns - self._share_ns * (now_ns - then_ns) // NS_PER_S)
