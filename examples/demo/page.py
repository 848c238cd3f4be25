"""Opens the operators' page beside the demo, where its extra is installed: on loopback, for one reader with a password of this run alone."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
from pathlib import Path

from edge.page.users import Role, User, hashed, write_users
from examples.demo.broker import free_port
from examples.demo.site import LOCAL_HOSTS, toml_text
from examples.demo.story import NODE, ROOT

READER = "guest"  # who only looks: what somebody presses meanwhile must not change what the demo checks
NICE = 10  # the line comes first


class DemoPage:
    """What the page needs, written down; `arguments` start it.

    Args:
        folder: for its settings and users.
        host: of the broker.
        port: of the broker.
    """

    def __init__(self, folder: Path, host: str, port: int) -> None:
        config, users = folder / "page.toml", folder / "users.json"
        password = secrets.token_urlsafe(12)
        self.port = free_port()
        document = {
            "users_file": str(users),
            "title": "plantflag demo",
            "nodes": [NODE],
            "insecure_dev": host not in LOCAL_HOSTS,
            "broker": {"host": host, "port": port, "root": ROOT, "reconnect_max_s": 1.0},
            "server": {"host": "127.0.0.1", "port": self.port},
        }
        config.write_text(toml_text(document), encoding="utf-8")
        write_users(users, {READER: User(READER, Role.READ_ONLY, hashed(password))})
        self.arguments = ["-m", "edge.page", "run", "--config", str(config)]
        self.words = f"in a browser: http://127.0.0.1:{self.port} as {READER}, password {password}"


def is_installed() -> bool:
    """Whether the extra `page` is."""
    return all(importlib.util.find_spec(name) is not None for name in ("starlette", "uvicorn"))


def step_back(pid: int) -> None:
    """Let the line come first."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
