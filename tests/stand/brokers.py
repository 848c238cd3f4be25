"""Real brokers and a bad network for tests: Mosquitto that can be killed, amqtt, and a relay that freezes or cuts connections."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.stand.contract import Listener
from tests.stand.ports import free_port

MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")

_AMQTT = """
import asyncio, logging, sys
logging.disable(logging.CRITICAL)
from amqtt.broker import Broker
async def main():
    broker = Broker({
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{sys.argv[1]}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    })
    await broker.start()
    await asyncio.sleep(600)
asyncio.run(main())
"""


def wait_for(condition: Callable[[], object], timeout_s: float = 10.0, what: str = "") -> None:
    """Return once the condition holds; fail the test when it does not in time."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"still not after {timeout_s} s: {what or condition}"
        time.sleep(0.02)


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def openssl(folder: Path, *arguments: str) -> None:
    """Run openssl in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_pki(folder: Path, names: Sequence[str]) -> None:
    """Two authorities (``ca``, ``evil``), and for each name a ``.pem`` and a ``.key`` signed by ``ca``; all are valid for localhost."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for authority in ("ca", "evil"):
        files = ("-keyout", f"{authority}.key", "-out", f"{authority}.pem")
        openssl(folder, "req", "-x509", *key, *files, "-days", "2", "-subj", f"/CN={authority}")
    (folder / "san").write_text("subjectAltName=DNS:localhost\n", encoding="utf-8")
    signed_by = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san")
    for name in names:
        openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", *signed_by)
        (folder / f"{name}.key").chmod(0o600)


class Mosquitto:
    """One Mosquitto on a loopback port; a test may kill it and start it again on the same port.

    What daemons publish on it is held against the schemas, unless it asks for certificates or passwords.

    Args:
        folder: for its configuration and log.
        options: lines of mosquitto.conf after the listener line; by default everybody may connect.
        port: default: a free one.
    """

    def __init__(self, folder: Path, options: str = "allow_anonymous true", port: int | None = None) -> None:
        self.port = port or free_port()
        self.log_path = folder / f"mosquitto-{self.port}.log"
        self._config = folder / f"mosquitto-{self.port}.conf"
        # Started by root it would become user `mosquitto`, who cannot read a test's folder; for everybody else `user` does nothing.
        self._config.write_text(f"user root\nlistener {self.port} 127.0.0.1\n{options}\n", encoding="utf-8")
        self._open = "allow_anonymous true" in options and "require_certificate" not in options
        self._listener: Listener | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        """Start it and wait until it listens."""
        assert MOSQUITTO is not None
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-v", "-c", str(self._config)], stdout=log, stderr=log)
        process = self.process
        wait_for(lambda: _listens(self.port) or process.poll() is not None, what="Mosquitto listens")
        assert process.poll() is None, f"Mosquitto ended:\n{self.log()}"
        self._listener = Listener(self.port) if self._open else None
        return self

    def log(self) -> str:
        """Everything that it has said."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, e.g. SIGSTOP to play a broker that hangs."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            if self._listener is not None:
                self._listener.finish()


class Amqtt:
    """The pure Python broker of the demo, in a process of its own; speaks MQTT 3.1.1 only."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _AMQTT, str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(lambda: _listens(self.port), timeout_s=20, what="amqtt listens")
        self._listener = Listener(self.port)

    def kill(self) -> None:
        """Stop it."""
        self._process.kill()
        self._process.wait()
        self._listener.finish()


class Relay:
    """A TCP relay in front of a broker: `freeze` makes the link half open, `cut` breaks it."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._sides: list[socket.socket] = []
        self._frozen = threading.Event()
        self._threads = [threading.Thread(target=self._welcome, daemon=True)]
        self._threads[0].start()

    def freeze(self) -> None:
        """From now on no byte passes, and nobody is told."""
        self._frozen.set()

    def thaw(self) -> None:
        """Let bytes pass again."""
        self._frozen.clear()

    def cut(self) -> None:
        """Break every connection on both sides, without any MQTT goodbye."""
        for side in self._sides:
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop relaying and break what is left."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self.thaw()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for side in [self._server, *self._sides]:
            side.close()

    def _welcome(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # closed
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self._target), timeout=2)
            except OSError:
                client.close()
                continue
            broker.settimeout(None)
            self._sides += [client, broker]
            for pair in ((client, broker), (broker, client)):
                self._threads.append(threading.Thread(target=self._pass_on, args=pair, daemon=True))
                self._threads[-1].start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                while self._frozen.is_set():
                    time.sleep(0.01)
                target.sendall(data)
        for side in (source, target):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
