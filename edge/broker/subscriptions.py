"""The subscriptions of one link: what is wanted, what awaits its SUBACK, and what the broker rejected.

Pure. MQTT 3.1.1 cannot leave out a client's own messages, so `no_local` subscriptions are not made there.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge.wire.envelope import Subscription


class Subscriptions:
    """Belongs to its link.

    Args:
        wanted: asked for first.
        five: whether the link uses MQTT 5.
    """

    def __init__(self, wanted: Sequence[Subscription], *, five: bool) -> None:
        self._five = five
        self.wanted = self._possible(wanted)
        self._asked: dict[int, Sequence[Subscription]] = {}  # by paho's number of the SUBSCRIBE packet
        self._rejected: dict[Subscription, str] = {}  # with the broker's reason
        self.answered = False  #: the first ones are

    def change(self, wanted: Sequence[Subscription]) -> tuple[list[str], list[Subscription]]:
        """Replace what is wanted; returns the topics to unsubscribe from and the subscriptions to ask for."""
        before, self.wanted = self.wanted, self._possible(wanted)
        self._rejected = {item: reason for item, reason in self._rejected.items() if item in self.wanted}
        gone = [item.topic for item in before if item not in self.wanted]
        return gone, [item for item in self.wanted if item not in before]

    def asked(self, number: int, items: Sequence[Subscription]) -> None:
        """A SUBSCRIBE packet of this number asks for these."""
        self._asked[number] = items

    def suback(self, number: int, rejections: Sequence[str | None]) -> None:
        """The broker answered a SUBSCRIBE packet: for each subscription None, or why it is rejected."""
        for item, reason in zip(self._asked.pop(number, ()), rejections, strict=False):
            self._rejected.pop(item, None)
            if reason is not None and item in self.wanted and not item.optional:
                self._rejected[item] = reason
        self.answered = True

    def rejected(self) -> tuple[Subscription, ...]:
        """What the broker rejects now."""
        return tuple(self._rejected)

    def rejected_texts(self) -> tuple[str, ...]:
        """The same with the reasons, for people."""
        return tuple(f"{item.topic} ({reason})" for item, reason in self._rejected.items())

    def _possible(self, wanted: Sequence[Subscription]) -> tuple[Subscription, ...]:
        return tuple(item for item in wanted if self._five or not item.no_local)
