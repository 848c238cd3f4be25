"""Sessions end, and guessing becomes slow; the clock is an argument."""

from __future__ import annotations

from edge.page.sessions import MOST_KEPT, MOST_SESSIONS, Sessions, Throttle
from edge.page.users import Role, User
from edge.units import NS_PER_S

MEIER = User("meier", Role.OPERATOR, "secret")
GUEST = User("guest", Role.READ_ONLY, "secret")
HOUR, MINUTE = 3600 * NS_PER_S, 60 * NS_PER_S


def test_a_session_ends_by_time_by_idleness_and_with_its_user() -> None:
    """Who only looks stays signed in without a sign of life, but not past the end of the shift."""
    sessions = Sessions(12 * HOUR, 30 * MINUTE)
    token, session = sessions.begin(MEIER, 0)
    assert sessions.get(token, MEIER, 29 * MINUTE) is session
    session.seen_ns = 29 * MINUTE
    assert sessions.get(token, MEIER, 58 * MINUTE) is session
    assert sessions.get(token, MEIER, 60 * MINUTE) is None
    assert sessions.get(token, MEIER, 0) is None, "over is over"
    guest, _ = sessions.begin(GUEST, 0)
    assert sessions.get(guest, GUEST, 12 * HOUR) is not None
    assert sessions.get(guest, GUEST, 12 * HOUR + 1) is None
    for now in (None, User("meier", Role.ENGINEER, "secret"), User("meier", Role.OPERATOR, "another password")):
        token, _ = sessions.begin(MEIER, 0)
        assert sessions.get(token, now, 1) is None


def test_tokens_are_not_kept_and_sessions_are_bounded() -> None:
    """What memory holds is the token's hash; the oldest session makes room."""
    sessions = Sessions(HOUR, HOUR)
    first, _ = sessions.begin(MEIER, 0)
    assert first not in repr(vars(sessions))
    tokens = {sessions.begin(MEIER, 0)[0] for _ in range(MOST_SESSIONS)}
    assert len(tokens) == MOST_SESSIONS
    assert sessions.get(first, MEIER, 0) is None


def test_guessing_becomes_slow() -> None:
    """Five are free; then each doubles the wait, for this name from this address, and success clears it."""
    throttle = Throttle()
    for _ in range(5):
        assert throttle.wait_s("meier", "a", 0) == 0.0
        throttle.failed("Meier", "a", 0)
    assert throttle.wait_s("meier", "a", 0) == 1.0
    throttle.failed("meier", "a", 0)
    assert throttle.wait_s("meier", "a", 0) == 2.0
    assert throttle.wait_s("meier", "a", 2 * NS_PER_S) == 0.0
    assert throttle.wait_s("meier", "b", 0) == 0.0, "others are not kept out"
    throttle.succeeded("meier", "a")
    assert throttle.wait_s("meier", "a", 0) == 0.0


def test_many_names_from_one_address_and_one_name_from_many_are_slow_too() -> None:
    """By a name alone at most ten seconds: nobody can keep a user out for long."""
    throttle = Throttle()
    for number in range(60):
        throttle.failed(f"name{number}", "a", 0)
        throttle.failed("meier", f"address{number}", 0)
    assert throttle.wait_s("fresh", "a", 0) == 60.0
    assert throttle.wait_s("meier", "fresh", 0) == 10.0
    for number in range(2 * MOST_KEPT):
        throttle.failed(f"other{number}", f"b{number}", 0)
    assert len(throttle.failures) == MOST_KEPT
