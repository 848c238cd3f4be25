"""The records that travel the path of a frame.

All times ending in ``_ns`` without ``wall`` are nanoseconds of the process's monotonic clock; ``_wall_ns`` are nanoseconds since the
Unix epoch. This module reads no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# The largest picture that this program takes at all: a site may ask for less, never for more, and calibration takes what any site may.
MAX_BYTES = 268_435_455  # what one MQTT packet can hold
MAX_PIXELS = 1 << 26
EXACT_BITS = 53  # of a whole number that the value of a reading holds exactly


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


class Trouble(StrEnum):
    """What is wrong with a camera's pictures; the second part of its alarm's id."""

    FROZEN = "frozen"
    DARK = "dark"
    DAZZLED = "dazzled"
    BLURRED = "blurred"
    COVERED = "covered"


@dataclass(frozen=True, slots=True)
class Frame:
    """One encoded picture as it came off the wire.

    ``encoded`` is JPEG or PNG bytes, not yet decoded: dropping it costs nothing. ``captured_wall_ns`` is the source's own time, or None.
    ``seq`` counts the frames of this camera since the daemon started. ``part`` is the id of the part that it shows, where a trigger waited for it.
    """

    camera: str
    seq: int
    encoded: bytes
    received_ns: int
    received_wall_ns: int
    deadline_ns: int
    captured_wall_ns: int | None = None
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Trigger:
    """A part is before a camera. ``told_wall_ns`` is when, by the sender's clock, or None; ``problem`` is why it cannot be read, as a code, or None."""

    camera: str
    part: str | None
    received_ns: int
    received_wall_ns: int
    told_wall_ns: int | None = None
    correlation: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the plant's topic says is made now; `retained`: the broker kept it from before."""

    word: str
    retained: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one sensor; NaN with quality bad: the source spoke of it, and there is none.

    ``source_wall_ns`` is the source's own time, or None; ``age_ns`` how old the value was at its receipt by that time, 0 where that time is not usable.
    """

    sensor: str
    value: float
    received_ns: int
    source_wall_ns: int | None = None
    age_ns: int = 0
    quality: Quality = Quality.GOOD

    @property
    def measured_ns(self) -> int:
        """When it was measured, as far as is known, monotonic ns."""
        return self.received_ns - self.age_ns


@dataclass(frozen=True, slots=True)
class Stamps:
    """When one frame passed each stage up to its verdicts, monotonic ns."""

    received_ns: int
    taken_ns: int
    decoded_ns: int
    inferred_ns: int
    decided_ns: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one source states about one fault: a verdict with its score and how far to trust it."""

    verdict: Verdict
    score: float | None
    quality: Quality


@dataclass(frozen=True, slots=True)
class Look:
    """What the graph said of one tile of a picture.

    ``seen_ns`` is the receipt of the newest frame on which that holds: the one it was computed on, or one on which the tile was the same.
    """

    scores: Sequence[float]
    seen_ns: int
    quality: Quality
