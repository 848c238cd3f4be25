"""What the next link to a broker asks for, learned from how the last one ended: MQTT version, QoS and retained messages.

Pure. A will is part of CONNECT, before a broker has answered, so what one link learned shapes the will of the next.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edge.broker.limits import Allowed, BrokerLimits
from edge.broker.reasons import WRONG_VERSION

_VERSIONS = {"auto": ("5", "3.1.1"), "5": ("5",), "3.1.1": ("3.1.1",)}
#: What to try, one after another, where a broker gives no reason (MQTT 3.1.1 has no field for it) and just closes the connection.
GUESSES = (Allowed(), Allowed(), Allowed(), Allowed(retain=False), Allowed(qos=0, retain=False))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a link has shown of its broker so far.

    Args:
        answered: the broker sent a CONNACK.
        refusal: why that rejected the client; None: it did not.
        end: why the broker or the network ended the link; None: it did not, or TCP never connected.
        proved_5: a probe was accepted, so the broker supports MQTT 5.
        allowed: the most that the broker takes, as far as it reported.
    """

    answered: bool = False
    refusal: str | None = None
    end: str | None = None
    proved_5: bool = False
    allowed: Allowed = field(default_factory=Allowed)


class Negotiation:
    """What is known of one broker's protocol. The network thread's own; others may read `allowed`, which is replaced whole.

    Args:
        protocol: ``auto``, ``5`` or ``3.1.1``, as in the settings.
    """

    def __init__(self, protocol: str) -> None:
        self._versions = _VERSIONS[protocol]
        self._proved_5 = protocol == "5"  # auto asks first, see Link
        self._silent_closes = 0  # in a row
        self.version = self._versions[0]  #: for the next link
        self.allowed = Allowed()  #: the most that the next link's will may ask for

    @property
    def probe(self) -> bool:
        """Whether the next link only finds out if the broker supports MQTT 5."""
        return self.version == "5" and not self._proved_5

    def accepted(self, limits: BrokerLimits) -> None:
        """The broker accepted a link with these limits."""
        self.allowed = Allowed(limits.qos, limits.retain)

    def ended(self, outcome: Outcome | None) -> bool:
        """Learn from a link that ended; None: none could be made.

        Returns:
            whether to connect again at once, because the next link asks for something that the broker has not just refused.
        """
        if outcome is None:
            self.version = self._versions[0]
            return False
        asks_less = self._learn_allowed(outcome)
        if outcome.proved_5:
            self._proved_5 = True
            return True
        return self._change_version(outcome) or asks_less

    def _learn_allowed(self, outcome: Outcome) -> bool:
        """Keep what the broker takes; returns whether it refused the link for asking more."""
        before = self.allowed
        self._silent_closes = 0 if outcome.answered or outcome.end is None else self._silent_closes + 1
        guessed = self.version == "3.1.1" and not outcome.answered
        self.allowed = GUESSES[self._silent_closes % len(GUESSES)] if guessed else outcome.allowed
        return outcome.refusal is not None and outcome.allowed != before

    def _change_version(self, outcome: Outcome) -> bool:
        """Choose the next link's version; returns whether it is MQTT 3.1.1 after a failure of 5.

        A clear refusal decides for this process. A broker that merely closed the connection gets one attempt with 3.1.1 and then 5 again,
        so that a broker in trouble does not cost the features of MQTT 5.
        """
        if self.version == "3.1.1":
            self.version = self._versions[0]
            return False
        if "3.1.1" not in self._versions or self._proved_5 or outcome.end is None:
            return False  # not allowed, not needed, or the broker was never reached
        if outcome.answered and WRONG_VERSION not in outcome.end:
            return False  # refused for another reason
        if outcome.answered:
            self._versions = ("3.1.1",)
        self.version = "3.1.1"
        return True
