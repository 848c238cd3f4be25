"""Which version of MQTT the next link speaks, and what its will asks for, learned from how the last one ended."""

from __future__ import annotations

import pytest

from edge.broker.limits import Allowed, BrokerLimits
from edge.broker.negotiation import GUESSES, Negotiation, Outcome

CLOSED = Outcome(end="the broker closed the connection without an answer")
UNREACHABLE = Outcome()
WRONG = Outcome(True, "Unsupported protocol version", "the broker refused us: Unsupported protocol version")  # noqa: FBT003 - answered
BUSY = Outcome(True, "Server busy", "the broker refused us: Server busy")  # noqa: FBT003 - answered
PROVED = Outcome(answered=True, proved_5=True)


def test_auto_probes_for_mqtt_5_before_it_connects() -> None:
    """The probe costs no pause; from then on links are whole."""
    negotiation = Negotiation("auto")
    assert (negotiation.version, negotiation.probe) == ("5", True)
    assert negotiation.ended(PROVED)
    assert (negotiation.version, negotiation.probe) == ("5", False)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_version_that_the_site_names_is_not_probed_and_not_left(protocol: str) -> None:
    """Whatever the broker answers."""
    negotiation = Negotiation(protocol)
    for outcome in (WRONG, CLOSED, BUSY, UNREACHABLE, None):
        assert not negotiation.ended(outcome)
        assert (negotiation.version, negotiation.probe) == (protocol, False)


def test_a_clear_refusal_of_mqtt_5_decides_for_this_process() -> None:
    """The next link comes at once, with 3.1.1, and so do all others."""
    negotiation = Negotiation("auto")
    assert negotiation.ended(WRONG)
    assert negotiation.version == "3.1.1"
    assert not negotiation.ended(CLOSED)
    assert negotiation.version == "3.1.1"


def test_a_broker_that_only_closes_gets_one_attempt_with_3_1_1() -> None:
    """A broker in trouble closes too: it must not cost the features of MQTT 5."""
    negotiation = Negotiation("auto")
    versions = []
    for _ in range(4):
        negotiation.ended(CLOSED)
        versions.append(negotiation.version)
    assert versions == ["3.1.1", "5", "3.1.1", "5"]


@pytest.mark.parametrize("outcome", [BUSY, UNREACHABLE, None])
def test_another_failure_does_not_change_the_version(outcome: Outcome | None) -> None:
    """Refused for another reason, never reached, or no link could be made at all."""
    negotiation = Negotiation("auto")
    assert not negotiation.ended(outcome)
    assert negotiation.version == "5"


def test_a_broker_that_has_spoken_mqtt_5_is_not_asked_for_less() -> None:
    """When it closes later, something else is wrong."""
    negotiation = Negotiation("auto")
    negotiation.ended(PROVED)
    assert not negotiation.ended(CLOSED)
    assert negotiation.version == "5"


def test_what_a_broker_refuses_of_the_will_is_asked_once() -> None:
    """The next link comes at once and asks for less; refused again, it waits."""
    negotiation = Negotiation("5")
    refused = Outcome(True, "Retain not supported", "refused", allowed=Allowed(retain=False))  # noqa: FBT003 - answered
    assert negotiation.ended(refused)
    assert negotiation.allowed == Allowed(retain=False)
    assert not negotiation.ended(refused)


def test_the_limits_of_an_accepted_link_hold_for_the_next_will() -> None:
    """They stand in CONNACK, which comes after the will was sent."""
    negotiation = Negotiation("5")
    negotiation.accepted(BrokerLimits(packet_bytes=1_000, in_flight=1, qos=0, retain=False, remembered=False))
    assert negotiation.allowed == Allowed(qos=0, retain=False)


def test_on_mqtt_3_1_1_a_broker_that_closes_silently_is_asked_for_less_in_turn() -> None:
    """It cannot say what is wrong; an answer ends the guessing."""
    negotiation = Negotiation("3.1.1")
    tried = []
    for _ in range(len(GUESSES)):
        tried.append(negotiation.allowed)
        negotiation.ended(CLOSED)
    assert tried == list(GUESSES)
    negotiation.ended(Outcome(answered=True, end="connection lost", allowed=Allowed(retain=False)))
    assert negotiation.allowed == Allowed(retain=False)
