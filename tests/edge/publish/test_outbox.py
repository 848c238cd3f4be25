"""An event is said until the broker has it, and again when the broker forgot; what is let go unheard is counted."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.publish.outbox import AGAIN_NS, LIVE_NS, MAX_OUTSTANDING, PACE_NS, STATE_FIRST_NS, Caps, Key, Outbox

MS = 1_000_000
S = 1_000 * MS


class Desk:
    """An outbox with a connection whose confirmations the test gives."""

    def __init__(self, caps: Caps | None = None) -> None:
        self.box = Outbox(caps)
        self.now_ns = 0
        self.number = 0
        self.message_id = 0

    def happen(self, count: int = 1) -> None:
        """Events happen."""
        for _ in range(count):
            self.number += 1
            self.box.add(Key(1, self.number), b"x" * 100, self.now_ns)

    def send(self, *, confirm: bool = True) -> list[tuple[int, bool]]:
        """Send all that is due now: numbers, and whether each is history."""
        out = []
        while (due := self.box.due(self.now_ns)) is not None:
            key, _body, historical = due
            self.message_id += 1
            self.box.sent(key, self.message_id, self.now_ns)
            out.append((key.seq, historical))
            if confirm:
                self.box.confirmed(self.message_id, self.now_ns)
        return out

    def pass_time(self, duration_ns: int) -> list[tuple[int, bool]]:
        """Time passes, and what is due is sent every 10 ms."""
        out = []
        end_ns = self.now_ns + duration_ns
        while self.now_ns < end_ns:
            self.now_ns += 10 * MS
            self.box.tick(self.now_ns)
            out += self.send()
        return out


def test_what_happens_while_connected_is_said_at_once_and_once() -> None:
    """Live events leave in order, are not history, and are not said again."""
    desk = Desk()
    desk.box.link_up(0)
    desk.happen(3)
    assert desk.send() == [(1, False), (2, False), (3, False)]
    assert (desk.send(), desk.box.waiting, desk.box.held) == ([], 0, 3)


def test_nothing_leaves_while_the_connection_is_down() -> None:
    """What happens meanwhile is held, and is history if it is said much later."""
    desk = Desk()
    desk.happen(2)
    assert desk.send() == []
    desk.now_ns += LIVE_NS + 1
    desk.happen(1)
    desk.box.link_up(desk.now_ns)
    assert desk.send() == [(3, False)]
    assert desk.pass_time(STATE_FIRST_NS + 50 * MS) == [(1, True), (2, True)]


def test_what_was_not_confirmed_is_said_again() -> None:
    """A connection that dies with a message in flight costs a repetition, marked as history."""
    desk = Desk()
    desk.box.link_up(0)
    desk.happen(2)
    desk.send(confirm=False)
    desk.box.confirmed(1, 0)
    desk.box.link_down()
    desk.box.confirmed(2, 0)  # too late: the connection it belongs to is gone
    desk.box.link_up(0)
    assert desk.pass_time(S) == [(2, True)]
    assert desk.box.repeated == 1


def test_a_broker_that_forgot_hears_the_window_again_and_again_later() -> None:
    """Unconfirmed events first, then all confirmed ones; and again for subscribers that come back after us."""
    desk = Desk()
    desk.box.link_up(0)
    desk.happen(3)
    desk.send()
    desk.box.link_down()
    desk.happen(1)
    desk.now_ns += LIVE_NS + 1
    desk.box.session_lost(desk.now_ns)
    desk.box.link_up(desk.now_ns)
    assert desk.pass_time(S) == [(4, True), (1, True), (2, True), (3, True)]
    later = desk.pass_time(AGAIN_NS[-1] + S)
    assert later == [(1, True), (2, True), (3, True), (4, True)] * len(AGAIN_NS)


def test_a_broker_that_never_confirmed_anything_forgot_nothing() -> None:
    """The first connect of a fresh start is no reason to say things three times."""
    desk = Desk()
    desk.happen(2)
    desk.box.session_lost(0)
    desk.box.link_up(0)
    assert desk.send() == [(1, False), (2, False)]
    assert desk.pass_time(AGAIN_NS[-1] + S) == []


def test_a_confirmed_event_is_let_go_after_the_window() -> None:
    """The window counts from the confirmation."""
    desk = Desk(Caps(window_ns=60 * S))
    desk.box.link_up(0)
    desk.happen(2)
    desk.send()
    desk.pass_time(59 * S)
    assert desk.box.held == 2
    desk.pass_time(2 * S)
    assert (desk.box.held, desk.box.lost) == (0, 0)
    assert desk.box.take_changes().gone == [Key(1, 1), Key(1, 2)]


def test_over_the_cap_the_oldest_confirmed_goes_first() -> None:
    """An unconfirmed event is let go only when there is nothing else, and then it is counted as lost."""
    desk = Desk(Caps(rows=4))
    desk.happen(2)
    desk.box.link_up(0)
    desk.send(confirm=False)
    desk.box.confirmed(2, 0)
    desk.happen(3)
    assert [key.seq for key, _, _ in desk.box.rows()] == [1, 3, 4, 5]
    assert desk.box.lost == 0
    desk.happen(1)
    assert [key.seq for key, _, _ in desk.box.rows()] == [3, 4, 5, 6]
    assert desk.box.lost == 1


def test_bytes_are_capped_too() -> None:
    """Long texts cannot fill the memory."""
    desk = Desk(Caps(size_bytes=250))
    desk.happen(3)
    assert [key.seq for key, _, _ in desk.box.rows()] == [2, 3]


def test_history_is_paced_and_live_events_overtake_it() -> None:
    """A stock Mosquitto drops what a subscriber cannot take, so history trickles; what happens now does not wait for it."""
    desk = Desk()
    desk.happen(2000)
    desk.now_ns += LIVE_NS + 1
    desk.box.link_up(desk.now_ns)
    desk.pass_time(STATE_FIRST_NS)
    assert len(desk.pass_time(S)) <= S // PACE_NS + 50
    desk.happen(1)
    assert desk.send()[0] == (2001, False)


def test_history_waits_for_a_broker_that_does_not_confirm() -> None:
    """Only so many late events are in flight at once."""
    desk = Desk()
    desk.happen(2 * MAX_OUTSTANDING)
    desk.now_ns += LIVE_NS + 1
    desk.box.link_up(desk.now_ns)
    sent = []
    for _ in range(200):
        desk.now_ns += 100 * MS
        sent += desk.send(confirm=False)
    assert len(sent) == MAX_OUTSTANDING


class Life(RuleBasedStateMachine):
    """Any order of happenings, sends, confirmations, cuts and forgetful brokers: nothing is lost, and names are never reused."""

    messages = Bundle("messages")

    @initialize()
    def begin(self) -> None:
        """A fresh outbox."""
        self.desk = Desk()
        self.confirmed: set[int] = set()
        self.told: set[int] = set()
        self.flying: list[tuple[int, int]] = []

    @rule(count=st.integers(1, 5))
    def happen(self, count: int) -> None:
        """Events happen."""
        self.desk.happen(count)

    @rule()
    def up(self) -> None:
        """The connection comes up."""
        self.desk.box.link_up(self.desk.now_ns)

    @rule()
    def down(self) -> None:
        """It goes."""
        self.desk.box.link_down()
        self.flying.clear()

    @rule()
    def forget(self) -> None:
        """It comes back to a broker that lost everything."""
        self.desk.box.link_down()
        self.flying.clear()
        self.confirmed.clear()
        self.desk.box.session_lost(self.desk.now_ns)
        self.told.clear()
        self.desk.box.link_up(self.desk.now_ns)

    @rule(seconds=st.floats(0.01, 30.0))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.desk.now_ns += round(seconds * S)
        self.desk.box.tick(self.desk.now_ns)

    @rule()
    def send_one(self) -> None:
        """One message leaves, if one is due."""
        due = self.desk.box.due(self.desk.now_ns)
        if due is not None:
            self.desk.message_id += 1
            self.desk.box.sent(due[0], self.desk.message_id, self.desk.now_ns)
            self.flying.append((self.desk.message_id, due[0].seq))
            self.told.add(due[0].seq)

    @precondition(lambda self: self.flying)
    @rule()
    def confirm_one(self) -> None:
        """The broker confirms the oldest message in flight."""
        message_id, number = self.flying.pop(0)
        self.desk.box.confirmed(message_id, self.desk.now_ns)
        self.confirmed.add(number)

    @invariant()
    def nothing_is_let_go(self) -> None:
        """Within the window every event is held, and the counts agree."""
        assert [key.seq for key, _, _ in self.desk.box.rows()] == list(range(1, self.desk.number + 1))
        assert self.desk.box.lost == 0

    def teardown(self) -> None:
        """At the end, over a quiet connection, the broker hears every event that it does not have."""
        if not hasattr(self, "desk"):
            return
        box = self.desk.box
        box.link_up(self.desk.now_ns)
        for message_id, _ in self.flying:
            box.confirmed(message_id, self.desk.now_ns)
        heard = {number for number, _ in self.desk.pass_time(10 * S)}
        assert heard | self.told >= set(range(1, self.desk.number + 1))
        assert box.waiting == 0


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
