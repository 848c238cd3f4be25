"""The newest frame wins, the most urgent camera is first, and nothing waits unbounded."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.frame import Frame
from edge.intake.slot import Slots, cannot_make_it

MS = 1_000_000


def frame(camera: str, seq: int, deadline_ms: int = 40, received_ms: int = 0) -> Frame:
    """A frame of no content."""
    return Frame(
        camera=camera,
        seq=seq,
        encoded=b"",
        received_ns=received_ms * MS,
        received_wall_ns=0,
        deadline_ns=deadline_ms * MS,
    )


def test_the_newest_frame_replaces_the_waiting_one() -> None:
    """Putting a second frame of a camera returns the first, to be counted, and take gives the second."""
    slots = Slots(["a"])
    first, second = frame("a", 1), frame("a", 2)
    assert slots.put(first) is None
    assert slots.put(second) is first
    assert (slots.waiting(), slots.waiting(but="a")) == (1, 0)
    assert slots.take(0) is second
    assert slots.take(0) is None


def test_an_older_frame_never_replaces_a_newer_one() -> None:
    """Out of order, the older frame is the one that gets no turn."""
    slots = Slots(["a"])
    newer, older = frame("a", 2), frame("a", 1)
    slots.put(newer)
    assert slots.put(older) is older
    assert slots.take(0) is newer


def test_the_earliest_deadline_is_served_first() -> None:
    """Between cameras the deadline decides, and for equal deadlines the longer wait."""
    slots = Slots(["a", "b", "c"])
    for item in (frame("a", 1, 90), frame("b", 1, 50, received_ms=5), frame("c", 1, 50, received_ms=4)):
        slots.put(item)
    taken = [slots.take(0) for _ in range(3)]
    assert [item.camera for item in taken if item] == ["c", "b", "a"]


def test_cameras_do_not_displace_each_other() -> None:
    """A flood from one camera leaves the other camera's frame in place."""
    slots = Slots(["a", "b"])
    slots.put(frame("b", 1, deadline_ms=99))
    for seq in range(100):
        slots.put(frame("a", seq))
    assert slots.waiting() == 2
    taken = [slots.take(0), slots.take(0)]
    assert [(item.camera, item.seq) for item in taken if item] == [("a", 99), ("b", 1)]


def test_an_unknown_camera_is_a_mistake() -> None:
    """Memory stays bounded because only the site's cameras have a slot."""
    with pytest.raises(KeyError):
        Slots(["a"]).put(frame("b", 1))


def test_take_waits_no_longer_than_asked() -> None:
    """Without a frame, take returns None after its timeout."""
    start = time.monotonic()
    assert Slots(["a"]).take(0.05) is None
    assert 0.04 < time.monotonic() - start < 1.0


def test_a_frame_ends_the_wait_at_once() -> None:
    """A waiting take returns as soon as a frame is put."""
    slots = Slots(["a"])
    timer = threading.Timer(0.05, slots.put, [frame("a", 7)])
    timer.start()
    start = time.monotonic()
    taken = slots.take(5)
    assert taken is not None
    assert taken.seq == 7
    assert time.monotonic() - start < 1.0
    timer.join()


def test_wake_ends_one_wait_and_comes_before_frames() -> None:
    """The worker can be called to other work even while frames flood in, and loses no frame by it."""
    slots = Slots(["a"])
    timer = threading.Timer(0.05, slots.wake)
    timer.start()
    start = time.monotonic()
    assert slots.take(5) is None
    assert time.monotonic() - start < 1.0
    timer.join()
    slots.put(frame("a", 1))
    slots.wake()
    assert slots.take(0) is None
    assert slots.take(0) is not None


def test_no_frame_is_lost_or_served_twice_under_threads() -> None:
    """With four cameras on four threads, every frame is either served once or returned as replaced once, and served in order."""
    cameras, frames_each = ["a", "b", "c", "d"], 500
    slots = Slots(cameras)
    replaced: dict[str, list[int]] = {camera: [] for camera in cameras}
    served: dict[str, list[int]] = {camera: [] for camera in cameras}

    def produce(camera: str) -> None:
        for seq in range(frames_each):
            lost = slots.put(frame(camera, seq, deadline_ms=seq))
            if lost is not None:
                replaced[camera].append(lost.seq)
            if seq % 50 == 0:
                time.sleep(0.001)

    producers = [threading.Thread(target=produce, args=[camera]) for camera in cameras]
    for producer in producers:
        producer.start()
    while any(producer.is_alive() for producer in producers) or slots.waiting():
        taken = slots.take(0.01)
        if taken is not None:
            served[taken.camera].append(taken.seq)
    for camera in cameras:
        assert served[camera] == sorted(served[camera])
        assert served[camera][-1] == frames_each - 1
        assert sorted(served[camera] + replaced[camera]) == list(range(frames_each))


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**10))
def test_a_frame_is_late_exactly_when_its_work_would_end_after_its_deadline(
    deadline_ns: int, now_ns: int, expected_ns: int
) -> None:
    """Ending on the deadline is in time; one nanosecond later is not."""
    item = Frame("a", 1, b"", 0, 0, deadline_ns)
    assert cannot_make_it(item, now_ns, expected_ns) == (now_ns + expected_ns - deadline_ns > 0)


def test_cameras_come_and_go() -> None:
    """A frame that waits keeps its place over a reload, unless its camera goes; a camera that comes is served."""
    slots = Slots(["a", "b"])
    stays, goes = frame("a", 1), frame("b", 1)
    slots.put(stays)
    slots.put(goes)
    slots.reconfigure(["a", "c"])
    assert slots.take(0) is stays
    assert slots.take(0) is None
    assert slots.put(frame("c", 1)) is None
    with pytest.raises(KeyError):
        slots.put(goes)
