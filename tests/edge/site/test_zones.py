"""The declared tables of vibration zones are sound, and docs/rules.md shows exactly them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.site.zones import TABLES, ZONES, zone_limit

PAGE = Path(__file__).parents[3] / "docs" / "rules.md"


def test_each_zone_begins_above_the_one_before() -> None:
    """In every class, and every class names its standard and its machines."""
    for name, table in TABLES.items():
        limits = [zone_limit(f"{name}/{zone}") for zone in ZONES]
        assert limits == sorted(set(limits))
        assert limits[0] > 0.0
        assert table.source.startswith("ISO 20816-")
        assert table.machines


@pytest.mark.parametrize("name", ["", "medium", "medium/", "medium/A", "/C", "C/medium", "medium/C/C"])
def test_a_zone_that_is_none_is_refused_with_a_list(name: str) -> None:
    """The text says which there are."""
    with pytest.raises(ValueError, match="group-2-rigid"):
        zone_limit(name)


def test_the_page_shows_the_tables_that_run() -> None:
    """A row for each class, with its limits."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        b, c, d = table.begins
        assert f"| `{name}` | {table.source}: {table.machines} | {b:g} | {c:g} | {d:g} |" in text
