"""What memory holds of a camera: so long and so much, never more."""

from __future__ import annotations

from edge.evidence.ring import Ring
from tests.edge.evidence.moments import MS, moment


def test_older_moments_give_way_to_newer_ones() -> None:
    """Only the last span is held, oldest first."""
    ring = Ring(100 * MS, 10_000)
    for number in range(10):
        ring.add(moment(number, number * 40))
    assert [item.frame.seq for item in ring] == [7, 8, 9]


def test_pictures_never_take_more_than_their_share_of_memory() -> None:
    """By bytes the oldest give way; a picture larger than the share is not held at all."""
    ring = Ring(10_000 * MS, 1000)
    for number in range(5):
        ring.add(moment(number, number, bytes(400)))
        assert ring.held_bytes <= 1000
    assert [item.frame.seq for item in ring] == [3, 4]
    ring.add(moment(9, 9, bytes(2000)))
    assert (len(ring), ring.held_bytes) == (0, 0)


def test_a_silent_camera_holds_no_pictures_for_ever() -> None:
    """Time alone lets them go."""
    ring = Ring(100 * MS, 10_000)
    ring.add(moment(1, 0))
    ring.let_go(99 * MS)
    assert len(ring) == 1
    ring.let_go(101 * MS)
    assert (len(ring), ring.held_bytes) == (0, 0)
