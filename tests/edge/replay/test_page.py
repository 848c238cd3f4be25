"""The page of a backtest shows of each fault the pictures that scored highest, whatever became of their files."""

from __future__ import annotations

from pathlib import Path

from edge.replay.page import MOST, highest
from edge.replay.recorded import Picture, Recorded
from edge.replay.simulation import Seen
from edge.verdict.channel import ChannelSpec, VisionFault
from edge.verdict.decide import FusionSpec

S = 1_000_000_000


def channel() -> ChannelSpec:
    """A fault of camera cam."""
    return ChannelSpec(
        "red", "Red", "cam", 0, VisionFault("red", 0.5, 0.4), (), FusionSpec(), armed=True, stale_after_ns=S
    )


def recorded(count: int) -> Recorded:
    """A picture a second of cam, and one of another camera between them."""
    pictures = [Picture(number * S, "cam", Path(f"{number}.jpg")) for number in range(count)]
    pictures += [Picture(number * S + S // 2, "other", Path(f"other{number}.jpg")) for number in range(count)]
    return Recorded(tuple(sorted(pictures, key=lambda one: one.at_ns)), ())


def test_the_highest_come_first_and_none_twice() -> None:
    """A flag is about the newest picture of its own camera; flags without a score are about none."""
    flags = [Seen(number * S + 10, "ok", number / 100, "good") for number in range(20)]
    flags += [Seen(19 * S + 20, "fault", 0.9, "good"), Seen(5 * S, "unknown", None, "bad")]
    found = highest(channel(), recorded(20), flags)
    assert [picture.path.name for _, picture in found] == [f"{number}.jpg" for number in (19, 18, 17, 16, 15, 14)]
    assert found[0][0].score == 0.9
    assert len(found) == MOST


def test_a_flag_before_any_picture_shows_none() -> None:
    """As of a recording that begins with readings."""
    assert highest(channel(), Recorded((Picture(S, "cam", Path("a.jpg")),), ()), [Seen(0, "fault", 0.9, "good")]) == []
