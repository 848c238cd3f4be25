"""Frames with facts, for tests of what is kept of them."""

from __future__ import annotations

from edge.evidence.ring import Moment
from edge.frame import Frame
from edge.wire.message import timestamp

MS = 1_000_000
WALL_NS = 1_800_000_000_000_000_000


def moment(seq: int, at_ms: int, encoded: bytes = b"\xff\xd8jpeg", score: float = 0.1) -> Moment:
    """Frame number ``seq`` at so many ms, with one flag."""
    frame = Frame("cam", seq, encoded, at_ms * MS, WALL_NS + at_ms * MS, (at_ms + 40) * MS)
    facts = {
        "seq": seq,
        "received": timestamp(frame.received_wall_ns),
        "flag_ms": 3.0,
        "late": False,
        "flags": {"red": ["ok", score, "good"]},
        "readings": {"vibration": 1.5},
    }
    return Moment(frame, facts)
