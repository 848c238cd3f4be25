"""Loopback ports for servers that a test starts."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

_PORTS = range(
    15_000, 30_000
)  # below those that the system gives to outgoing connections, so none of them can take it meanwhile
_next_port = itertools.count(os.getpid() * 97)  # another start for each worker


def free_port() -> int:
    """A loopback TCP port that nobody uses now, and that this process has not named before."""
    for number in _next_port:
        port = _PORTS[number % len(_PORTS)]
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("an endless count ended")
