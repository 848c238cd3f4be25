"""Ids of occurrences and of runs: they sort by time, and two devices never make the same."""

from __future__ import annotations

from edge.units import NS_PER_MS

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid(wall_ns: int, entropy: int) -> str:
    """An occurrence id: 26 characters that sort by time, from the wall time and 80 random bits (``secrets.randbits(80)``)."""
    number = ((wall_ns // NS_PER_MS) & ((1 << 48) - 1)) << 80 | (entropy & ((1 << 80) - 1))
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))
