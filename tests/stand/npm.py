"""The decoder for Sparkplug payloads that hosts on Node.js use, fetched once from npm: a second opinion on our bytes."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

PACKAGE = "sparkplug-payload@1.0.3"
_FOLDER = Path(__file__).parents[2] / "build" / "npm-sparkplug"
# Reads payloads as lines of hexadecimal, writes them as lines of JSON; numbers of 64 bits as text.
_SCRIPT = """
const codec = require('sparkplug-payload').get('spBv1.0');
const plain = (key, value) => value && value.low !== undefined && value.high !== undefined ? value.toString() : value;
for (const line of require('fs').readFileSync(0, 'utf8').trim().split('\\n'))
  console.log(JSON.stringify(codec.decodePayload(Buffer.from(line, 'hex')), plain));
"""


def fetch_decoder() -> None:
    """Have the package in a folder below build/, or skip the test with the reason."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed: `apt-get install nodejs npm` for the independent decoder")
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers of one test run fetch it once
        if not (_FOLDER / "node_modules" / "sparkplug-payload").exists():
            _install()


def _install() -> None:
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(_FOLDER), PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm gave no {PACKAGE} in 50 s")
    if done.returncode != 0:
        pytest.skip(f"npm cannot fetch {PACKAGE}: {done.stderr[-200:]}")


def decode(payloads: Sequence[bytes]) -> list[Any]:
    """Every payload as the decoder reads it."""
    lines = "".join(f"{payload.hex()}\n" for payload in payloads)
    done = subprocess.run(
        ["node", "-e", _SCRIPT], cwd=_FOLDER, input=lines, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
