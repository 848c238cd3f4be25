"""Examples are test inputs: what a reader copies works."""

from __future__ import annotations

from pathlib import Path

from edge.site.settings import load_site

ROOT = Path(__file__).parents[1]


def test_the_example_site_loads() -> None:
    """`examples/site.toml` is valid, and its bundle is in the repository."""
    site = load_site(ROOT / "examples" / "site.toml")
    assert {fault.id for fault in site.faults} == {"oil_leak", "missing_bolt", "loose_mount"}
