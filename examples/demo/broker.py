"""An MQTT broker in a process of its own, for machines that have none: ``python -m examples.demo.broker PORT``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys

NICE = -10


async def serve(port: int) -> None:
    """Serve MQTT 3.1.1 on one loopback port until the process is ended."""
    from amqtt.broker import Broker  # noqa: PLC0415 - the only module of the demo that needs it; --broker runs without it

    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await asyncio.Event().wait()


def free_port() -> int:
    """A loopback TCP port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def go_ahead() -> None:
    """Run before ordinary processes where the system permits it: on a plant, the broker has a machine of its own."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)


if __name__ == "__main__":
    go_ahead()
    logging.disable(logging.ERROR)  # it prints a traceback for every client that disconnects
    asyncio.run(serve(int(sys.argv[1])))
