"""Where the tools from npm are, and what is needed to run them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NPM = Path(os.environ.get("EDGE_NPM", ROOT / "build" / "npm"))


def needs_npm(package: str) -> Path:
    """The folder that holds an installed package's `node_modules`; skips where it is not there."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: Node.js 20 or newer, then `make integrations`")
    if not (NPM / "node_modules" / package / "package.json").is_file():
        pytest.skip(f"{package} is not installed: `make integrations`")
    return NPM
