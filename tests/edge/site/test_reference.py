"""The page of all settings says something of each."""

from __future__ import annotations

from edge.site.reference import reference_markdown


def test_every_field_is_described() -> None:
    """The generated reference has a meaning for every key."""
    for line in reference_markdown().splitlines():
        if line.startswith("| `"):
            key, _type, _default, meaning = (cell.strip() for cell in line.strip("|").split("|"))
            assert meaning, key
            assert f"`{meaning}`" != key or key == "`id`", f"{key} has no description"
