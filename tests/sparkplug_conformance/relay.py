"""A loopback TCP relay in front of a broker that writes down every MQTT packet in both directions, one line of JSON each."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.sparkplug_conformance.packets import Fields, Splitter, level_of, read_packet

LAST_WORDS_S = 0.5  # how long a client is listened to when its broker is not there
UP, DOWN = "up", "down"  # to the broker, and from it
_KEPT = ("/alarm/", "/flag/", "/state")  # of our JSON topics only these payloads are of use to the checks


class Tape:
    """The file that every relay of a recording writes to; numbers its connections."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")
        self._lock = threading.Lock()
        self._links = 0
        self._waits = threading.Condition(self._lock)
        self._lines: list[dict[str, Any]] = []
        self.clients: dict[int, str] = {}  # connection -> client id

    def new_link(self) -> int:
        """A number that no other connection has."""
        with self._lock:
            self._links += 1
            return self._links

    def write(self, relay: str, link: int, way: str, kind: str, fields: Fields) -> None:
        """One line; the order of the lines is the order in which packets passed."""
        with self._lock:
            line = {
                "at_ms": round(time.time() * 1000, 3),
                "relay": relay,
                "link": link,
                "way": way,
                "kind": kind,
                "fields": fields,
            }
            if kind == "CONNECT":
                self.clients[link] = fields["client_id"]
            self._file.write(json.dumps(line) + "\n")
            self._lines.append(line)
            self._waits.notify_all()

    def mark(self) -> int:
        """How many lines there are; for `wait`."""
        with self._lock:
            return len(self._lines)

    def wait(
        self, what: str, that: Callable[[dict[str, Any]], object], since: int = 0, timeout_s: float = 30.0
    ) -> dict[str, Any]:
        """The first line from ``since`` on for which ``that`` holds; ``what`` says in words what is waited for."""
        end, seen = time.monotonic() + timeout_s, since
        with self._waits:
            while True:
                for line in self._lines[seen:]:
                    if that(line):
                        return line
                seen = len(self._lines)
                if not self._waits.wait(end - time.monotonic()):
                    raise AssertionError(f"not on the tape in {timeout_s} s: {what}")

    def close(self) -> None:
        """No more lines."""
        with self._lock:
            self._file.close()


class RecordingRelay:
    """Passes bytes on between clients and one broker, and writes down what they are.

    While the broker is not there a client's connection is accepted, its CONNECT written down, and the connection closed: a CONNECT that
    gets no answer is a CONNECT too.
    """

    def __init__(self, name: str, target_port: int, tape: Tape) -> None:
        self._name = name
        self._target_port = target_port
        self._tape = tape
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._sides: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._welcome, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Stop, and break what is left."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._break(*self._sides)
        for thread in self._threads:
            thread.join(5)
        for side in (self._server, *self._sides):
            side.close()

    def _welcome(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # closed
                return
            link = self._tape.new_link()
            self._tape.write(self._name, link, UP, "OPEN", {})
            self._sides.append(client)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                broker = socket.create_connection(("127.0.0.1", self._target_port), timeout=2)
            except OSError:
                self._start(self._hear_out, client, link)
                continue
            broker.settimeout(None)
            broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sides.append(broker)
            levels = [4]
            self._start(self._pass_on, client, broker, link, UP, levels)
            self._start(self._pass_on, broker, client, link, DOWN, levels)

    def _start(self, act: Callable[..., None], *arguments: Any) -> None:
        self._threads.append(threading.Thread(target=act, args=arguments, daemon=True))
        self._threads[-1].start()

    def _pass_on(self, source: socket.socket, target: socket.socket, link: int, way: str, levels: list[int]) -> None:
        splitter = Splitter()
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                for first, body in splitter.feed(data):
                    self._note(first, body, link, way, levels)
                target.sendall(data)
        self._tape.write(self._name, link, way, "CLOSE", {})
        self._break(source, target)

    def _hear_out(self, client: socket.socket, link: int) -> None:
        """What a client says to a broker that is not there."""
        splitter, levels = Splitter(), [4]
        client.settimeout(LAST_WORDS_S)
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                for first, body in splitter.feed(data):
                    self._note(first, body, link, UP, levels)
                    self._break(client)
        self._tape.write(self._name, link, DOWN, "CLOSE", {})
        self._break(client)

    def _note(self, first: int, body: bytes, link: int, way: str, levels: list[int]) -> None:
        if first >> 4 == 1:
            levels[0] = level_of(body)
        kind, fields = read_packet(first, body, levels[0])
        if kind == "PUBLISH" and not fields["topic"].startswith("spBv1.0/"):
            fields["bytes"] = len(fields["payload"]) // 2
            if not any(part in fields["topic"] for part in _KEPT):
                fields["payload"] = ""
        self._tape.write(self._name, link, way, kind, fields)

    @staticmethod
    def _break(*sides: socket.socket) -> None:
        for side in sides:
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
