"""Between reader and publisher there is one place: the newest picture, and a count of those that were too many."""

from __future__ import annotations

import threading

from edge.camera.newest import Newest
from edge.camera.shot import Shot


def shot(number: int) -> Shot:
    """A picture that is told apart by its time."""
    return Shot(b"\xff\xd8\xff", "jpeg", number)


def test_only_the_newest_picture_is_taken_and_each_once() -> None:
    """Two of three were replaced, and the place is empty then."""
    newest = Newest()
    for number in (1, 2, 3):
        newest.put(shot(number))
    assert newest.take(0.0) == shot(3)
    assert newest.take(0.0) is None
    assert (newest.taken, newest.replaced) == (1, 2)


def test_whoever_waits_gets_the_picture_at_once() -> None:
    """No look at intervals: the wait ends with the picture."""
    newest = Newest()
    timer = threading.Timer(0.05, newest.put, [shot(1)])
    timer.start()
    assert newest.take(10.0) == shot(1)
    timer.join()


def test_a_picture_of_a_source_that_is_gone_is_not_published_later() -> None:
    """It counts as replaced."""
    newest = Newest()
    newest.put(shot(1))
    newest.empty()
    assert newest.take(0.0) is None
    assert newest.replaced == 1
