"""The process of the page: the web server, the connection to the broker, and the pulse between them, until it is asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import time
from collections.abc import Generator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from edge.broker.credentials import secret_text
from edge.errors import ConfigError, EdgeError
from edge.page.app import Page
from edge.page.plant import Plant
from edge.page.settings import PageSettings
from edge.system.systemd import notify, watchdog_interval_s

REQUEST_S = 10.0  # the head of a request that is not whole after so long ends its connection
KEEP_ALIVE_S = 20
MOST_CONNECTIONS = 200
MOST_HEADER_BYTES = 16_384
GRACE_S = 2
_log = logging.getLogger(__name__)


class Impatient(H11Protocol):
    """HTTP/1.1 that closes a connection on which no whole request came in time: slow senders would take all places."""

    _impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the class above has it
        """A browser connected."""
        super().connection_made(transport)
        self._impatience = self.loop.call_later(REQUEST_S, self._look)

    def data_received(self, data: bytes) -> None:
        """A part of a request, or a whole one."""
        super().data_received(data)
        if self._impatience is None:
            self._impatience = self.loop.call_later(REQUEST_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """It left."""
        if self._impatience is not None:
            self._impatience.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Close it unless a request is being answered; an idle one is closed too, and the browser opens another."""
        self._impatience = None
        asked = getattr(self, "cycle", None)  # None until a whole request came, whatever its type says
        if (asked is None or asked.response_complete) and not self.transport.is_closing():
            self.transport.close()


def run(settings: PageSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: the users, a certificate or the address cannot be used.
        EdgeError: the network thread ended.
    """
    _try_certificate(settings)
    asyncio.run(_serve(settings))


class _Server(uvicorn.Server):
    """uvicorn without its handlers of signals, which would end the process before the connection to the broker is closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Ours are set already."""
        yield


async def _serve(settings: PageSettings) -> None:
    plant = Plant(settings)
    page = Page(settings, plant)
    server = _Server(_config(settings, page))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        page.stopping.set()
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    with _listening(settings) as listener:
        plant.start()
        pulse = asyncio.create_task(_pulse(plant, page))
        pulse.add_done_callback(lambda _: stop())
        try:
            scheme = "https" if page.is_secure else "http"
            _log.info("ready: %s://%s:%d", scheme, settings.server.host, listener.getsockname()[1])
            notify("READY=1")
            await server.serve(sockets=[listener])
            notify("STOPPING=1")
            stop()
            await pulse
        finally:
            plant.stop()
            if page.workshop is not None:
                page.workshop.close()


def _listening(settings: PageSettings) -> socket.socket:
    host, port = settings.server.host, settings.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host} port {port}: {error.strerror}") from error


async def _pulse(plant: Plant, page: Page) -> None:
    """Once a second: whether each node is still there, and the watchdog."""
    interval_s, fed_s = watchdog_interval_s(), 0.0
    while not page.stopping.is_set():
        plant.turn()
        if not plant.alive():
            raise EdgeError("the network thread of edge-page ended: see its log; it has to be started again")
        if interval_s is not None and time.monotonic() - fed_s >= interval_s:
            fed_s = time.monotonic()
            notify("WATCHDOG=1")
        await asyncio.sleep(1.0)


def _config(settings: PageSettings, page: Page) -> uvicorn.Config:
    server = settings.server
    options: dict[str, Any] = {}
    if server.cert_file is not None:
        options = {"ssl_certfile": server.cert_file, "ssl_keyfile": server.key_file}
    return uvicorn.Config(
        page.application(),
        host=server.host,
        port=server.port,
        http=Impatient,
        ws="none",
        lifespan="off",
        loop="asyncio",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
        **options,
    )


def _try_certificate(settings: PageSettings) -> None:
    server = settings.server
    if server.cert_file is None or server.key_file is None:
        return
    secret_text(server.key_file, "server.key_file")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(server.cert_file, server.key_file, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"server.cert_file {server.cert_file} and key_file {server.key_file} are not a readable PEM pair: {error}"
        ) from error
