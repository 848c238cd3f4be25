"""Learns from the broker in which epoch an earlier start published, so that this start's is higher although the clock was set back.

Of the one alarm that every site has, the broker retains the last message of an earlier start. Its epoch is all that is taken from there: a forged one
can only raise it. Pure; on the network thread only.
"""

from __future__ import annotations

from edge.alarm.catalogue import NODE, Concern, alarm_id
from edge.errors import RejectedInput
from edge.parsing.structure import Bounds, json_within

WITNESS = alarm_id(NODE, Concern.TWIN)
LAST_EPOCH = 2**40  # wall seconds for 34,000 years: more is not plausible
_ALARM = Bounds(size_bytes=16_384, values=500)


class EpochWitness:
    """Compares what the broker keeps with what this start published.

    Args:
        epoch: of this start.
    """

    def __init__(self, epoch: int) -> None:
        self._used = [epoch]
        self._was_up = False

    def link_down(self) -> None:
        """A connection ended: what the broker keeps from now on may be a message of this start."""
        self._was_up = True

    def higher(self, kept: bytes) -> int | None:
        """The epoch to continue with, because of what the broker retained; None: the present one is high enough, or the message was of this start."""
        found = _epoch_of(kept)
        if found is None or found < self._used[-1] or (self._was_up and found in self._used):
            return None
        self._used.append(found + 1)
        return found + 1

    def is_own(self, payload: bytes) -> bool:
        """Whether a message on that topic is one of this start, received back."""
        return _epoch_of(payload) in self._used


def _epoch_of(payload: bytes) -> int | None:
    try:
        document = json_within(payload, _ALARM)
    except RejectedInput:
        return None
    epoch = document.get("epoch") if isinstance(document, dict) else None
    return epoch if type(epoch) is int and 0 <= epoch < LAST_EPOCH else None
