"""The broker configurations that ship, as a test's own broker takes them."""

from __future__ import annotations

from pathlib import Path

SHIPPED = Path(__file__).parents[2] / "deploy" / "mosquitto"


def options(name: str) -> str:
    """A shipped configuration without its listener line, which the test's own broker gives."""
    lines = (SHIPPED / name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("listener "))
