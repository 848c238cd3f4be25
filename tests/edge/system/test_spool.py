"""A thread for the disk: jobs in their order, bounded, and all of them done before it ends."""

from __future__ import annotations

from functools import partial

from edge.system.spool import Spool


def test_jobs_are_done_in_their_order_between_the_first_and_the_last() -> None:
    """Also those that were put before the thread ran."""
    done: list[str] = []
    spool = Spool("s", 100, first=partial(done.append, "first"), last=partial(done.append, "last"))
    for name in "abc":
        assert spool.put(partial(done.append, name), 10)
    spool.start()
    spool.start()
    spool.stop(5.0)
    assert done == ["first", "a", "b", "c", "last"]


def test_too_much_that_waits_is_refused_and_small_jobs_are_not() -> None:
    """A slow disk costs what it is too slow for, and no memory."""
    done: list[str] = []
    spool = Spool("s", 100)  # its thread does not run yet
    taken = [spool.put(partial(done.append, name), 40) for name in "abc"]
    assert taken == [True, True, False]
    assert spool.put(partial(done.append, "end"))
    spool.start()
    spool.stop(5.0)
    assert done == ["a", "b", "end"]


def test_one_that_never_started_stops() -> None:
    """What waits is forgotten."""
    spool = Spool("s", 100)
    spool.put(lambda: None, 1)
    spool.stop(0.1)
