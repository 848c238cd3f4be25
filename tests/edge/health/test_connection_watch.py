"""A connection that does not stay ours is a reason in the state."""

from __future__ import annotations

from edge.health.connection_watch import DOWN_NS, FLAPPING, WINDOW_NS, ConnectionWatch
from edge.units import NS_PER_S
from edge.wire.envelope import ConnectionStats


def stats(
    *, connected: bool = True, disconnects: int = 0, refused: str | None = None, giants: int = 0
) -> ConnectionStats:
    """Counters of which four matter."""
    dropped = {"incoming_too_large": giants}
    return ConnectionStats(connected, "5", refused, disconnects + 1, disconnects, 0, 0, 0, dropped, 0, 0, None, 0)


def test_connections_that_stay_up_are_no_reason() -> None:
    """Good, without a word."""
    watch = ConnectionWatch(("inputs", "outputs"))
    assert watch.findings(0, {"inputs": stats(), "outputs": stats()}) == ("G", ())


def test_inputs_that_are_away_while_we_speak_are_a_failure_with_its_cause() -> None:
    """After longer than a reconnect takes; it ends when they are back."""
    watch = ConnectionWatch(("inputs", "outputs"))
    away = {"inputs": stats(connected=False, refused="cannot connect"), "outputs": stats()}
    assert watch.findings(0, away) == ("G", ())
    assert watch.findings(DOWN_NS, away) == ("F", ("the connection for inputs is down: cannot connect",))
    assert watch.findings(DOWN_NS + 1, {"inputs": stats(), "outputs": stats()}) == ("G", ())


def test_a_broker_that_was_away_is_no_reason_at_once_when_it_is_back() -> None:
    """Each connection may take its time to come back."""
    watch = ConnectionWatch(("inputs", "outputs"))
    nobody = {"inputs": stats(connected=False), "outputs": stats(connected=False)}
    watch.findings(0, nobody)
    watch.findings(60 * NS_PER_S, nobody)
    half = {"inputs": stats(connected=False), "outputs": stats()}
    assert watch.findings(61 * NS_PER_S, half) == ("G", ())


def test_a_connection_that_is_lost_again_and_again_is_named() -> None:
    """Whether it is stolen or the network is bad; some minutes after the last loss it is forgotten."""
    watch = ConnectionWatch(("inputs", "outputs"))
    for lost in range(FLAPPING):
        assert watch.findings(lost, {"inputs": stats(disconnects=lost), "outputs": stats()}) == ("G", ())
    letter, reasons = watch.findings(FLAPPING, {"inputs": stats(disconnects=FLAPPING), "outputs": stats()})
    assert letter == "S"
    assert reasons[0].startswith("the connection for inputs was lost 3 times or more within 5 minutes")
    later_ns = FLAPPING + WINDOW_NS
    assert watch.findings(later_ns, {"inputs": stats(disconnects=FLAPPING), "outputs": stats()}) == ("G", ())


def test_a_message_that_is_too_long_is_named_as_the_cause() -> None:
    """Over MQTT 3.1.1 the broker cannot be told our limit: the connection ends with each one, and nobody steals it."""
    watch = ConnectionWatch(("inputs", "outputs"))
    for lost in range(FLAPPING + 1):
        told = watch.findings(lost, {"inputs": stats(disconnects=lost, giants=lost), "outputs": stats()})
    letter, reasons = told
    assert letter == "S"
    assert len(reasons) == 1
    assert "longer than broker.max_packet_bytes" in reasons[0]
    later = {"inputs": stats(disconnects=FLAPPING, giants=FLAPPING), "outputs": stats()}
    assert watch.findings(FLAPPING + WINDOW_NS, later) == ("G", ())
