"""How long to wait between two attempts to connect: longer each time, and never in step with other devices."""

from __future__ import annotations

import ipaddress
import random

from edge.site.sections import BrokerSettings

FIRST_PAUSE_S = 0.5  # after a link that worked; doubles with each failure, up to reconnect_max_s
LOOPBACK_MAX_S = 2.0  # a broker on this machine is back soon, and no other client is delayed
MAX_DOUBLINGS = 16


def pause_s(settings: BrokerSettings, failures: int, *, least_s: float = 0.0) -> float:
    """The pause before the next attempt, s, of which up to a half is left out at random.

    Args:
        settings: of the broker.
        failures: links in a row that failed.
        least_s: shortest pause before the random part.
    """
    longest_s = max(least_s, min(longest_pause_s(settings), FIRST_PAUSE_S * 2.0 ** min(failures, MAX_DOUBLINGS)))
    return longest_s * random.uniform(0.5, 1.0)


def longest_pause_s(settings: BrokerSettings) -> float:
    """The longest pause between two attempts to connect, s."""
    return min(settings.reconnect_max_s, LOOPBACK_MAX_S) if _loopback(settings.host) else settings.reconnect_max_s


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
