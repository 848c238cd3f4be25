"""Where the tools from npm are, and what is needed to run them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integrations.line import HeldLine
from tests.stand.brokers import Mosquitto

ROOT = Path(__file__).parents[2]
NPM = Path(os.environ.get("EDGE_NPM", ROOT / "build" / "npm"))
COMPILED = "sqlite3/build/Release/node_sqlite3.node"  # FUXA's database; takes minutes after everything else is there


def needs_npm(package: str) -> Path:
    """The folder that holds an installed package's `node_modules`; skips where it is not there."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: Node.js 20 or newer, then `make integrations`")
    files = [f"{package}/package.json"] + ([COMPILED] if package == "@frangoteam/fuxa" else [])
    if not all((NPM / "node_modules" / file).is_file() for file in files):
        pytest.skip(f"{package} is not installed: `make integrations`")
    return NPM


@pytest.fixture
def line(request: pytest.FixtureRequest, mosquitto: Mosquitto, tmp_path: Path) -> Iterator[HeldLine]:
    """The demo's line behind a broker, at a good part; not started where the module's `PACKAGE` is not installed."""
    needs_npm(request.module.PACKAGE)
    held = HeldLine(mosquitto, tmp_path)
    try:
        yield held.start()
    finally:
        held.stop()
