"""Why a connection could not be made, in words that say what to check."""

from __future__ import annotations

import ssl

import pytest

from edge.broker.reasons import TAKEN_OVER, connect_problem, unexplained, why_ended


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "cannot reach the broker: [Errno 111] Connection refused"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "check that the port uses TLS and accepts our certificate"),
        (ssl.SSLCertVerificationError(1, "no"), "check broker.host and broker.tls.ca_file"),
        (UnicodeError("label too long"), "cannot reach the broker: label too long"),
    ],
)
def test_each_failure_says_what_to_check(error: Exception, says: str) -> None:
    """A name, a port, TLS itself, or the certificate."""
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_message = "self-signed certificate"
    assert says in connect_problem(error)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"by_broker": True, "answered": True, "tls": True}, "the broker ended the connection: why"),
        ({"by_broker": False, "answered": False, "tls": False}, "the broker closed the connection without an answer"),
        ({"by_broker": False, "answered": False, "tls": True}, "is our certificate one that it accepts?"),
        ({"by_broker": False, "answered": True, "tls": True}, "connection lost: why"),
    ],
)
def test_each_end_says_who_ended_it(how: dict[str, bool], says: str) -> None:
    """With TLS, a broker that closes without an answer may not accept the certificate."""
    assert says in why_ended("why", **how)


@pytest.mark.parametrize(
    ("reason", "by_broker", "open_question"),
    [
        ("Unspecified error", False, True),
        ("Protocol error", False, True),
        ("Packet too large", True, True),
        ("Keep alive timeout", False, False),
        ("Server shutting down", True, False),
        (TAKEN_OVER, True, False),
    ],
)
def test_an_end_without_a_reason_may_be_due_to_the_last_message(
    reason: str, *, by_broker: bool, open_question: bool
) -> None:
    """A broker that says that it goes, and a network that is dead, have nothing to do with it."""
    assert unexplained(why_ended(reason, by_broker=by_broker, answered=True, tls=False)) is open_question
