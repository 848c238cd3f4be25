"""Why a connection could not be made, was refused or ended: the broker's texts that decide something, and words for people."""

from __future__ import annotations

import ssl

TAKEN_OVER = "Session taken over"
WRONG_VERSION = "Unsupported protocol version"
#: A CONNACK with one of these means us; others mean the broker's own state, e.g. that it is busy.
OF_US = ("Not authorized", "Bad user name or password", "Bad username or password", "Client identifier not valid", "Banned")  # fmt: skip

#: How a connection ends where the broker had a reason and does not report it, or reports only that it read something wrong.
_UNEXPLAINED = ("Unspecified error", "Protocol error", "Packet too large", "Malformed", "the connection was lost")


def unexplained(reason: str) -> bool:
    """Whether a connection ended for a reason that may have been the last message."""
    return any(words in reason for words in _UNEXPLAINED)


def connect_problem(error: Exception) -> str:
    """Why TCP or TLS failed, and what to check."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the broker's certificate is not trusted: {error.verify_message}: check broker.host and broker.tls.ca_file"
        )
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or error  # one made outside OpenSSL has none
        return f"TLS failed: {reason}: check that the port uses TLS and accepts our certificate"
    return f"cannot reach the broker: {error}"


def why_ended(reason: str, *, by_broker: bool, answered: bool, tls: bool) -> str:
    """Why a connection ended that TCP had made.

    Args:
        reason: the broker's reason, or paho's.
        by_broker: it sent DISCONNECT.
        answered: it had sent CONNACK.
        tls: the connection was encrypted.
    """
    if by_broker:
        return f"the broker ended the connection: {reason}"
    if not answered:
        hint = ": is our certificate one that it accepts?" if tls else ""
        return f"the broker closed the connection without an answer{hint}"
    return f"connection lost: {reason}"
