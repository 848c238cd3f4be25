"""Notifies systemd that the daemon is ready, alive or stopping; silent where systemd did not start it."""

from __future__ import annotations

import os
import socket


def notify(message: str) -> bool:
    """Send one sd_notify message such as ``READY=1`` or ``WATCHDOG=1``; returns whether a service manager listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        try:
            client.sendto(message.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            return False  # a supervisor that went away must not take the daemon with it
    return True


def watchdog_interval_s() -> float | None:
    """Half of the interval within which systemd expects a watchdog message; None where it expects none."""
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 2e6
    except (KeyError, ValueError):
        return None
