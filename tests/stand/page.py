"""`edge-page` as a process of its own, with users, and a browser's HTTP without a browser."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.page.users import Role, User, hashed, write_users
from tests.stand.daemon import ROOT, toml, wait_for
from tests.stand.ports import free_port

PASSWORD = "correct horse battery"  # noqa: S105 - of users that a test makes
USERS = {"meier": Role.OPERATOR, "keller": Role.ENGINEER, "guest": Role.READ_ONLY}


class PageProcess:
    """The page on a free loopback port.

    Args:
        folder: for page.toml, users and the log.
        broker_port: of a broker on loopback.
        tables: laid over page.toml.
    """

    def __init__(self, folder: Path, broker_port: int, **tables: Any) -> None:
        self.port = free_port()
        self.folder = folder
        self.config = folder / "page.toml"
        self.log_path = folder / "page.log"
        document = {
            "users_file": "users.json",
            "title": "Line 3",
            "server": {"port": self.port} | tables.pop("server", {}),
            "broker": {"port": broker_port, "reconnect_max_s": 0.5},
        }
        self.config.write_text(toml(document | tables), encoding="utf-8")
        secret = hashed(PASSWORD)
        write_users(folder / "users.json", {name: User(name, role, secret) for name, role in USERS.items()})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> PageProcess:
        """Start it and wait until it listens."""
        with self.log_path.open("ab") as log:
            command = [sys.executable, "-m", "edge.page", "run", "--config", str(self.config)]
            self.process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=log, stderr=log)
        wait_for(lambda: "ready:" in self.log() or self._ended(), 30, "the page is ready")
        if self._ended():
            raise RuntimeError(f"the page ended:\n{self.log()}")
        return self

    def log(self) -> str:
        """Everything that it has said."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> int:
        """Ask it to end; returns its exit status."""
        assert self.process is not None
        if not self._ended():
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=15)

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None


class Visitor:
    """A browser's requests, with its cookie and the session's secret."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = ""
        self.csrf = ""

    def ask(
        self, path: str, body: object = None, *, headers: Mapping[str, str] | None = None, method: str | None = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        """One request; returns status, body (read as JSON where it is) and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Cookie": self.cookie} if self.cookie else {}
        if body is not None:
            sent |= {"Content-Type": "application/json", "X-CSRF-Token": self.csrf}
        payload = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        try:
            connection.request(
                method or ("GET" if body is None else "POST"), path, payload, dict(sent | dict(headers or {}))
            )
            answer = connection.getresponse()
            text, got = answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
        found: Any = json.loads(text) if got.get("content-type", "").startswith("application/json") else text
        return answer.status, found, got

    def login(self, name: str, password: str = PASSWORD) -> int:
        """Sign in; returns the status."""
        status, found, headers = self.ask("/api/login", {"user": name, "password": password})
        if status == 200:
            self.cookie = headers["set-cookie"].partition(";")[0]
            self.csrf = found["csrf"]
        return status

    def command(self, **fields: Any) -> tuple[int, Any]:
        """Send one command; returns status and answer."""
        status, found, _ = self.ask("/api/command", fields)
        return status, found

    @contextmanager
    def live(self) -> Iterator[Stream]:
        """The live stream, read as it comes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", "/api/live", headers={"Cookie": self.cookie})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        try:
            yield Stream(answer)
        finally:
            answer.close()
            connection.close()


class Stream:
    """What a browser was told."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self._answer = answer
        self.entries: dict[tuple[str, str, str], tuple[int, Any]] = {}
        self.link: dict[str, Any] = {}
        self.nodes: dict[str, Any] = {}
        self.kinds: list[str] = []

    def until(self, that: Callable[[Stream], object], timeout_s: float = 15.0) -> Stream:
        """Read until a condition holds."""
        end = time.monotonic() + timeout_s
        while not that(self):
            assert time.monotonic() < end, f"still not after {timeout_s} s: {self.link} {self.nodes} {self.kinds[-3:]}"
            self.read()
        return self

    def read(self) -> None:
        """One message."""
        kind, data = "message", b""
        while (line := self._answer.readline().rstrip(b"\n")) or not data:
            if line.startswith(b"event: "):
                kind = line[7:].decode()
            elif line.startswith(b"data: "):
                data = line[6:]
        self.kinds.append(kind)
        if kind == "message":
            news = json.loads(data)
            self.link, self.nodes = news["link"], news["nodes"]
            for node, what, name, _, link, document in news["entries"]:
                self.entries[node, what, name] = (link, document)

    def known(self, node: str, kind: str, name: str = "") -> Any:
        """A document that may be believed now, or None."""
        link, document = self.entries.get((node, kind, name), (-1, None))
        is_known = self.link.get("up") and link == self.link["link"] and self.nodes[node]["alive"]
        return document if is_known else None
