"""A visit to the page in a few seconds, for a machine of its own: ``python -m tests.stand.page_visit``.

page.toml, users and everything else lie in the working folder.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.stand.daemon import Broker
from tests.stand.page import PASSWORD, PageProcess, Visitor

FILES = ("/", "/page.js", "/page.css", "/api/me", "/api/history", "/api/workshop")


def visit(folder: Path) -> None:
    """Make a user, check, sign in, look at everything, sort a picture, end. Raises AssertionError when the page does not do its work."""
    broker = Broker(folder)
    (folder / "pictures").mkdir()
    sources = [{"id": "cam1", "folder": "pictures"}]
    page = PageProcess(folder, broker.port, workshop={"folder": "work", "sources": sources})
    _page(["user", "add", "--role", "engineer", "visitor"], page, PASSWORD)
    _page(["check"], page)
    page.start()
    sys.stdout.write(f"page tcp 127.0.0.1:{page.port}\n")
    visitor = Visitor(page.port)
    assert visitor.login("visitor") == 200
    with visitor.live() as stream:
        stream.until(lambda told: told.link.get("up"))
    for path in FILES:
        assert visitor.ask(path)[0] == 200, path
    assert page.stop() == 0, page.log()
    broker.stop()


def _page(arguments: list[str], page: PageProcess, typed: str = "") -> None:
    command = [sys.executable, "-m", "edge.page", *arguments, "--config", str(page.config)]
    done = subprocess.run(command, input=f"{typed}\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"


if __name__ == "__main__":
    visit(Path.cwd())
