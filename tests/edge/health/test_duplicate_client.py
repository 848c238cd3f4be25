"""Who speaks on our own state topic: we, our own past, or a twin."""

from __future__ import annotations

import pytest

from edge.health.duplicate_client import DuplicateClientDetector, state_of
from edge.wire.messages import State

START = "2026-11-23T22:00:00.000Z"
EARLIER, LATER, LATEST = (f"2026-11-23T{hour}:00:00.000Z" for hour in ("21", "23", "24"))


def state(session: str, ts: str | None, *, online: bool = True) -> State:
    """One word."""
    return State(online=online, ts=ts, session=session, ne107="G", version="1")


def spoken() -> DuplicateClientDetector:
    """One who has heard his own word back."""
    one = DuplicateClientDetector("me", START)
    assert not one.shown_by(state("me", START), retained=False)
    return one


def test_our_former_life_is_no_twin_whatever_its_clock_said() -> None:
    """The broker's copy, or what waited in our session, comes before our own word; a clock that was set back makes it look later."""
    for retained in (True, False):
        one = DuplicateClientDetector("me", START)
        assert not one.shown_by(state("before", LATER), retained=retained)
        assert not one.shown_by(state("me", START), retained=False)
        assert not one.shown_by(state("before", LATER), retained=True), "a broker that lost its newest writes"


def test_whoever_speaks_after_us_lives() -> None:
    """Live, whatever his clock says; or kept by the broker, from our time."""
    assert spoken().shown_by(state("other", EARLIER), retained=False)
    assert spoken().shown_by(state("other", LATER), retained=True)
    assert not spoken().shown_by(state("older life", EARLIER), retained=True)


def test_a_twin_that_was_there_first_betrays_itself_by_its_next_word() -> None:
    """Until then it cannot be told from our past."""
    one = DuplicateClientDetector("me", START)
    assert not one.shown_by(state("other", LATER), retained=True)
    one.shown_by(state("me", START), retained=False)
    assert one.shown_by(state("other", LATEST), retained=True)


def test_a_goodbye_is_no_sign_of_life() -> None:
    """The will of our own broken connection, or the last word of a clean stop."""
    assert not spoken().shown_by(state("before", None, online=False), retained=False)
    assert not spoken().shown_by(state("before", LATER, online=False), retained=False)


@pytest.mark.parametrize(
    "payload",
    [b"", b"{}", b"5", b"\xff", b"[" * 10_000, b'{"schema": "edge.state/1", "reasons": [' + b'"",' * 9_000 + b'""]}'],
)
def test_what_no_daemon_says_is_no_state(payload: bytes) -> None:
    """Anybody may publish on our state topic; it is read within bounds, and what is no state is no twin."""
    assert state_of(payload) is None
