"""A message that ends the connection twice is held back; what passed once, and what is old, is no cause."""

from __future__ import annotations

from edge.broker.packet_limit import AWAITED, CAUSE_NS, RETRY_NS, PacketLimit

META, ALARM = "p/meta", "p/alarm/a"


def end_after(limit: PacketLimit, *sent: tuple[int, int, str], now_ns: int = 0) -> int | None:
    """A connection on which these messages (serial, bytes, topic) were written, and which ended then."""
    limit.connected()
    for serial, size_bytes, topic in sent:
        limit.sent(serial, size_bytes, topic, now_ns)
    return limit.ended(now_ns)


def test_a_message_that_ended_two_connections_is_held_back() -> None:
    """The longest of what was on its way; shorter ones go on."""
    limit = PacketLimit()
    assert end_after(limit, (1, 900, ALARM), (2, 30_000, META)) is None
    assert limit.allows(30_000, 0)
    assert end_after(limit, (3, 900, ALARM), (4, 30_100, META)) == 30_100
    assert not limit.allows(30_100, 0)
    assert limit.allows(900, 0)


def test_what_the_broker_read_before_is_no_cause() -> None:
    """A PUBACK shows that everything before it was read: the network ended that connection."""
    limit = PacketLimit()
    limit.sent(1, 30_000, META, 0)
    limit.sent(2, 900, ALARM, 0)
    limit.passed(2)
    assert [end_after(limit, (3, 30_000, META)) for _ in range(5)] == [None] * 5
    assert limit.allows(30_000, 0)


def test_endings_after_different_messages_teach_nothing() -> None:
    """A network that is bad ends connections whatever was on its way."""
    limit = PacketLimit()
    assert end_after(limit, (1, 30_000, META)) is None
    assert end_after(limit) is None
    assert end_after(limit, (2, 30_000, META)) is None
    assert end_after(limit, (3, 40_000, ALARM)) is None
    assert limit.allows(40_000, 0)


def test_a_message_that_was_written_long_before_the_end_has_passed() -> None:
    """Also one without an acknowledgement, at QoS 0."""
    limit = PacketLimit()
    for number in range(5):
        limit.connected()
        limit.sent(number, 30_000, META, 0)
        assert limit.ended(CAUSE_NS + 1) is None
    assert limit.allows(30_000, 0)


def test_the_limit_is_tried_again_after_an_hour_and_then_one_ending_is_enough() -> None:
    """The broker may have been told to take more; if not, it costs one connection an hour."""
    limit = PacketLimit()
    end_after(limit, (1, 30_000, META))
    end_after(limit, (2, 30_000, META))
    assert not limit.allows(30_000, RETRY_NS)
    assert limit.allows(30_000, RETRY_NS + 1)
    assert end_after(limit, (3, 30_000, META), now_ns=RETRY_NS + 1) == 30_000
    assert not limit.allows(30_000, RETRY_NS + 2)


def test_a_longer_message_that_passes_clears_a_suspicion() -> None:
    """It was not the length."""
    limit = PacketLimit()
    end_after(limit, (1, 30_000, META))
    limit.connected()
    limit.sent(2, 31_000, ALARM, 0)
    limit.passed(2)
    assert end_after(limit, (3, 30_000, META)) is None
    assert limit.allows(30_000, 0)


def test_what_is_remembered_is_bounded_and_unknown_answers_change_nothing() -> None:
    """Of a broker that acknowledges nothing, and one that acknowledges what is forgotten."""
    limit = PacketLimit()
    for number in range(3 * AWAITED):
        limit.sent(number, 10 + number, META, 0)
    limit.passed(0)
    assert len(limit._awaited) == AWAITED
