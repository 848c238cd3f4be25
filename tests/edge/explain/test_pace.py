"""Time left over is the time until the next frame is to be expected, learned from each camera's own rhythm."""

from __future__ import annotations

from edge.explain.pace import FOREVER_NS, Pace

MS = 1_000_000


def steady(pace: Pace, camera: str, interval_ms: int, count: int, start_ms: int = 0) -> int:
    """Frames of one camera at a fixed pace; returns when the last came, ms."""
    for index in range(count):
        pace.seen(camera, (start_ms + index * interval_ms) * MS)
    return start_ms + (count - 1) * interval_ms


def test_a_steady_camera_leaves_what_its_interval_leaves() -> None:
    """Ten milliseconds after a frame of a 40 ms camera, thirty are left."""
    pace = Pace()
    last = steady(pace, "a", 40, 10)
    assert pace.spare_ns((last + 10) * MS) == 30 * MS


def test_a_frame_that_is_due_leaves_nothing_until_it_came_or_missed_two_turns() -> None:
    """Late by up to one interval it may come at any moment; later than that the camera is taken for silent."""
    pace = Pace()
    last = steady(pace, "a", 40, 10)
    assert pace.spare_ns((last + 41) * MS) == 0
    assert pace.spare_ns((last + 80) * MS) == 0
    assert pace.spare_ns((last + 81) * MS) == FOREVER_NS


def test_the_most_urgent_camera_counts() -> None:
    """Of two cameras the one whose frame comes first."""
    pace = Pace()
    steady(pace, "slow", 1000, 3)
    steady(pace, "fast", 100, 30, start_ms=-899)
    assert pace.spare_ns(2010 * MS) == 91 * MS


def test_one_odd_pair_changes_little() -> None:
    """Two frames that arrived together, after a hiccup of the network, do not stop everything; a camera that became faster does soon."""
    pace = Pace()
    last = steady(pace, "a", 40, 10)
    pace.seen("a", (last + 1) * MS)
    assert pace.spare_ns((last + 1) * MS) == 40 * MS
    last = steady(pace, "a", 10, 4, start_ms=last + 11)
    assert pace.spare_ns(last * MS) == 10 * MS


def test_nobody_known_leaves_all_the_time_there_is() -> None:
    """No camera, or one frame of one: no rhythm, so nothing is expected; the brake is what helps then."""
    pace = Pace()
    assert pace.spare_ns(0) == FOREVER_NS
    pace.seen("a", 0)
    assert pace.spare_ns(MS) == FOREVER_NS
