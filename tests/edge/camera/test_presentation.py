"""A picture's capture time is what its stream says, set against the fastest picture; never after its arrival, never out of order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.camera.presentation import JUMP_NS, PresentationClock

MS = 1_000_000
S = 1000 * MS


def test_jitter_of_the_network_is_taken_out() -> None:
    """Pictures that travelled 5 to 35 ms are stamped as taken in even steps, because one of them was fast."""
    clock = PresentationClock()
    delays = [5, 35, 20, 10, 30]
    stamps = [clock.captured_ns(n * 40 * MS, (100 + n * 40 + delay) * MS) for n, delay in enumerate(delays)]
    assert stamps == [(105 + n * 40) * MS for n in range(5)]


def test_what_was_held_back_for_seconds_is_as_old_as_it_is() -> None:
    """After a stall the pictures of the stall are old, however many come at once."""
    clock = PresentationClock()
    assert clock.captured_ns(0, 10 * MS) == 10 * MS
    held = [clock.captured_ns(n * S, 10 * S) for n in range(1, 10)]
    assert held == [n * S + 10 * MS for n in range(1, 10)]


def test_a_camera_that_counts_anew_is_believed_anew() -> None:
    """Its clock was set, forwards or backwards: the arrival is the capture time, and the next pictures count from there."""
    clock = PresentationClock()
    clock.captured_ns(100 * S, 1 * S)
    assert clock.captured_ns(40 * S, 2 * S) == 2 * S
    assert clock.captured_ns(40 * S + 40 * MS, 2 * S + 60 * MS) == 2 * S + 40 * MS
    assert clock.captured_ns(9000 * S, 3 * S) == 3 * S


def test_a_stream_without_times_is_stamped_on_arrival() -> None:
    """There is nothing better."""
    clock = PresentationClock()
    assert [clock.captured_ns(None, at) for at in (5, 9)] == [5, 9]


def test_clocks_that_drift_apart_do_not_make_pictures_older_and_older() -> None:
    """The camera's clock is 100 ppm slow; after an hour a picture is still no older than the drift of two windows."""
    clock = PresentationClock()
    age_ns = 0
    for second in range(3600):
        arrived_ns = second * S
        age_ns = arrived_ns - clock.captured_ns(round(arrived_ns * 0.9999), arrived_ns)
    assert age_ns <= 7 * MS


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(-JUMP_NS * 3, JUMP_NS * 3)), st.integers(1, JUMP_NS)), max_size=60
    )
)
def test_whatever_a_stream_says_no_stamp_is_in_the_future_or_goes_back(steps: list[tuple[int | None, int]]) -> None:
    """Both would have the daemon refuse the picture."""
    clock, now_ns, last_ns = PresentationClock(), 0, -1
    for presented_ns, gap_ns in steps:
        now_ns += gap_ns
        stamp = clock.captured_ns(presented_ns, now_ns)
        assert last_ns < stamp <= now_ns
        last_ns = stamp
