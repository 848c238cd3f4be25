"""The nouns that travel the path of a frame.

All times ending in ``_ns`` without ``wall`` are nanoseconds of the process's monotonic clock; ``_wall_ns`` are nanoseconds since the
Unix epoch. This module reads no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Quality(StrEnum):
    """How far a value may be trusted, worst last."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    STALE = "stale"
    BAD = "bad"

    @property
    def rank(self) -> int:
        """0 for good, rising with distrust."""
        return _QUALITY_RANK[self]


_QUALITY_RANK = {Quality.GOOD: 0, Quality.UNCERTAIN: 1, Quality.STALE: 2, Quality.BAD: 3}


def worst(*qualities: Quality) -> Quality:
    """The least trusted of some qualities (good when there are none)."""
    return max(qualities, key=lambda quality: quality.rank, default=Quality.GOOD)


class Verdict(StrEnum):
    """What is known of one fault now; missing data is ``unknown``, never ``ok``."""

    FAULT = "fault"
    OK = "ok"
    UNKNOWN = "unknown"


class Drop(StrEnum):
    """Why a frame got no verdict; each is a counter in the heartbeat."""

    REPLACED = "replaced"  # a newer frame of the camera came before this one's turn
    LATE = "late"  # its deadline could not be met any more, so it was not decoded
    REJECTED = "rejected"  # malformed, oversized or damaged; the reason is counted beside it
    RETAINED = "retained"  # a retained message replayed by the broker is not a fresh picture


@dataclass(frozen=True, slots=True)
class Frame:
    """One encoded picture as it came off the wire.

    ``encoded`` is JPEG or PNG bytes, not yet decoded: dropping it costs nothing. ``captured_wall_ns`` is what the source said, or None.
    ``seq`` counts the frames of this camera since the daemon started.
    """

    camera: str
    seq: int
    encoded: bytes
    received_ns: int
    received_wall_ns: int
    deadline_ns: int
    captured_wall_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one sensor; ``source_wall_ns`` is what the source said, or None."""

    sensor: str
    value: float
    received_ns: int
    source_wall_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Stamps:
    """When one frame passed each stage, monotonic ns; later stages are None until reached."""

    received_ns: int
    taken_ns: int | None = None
    decoded_ns: int | None = None
    inferred_ns: int | None = None
    decided_ns: int | None = None
    published_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one source says of one fault: a verdict with its score and how far to trust it."""

    verdict: Verdict
    score: float | None
    quality: Quality
