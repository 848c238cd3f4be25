"""What network threads leave is bounded, in order, and taken once."""

from __future__ import annotations

import threading

from edge.frame import Reading, Trigger
from edge.intake.inbox import MAX_COMMANDS, MAX_READINGS, MAX_TRIGGERS, Inbox
from edge.wire.envelope import Incoming


def command(number: int) -> Incoming:
    """A command that can be told from others."""
    return Incoming(f"p/cmd/{number}", b"", False, number, 0)  # noqa: FBT003 - a record's field


def test_readings_and_commands_come_out_oldest_first_and_once() -> None:
    """Whoever takes them gets all of them."""
    inbox = Inbox()
    for number in range(3):
        inbox.put_reading(Reading("heat", float(number), number))
        inbox.put_command(command(number))
    assert [reading.value for reading in inbox.take_readings()] == [0.0, 1.0, 2.0]
    assert inbox.take_readings() == []
    taken = [inbox.take_command() for _ in range(4)]
    assert [item and item.received_ns for item in taken] == [0, 1, 2, None]


def test_the_oldest_readings_give_way_and_are_counted() -> None:
    """The count is told once."""
    inbox = Inbox()
    for number in range(MAX_READINGS + 5):
        inbox.put_reading(Reading("heat", float(number), number))
    assert (inbox.take_overflow(), inbox.take_overflow()) == (5, 0)
    assert inbox.take_readings()[0].value == 5.0


def test_the_oldest_triggers_give_way_and_are_counted() -> None:
    """Only the newest parts are still before the camera."""
    inbox = Inbox()
    for number in range(MAX_TRIGGERS + 3):
        inbox.put_trigger(Trigger("cam", f"{number}", 0, 0))
    assert [one.part for one in inbox.take_triggers()][:1] == ["3"]
    assert inbox.take_overflow() == 3


def test_a_command_too_many_is_not_taken() -> None:
    """Whoever left it is told, so that it can be answered; those that wait keep their turn."""
    inbox = Inbox()
    assert [inbox.put_command(command(number)) for number in range(MAX_COMMANDS + 2)][-3:] == [True, False, False]
    first = inbox.take_command()
    assert first is not None
    assert first.received_ns == 0
    assert inbox.take_overflow() == 2


def test_what_does_not_wait_for_the_next_tick() -> None:
    """Triggers, commands and a reconnection; readings do."""
    inbox = Inbox()
    inbox.put_trigger(Trigger("cam", "A", 0, 0))
    assert inbox.urgent()
    assert ([one.part for one in inbox.take_triggers()], inbox.take_triggers()) == (["A"], [])
    inbox.put_reading(Reading("heat", 1.0, 0))
    assert not inbox.urgent()
    inbox.put_command(command(1))
    assert inbox.urgent()
    inbox.take_command()
    inbox.reconnect()
    assert inbox.urgent()
    assert (inbox.take_reconnected(), inbox.take_reconnected(), inbox.urgent()) == (True, False, False)


def test_no_reading_is_lost_between_threads() -> None:
    """One thread takes while another leaves: every reading comes out once, in order."""
    inbox, taken, count = Inbox(), list[float](), 20_000

    def leave() -> None:
        for number in range(count):
            inbox.put_reading(Reading("heat", float(number), number))

    thread = threading.Thread(target=leave)
    thread.start()
    lost = 0
    while thread.is_alive():
        taken += [reading.value for reading in inbox.take_readings()]
        lost += inbox.take_overflow()
    thread.join()
    taken += [reading.value for reading in inbox.take_readings()]
    lost += inbox.take_overflow()
    assert len(taken) + lost == count
    assert taken == sorted(taken)


def test_a_higher_epoch_does_not_wait_and_is_taken_once() -> None:
    """Until then alarms are published in one that readers take for older."""
    inbox = Inbox()
    inbox.renumber(9)
    assert inbox.urgent()
    assert (inbox.take_epoch(), inbox.take_epoch(), inbox.urgent()) == (9, None, False)


def test_the_newest_word_of_a_lost_camera_is_taken_once() -> None:
    """A gateway may say it again and again."""
    inbox = Inbox()
    for at_ns in (1, 2):
        inbox.put_lost("cam", at_ns)
    assert (inbox.take_lost(), inbox.take_lost()) == ({"cam": 2}, {})
