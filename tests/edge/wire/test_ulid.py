"""Ids sort by time."""

from __future__ import annotations

from edge.wire.ulid import ulid

WALL_NS = 1_800_000_000_000_000_000


def test_ulid_sorts_by_time() -> None:
    """Ids have 26 characters of Crockford's alphabet, sort by millisecond, and differ by their random part."""
    early, late = ulid(WALL_NS, (1 << 80) - 1), ulid(WALL_NS + 1_000_000, 0)
    assert early < late
    assert len({len(item) for item in (early, late, ulid(0, 0))}) == 1
    assert len(early) == 26
    assert ulid(1469918176385 * 1_000_000, 0)[:10] == "01ARYZ6S41"  # the example of the ULID specification
    assert ulid(WALL_NS, 1) != ulid(WALL_NS, 2)
    assert not set(early) & set("ILOU")
