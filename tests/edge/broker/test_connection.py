"""The MQTT connection against real brokers: it comes back from everything, counts what it drops, and never blocks."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from edge.broker.connection import Connection
from edge.broker.limits import BrokerLimits
from edge.broker.refusal import Denied
from edge.broker.send_queue import MAX_BACKLOG
from edge.errors import ConfigError
from edge.site.sections import BrokerSettings
from edge.wire.envelope import Incoming, Outgoing, Subscription
from tests.stand.brokers import Amqtt, Mosquitto, Relay, wait_for
from tests.stand.ports import free_port

pytestmark = pytest.mark.broker

HOSTILE = """
import sys
from paho.mqtt import publish
publish.single("in/x", bytes(int(sys.argv[2])), qos=0, hostname="127.0.0.1", port=int(sys.argv[1]))
"""


class Ends:
    """Makes connections and stops them all at the end of the test."""

    def __init__(self) -> None:
        self.made: list[Connection] = []

    def __call__(
        self, port: int, *, client_id: str = "daemon", settings: dict[str, Any] | None = None, **options: Any
    ) -> Connection:
        """A started connection to a loopback broker."""
        broker = BrokerSettings(**{"port": port, "reconnect_max_s": 1.0} | (settings or {}))
        connection = Connection(broker, client_id=client_id, **options)
        self.made.append(connection)
        connection.start()
        return connection

    def up(self, port: int, **options: Any) -> Connection:
        """The same, once its subscriptions are answered."""
        ready = threading.Event()
        connection = self(port, on_up=ready.set, **options)
        assert ready.wait(10), connection.stats().refused
        return connection


@pytest.fixture
def connect() -> Iterator[Ends]:
    """Makes connections; stops them afterwards."""
    ends = Ends()
    yield ends
    for connection in ends.made:
        connection.stop(timeout_s=0.1)


def listener(connect: Ends, port: int, **options: Any) -> list[Incoming]:
    """What a subscriber to everything under ``in/`` and ``out/`` receives."""
    got: list[Incoming] = []
    subscriptions = [Subscription("in/#", 1), Subscription("out/#", 1)]
    connect.up(port, client_id="listener", subscriptions=subscriptions, on_message=got.append, **options)
    return got


def topics(got: Sequence[Incoming]) -> list[str]:
    """Topics in the order of arrival."""
    return [message.topic for message in got]


def hostile_publish(port: int, size: int) -> None:
    """Another process publishes a giant, so that its memory is not counted as ours."""
    subprocess.run([sys.executable, "-c", HOSTILE, str(port), str(size)], check=True, timeout=60)


def test_a_message_arrives_with_its_properties_and_stamps(mosquitto: Mosquitto, connect: Ends) -> None:
    """Topic, payload, content type and correlation pass unharmed, and the receipt is stamped on both clocks."""
    before_ns, before_wall_ns = time.monotonic_ns(), time.time_ns()
    got = listener(connect, mosquitto.port)
    sender = connect.up(mosquitto.port)
    sender.publish(Outgoing("out/a", b"\x00\xff", 1, content_type="image/jpeg", correlation=b"id", expiry_s=9))
    wait_for(lambda: got)
    message = got[0]
    assert (message.topic, message.payload, message.retained) == ("out/a", b"\x00\xff", False)
    assert (message.content_type, message.correlation, message.response_topic) == ("image/jpeg", b"id", None)
    assert before_ns < message.received_ns < time.monotonic_ns()
    assert before_wall_ns < message.received_wall_ns < time.time_ns()
    assert sender.stats().protocol == "5"


def test_each_publish_is_acknowledged_once_by_its_own_id(mosquitto: Mosquitto, connect: Ends) -> None:
    """Four threads publish at once; every id is acknowledged exactly once, and QoS 0 never is."""
    acknowledged: list[int] = []
    sender = connect.up(mosquitto.port, on_acknowledged=lambda serial, _: acknowledged.append(serial))
    ids: list[int | None] = []

    def work() -> None:
        for _ in range(100):
            ids.append(sender.publish(Outgoing("out/a", b"x", 1)))
            sender.publish(Outgoing("out/b", b"x", 0))
            time.sleep(0.0005)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: len(acknowledged) >= 400)
    wait_for(lambda: sender.stats().pending == 0)
    assert sorted(acknowledged) == sorted(number for number in ids if number is not None)
    assert sender.stats().published == 800
    assert sender.stats().acknowledged == 400


def test_nothing_is_queued_while_offline(connect: Ends) -> None:
    """Without a broker, publish answers None at once and counts it; the thread lives and says why."""
    connection = connect(free_port())
    wait_for(lambda: "cannot reach" in (connection.stats().refused or ""))
    assert connection.publish(Outgoing("out/a", b"x", 1)) is None
    assert connection.stats().dropped == {"offline": 1}
    assert connection.alive(time.monotonic_ns())
    assert not connection.connected


def test_a_broker_that_is_down_at_start_is_found_when_it_comes(
    make_mosquitto: Callable[..., Mosquitto], connect: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    """start() does not raise, retries do not fill the log, and nothing published before is sent late."""
    broker = make_mosquitto()
    with caplog.at_level(logging.INFO, "edge.broker.connection"):
        connection = connect(broker.port)
        time.sleep(1.5)
        connection.publish(Outgoing("out/early", b"x", 1))
        broker.start()
        wait_for(lambda: connection.connected)
    assert len([record for record in caplog.records if "cannot reach" in record.message]) == 1
    assert connection.stats().published == 0
    assert connection.stats().refused is None


def test_after_kill_and_restart_it_comes_back_and_subscribes_again(mosquitto: Mosquitto, connect: Ends) -> None:
    """Broker kill -9: on_down once, on_up again, messages flow again, ids go on without repeating."""
    downs: list[str] = []
    got: list[Incoming] = []
    acknowledged: list[int] = []
    connection = connect.up(
        mosquitto.port,
        subscriptions=[Subscription("in/#", 0)],
        on_message=got.append,
        on_down=downs.append,
        on_acknowledged=lambda serial, _: acknowledged.append(serial),
    )
    first = connection.publish(Outgoing("in/a", b"1", 1))
    wait_for(lambda: got and acknowledged)
    mosquitto.kill()
    wait_for(lambda: downs)
    assert connection.publish(Outgoing("in/lost", b"x", 1)) is None
    mosquitto.start()
    wait_for(lambda: connection.connected)
    wait_for(lambda: connection.publish(Outgoing("in/b", b"2", 1)) and "in/b" in topics(got))
    wait_for(lambda: len(acknowledged) > 1)
    assert len(downs) == 1
    assert "in/lost" not in topics(got)
    assert len(set(acknowledged)) == len(acknowledged)
    assert first is not None
    assert min(acknowledged[1:]) > first
    stats = connection.stats()
    assert (stats.connects, stats.disconnects, stats.protocol) == (2, 1, "5")


def test_a_packet_too_large_for_the_broker_is_dropped_not_looped(
    make_mosquitto: Callable[..., Mosquitto], connect: Ends
) -> None:
    """The broker's own MaximumPacketSize is kept: the big one is counted, the connection stays, the next one passes."""
    broker = make_mosquitto("allow_anonymous true\nmax_packet_size 50000").start()
    got = listener(connect, broker.port, settings={"max_packet_bytes": 50_000})
    connection = connect.up(broker.port)
    assert connection.publish(Outgoing("out/big", bytes(60_000), 1)) is None
    assert connection.publish(Outgoing("out/small", bytes(49_900), 1)) is not None
    wait_for(lambda: got)
    assert topics(got) == ["out/small"]
    assert connection.stats().dropped == {"too_large": 1}
    assert connection.stats().disconnects == 0


@pytest.mark.slow
def test_a_giant_from_a_hostile_publisher_never_reaches_us(mosquitto: Mosquitto, connect: Ends) -> None:
    """MQTT 5: the broker keeps a 100 MB message from us; memory stays, the connection stays, the next message comes."""
    got: list[Incoming] = []
    connection = connect.up(mosquitto.port, subscriptions=[Subscription("in/#", 0)], on_message=got.append)
    before = psutil.Process().memory_info().rss
    hostile_publish(mosquitto.port, 100_000_000)
    connection.publish(Outgoing("in/next", b"fine", 0))
    wait_for(lambda: got, timeout_s=20)
    assert topics(got) == ["in/next"]
    assert connection.stats().disconnects == 0
    assert psutil.Process().memory_info().rss - before < 30_000_000


@pytest.mark.slow
def test_on_mqtt_311_a_giant_is_cut_off(mosquitto: Mosquitto, connect: Ends) -> None:
    """MQTT 3.1.1 cannot tell the broker our limit: the giant costs one reconnect, little memory, and is counted."""
    got: list[Incoming] = []
    connection = connect.up(
        mosquitto.port, settings={"protocol": "3.1.1"}, subscriptions=[Subscription("in/#", 0)], on_message=got.append
    )
    before = psutil.Process().memory_info().rss
    hostile_publish(mosquitto.port, 100_000_000)
    wait_for(lambda: connection.stats().dropped.get("incoming_too_large") == 1, timeout_s=20)
    wait_for(lambda: connection.stats().connects == 2)
    wait_for(lambda: connection.publish(Outgoing("in/next", b"fine", 0)) and got)
    assert set(topics(got)) == {"in/next"}
    assert psutil.Process().memory_info().rss - before < 30_000_000


def test_a_message_with_more_properties_than_we_read_is_refused_and_counted(
    mosquitto: Mosquitto, connect: Ends
) -> None:
    """Reading one costs some 10 us; the message is confirmed, so that the broker does not send it again, and the next one comes."""
    got: list[Incoming] = []
    here = connect.up(
        mosquitto.port, client_id="listener", subscriptions=[Subscription("out/#", 1)], on_message=got.append
    )
    sender = connect.up(mosquitto.port)
    sender.publish(Outgoing("out/a", b"x", 1, user_properties=(("k", "v" * 20),) * 300))
    sender.publish(Outgoing("out/b", b"y", 1, user_properties=(("k", "v" * 20),) * 100))
    sender.publish(Outgoing("out/c", bytes(1_000_000), 0, user_properties=(("ts", "5"),)))
    wait_for(lambda: len(got) == 2)
    assert [(message.topic, len(message.payload), len(message.user_properties)) for message in got] == [
        ("out/b", 1, 100),
        ("out/c", 1_000_000, 1),
    ]
    assert here.stats().dropped == {"incoming_properties": 1}
    assert here.stats().callback_errors == 0


def test_callbacks_that_raise_are_counted_and_survived(
    mosquitto: Mosquitto, connect: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    """Every callback raises, each time; messages still flow, the failures are counted and logged once each."""
    calls: list[str] = []

    def broken(name: str) -> Callable[..., None]:
        def callback(*_: object) -> None:
            calls.append(name)
            raise ValueError(name)

        return callback

    connection = connect(
        mosquitto.port,
        subscriptions=[Subscription("in/#", 1)],
        on_up=broken("up"),
        on_message=broken("message"),
        on_acknowledged=broken("acknowledged"),
        on_down=broken("down"),
    )
    wait_for(lambda: "up" in calls)
    for _ in range(3):
        connection.publish(Outgoing("in/a", b"x", 1))
    wait_for(lambda: calls.count("message") == 3 and calls.count("acknowledged") == 3)
    assert connection.connected
    mosquitto.kill()
    wait_for(lambda: "down" in calls)
    wait_for(lambda: connection.stats().callback_errors == 8)
    assert connection.alive(time.monotonic_ns())

    def told() -> int:
        return sum("counted from now on" in record.message for record in caplog.records)

    wait_for(lambda: told() == 4, what="each kind of callback is told of once, a moment after it is counted")


def test_a_fault_of_our_own_inside_paho_is_counted_and_the_connection_made_anew(
    mosquitto: Mosquitto, connect: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paho would swallow it, and leave a connection that is up for the broker and for nobody else."""
    connected = Connection._went_up
    failures = iter([ZeroDivisionError("once")])

    def fail_once(self: Connection, limits: BrokerLimits) -> None:
        for failure in failures:
            raise failure
        connected(self, limits)

    monkeypatch.setattr(Connection, "_went_up", fail_once)
    connection = connect(mosquitto.port)
    wait_for(lambda: connection.connected)
    assert connection.stats().callback_errors == 1
    assert connection._errors.failing() == (f"mqtt {connection._client_id} on_connect",)


def test_the_will_is_delivered_when_the_connection_breaks(mosquitto: Mosquitto, relay: Relay, connect: Ends) -> None:
    """The network breaks without a goodbye: the broker speaks our last will."""
    got = listener(connect, mosquitto.port)
    connect.up(relay.port, will=Outgoing("out/state", b"gone", 1, retain=True, content_type="text/plain"))
    relay.close()
    wait_for(lambda: got)
    assert (got[0].topic, got[0].payload) == ("out/state", b"gone")


def test_stop_sends_the_last_words_and_no_will(mosquitto: Mosquitto, connect: Ends) -> None:
    """What was queued and the last words arrive in order, acknowledged, before the goodbye; the will stays unsaid."""
    got = listener(connect, mosquitto.port)
    connection = connect.up(mosquitto.port, will=Outgoing("out/will", b"", 1))
    for number in range(50):
        connection.publish(Outgoing(f"out/{number}", b"x", 1))
    connection.stop([Outgoing("out/last", b"bye", 1)], timeout_s=5)
    assert not connection.alive(time.monotonic_ns())
    wait_for(lambda: "out/last" in topics(got))
    time.sleep(0.2)
    assert topics(got) == [*(f"out/{number}" for number in range(50)), "out/last"]
    stats = connection.stats()
    assert (stats.acknowledged, stats.pending, stats.refused) == (51, 0, "stopped")
    assert connection.publish(Outgoing("out/late", b"", 1)) is None


def test_stop_does_not_wait_longer_than_told(mosquitto: Mosquitto, connect: Ends) -> None:
    """A broker that hangs cannot hold up our end."""
    connection = connect.up(mosquitto.port)
    mosquitto.signal(signal.SIGSTOP)
    began = time.monotonic()
    connection.stop([Outgoing("out/last", b"bye", 1)], timeout_s=0.5)
    assert time.monotonic() - began < 1.6
    mosquitto.signal(signal.SIGCONT)


def test_a_hanging_broker_costs_bounded_memory_and_no_time(mosquitto: Mosquitto, connect: Ends) -> None:
    """Publish never blocks; beyond the backlog messages are dropped and counted; what was accepted arrives."""
    connection = connect.up(mosquitto.port, settings={"keepalive_s": 60})
    mosquitto.signal(signal.SIGSTOP)
    worst_s, accepted = 0.0, 0
    for _ in range(MAX_BACKLOG + 500):
        began = time.perf_counter()
        accepted += connection.publish(Outgoing("out/a", bytes(300), 1)) is not None
        worst_s = max(worst_s, time.perf_counter() - began)
    assert worst_s < 2.0  # a call that waited for this broker would never return; a busy machine takes some of this
    assert MAX_BACKLOG <= accepted <= MAX_BACKLOG + 120
    assert connection.stats().dropped == {"backlog": MAX_BACKLOG + 500 - accepted}
    mosquitto.signal(signal.SIGCONT)
    wait_for(lambda: connection.stats().acknowledged == accepted)


def test_what_a_dying_broker_left_unsaid_is_not_said_later(mosquitto: Mosquitto, connect: Ends) -> None:
    """Messages that wait when the connection goes away are counted as lost and never sent: their moment is over."""
    connection = connect.up(mosquitto.port, settings={"keepalive_s": 60})
    mosquitto.signal(signal.SIGSTOP)
    accepted = [connection.publish(Outgoing("out/old", b"x", 1)) for _ in range(300)]
    assert None not in accepted
    mosquitto.kill()
    wait_for(lambda: not connection.connected)
    assert connection.stats().dropped == {"lost": 300}
    mosquitto.start()
    got = listener(connect, mosquitto.port)
    wait_for(lambda: connection.publish(Outgoing("out/new", b"x", 1)) and got)
    time.sleep(0.2)
    assert set(topics(got)) == {"out/new"}


@pytest.mark.slow
def test_a_half_open_link_is_noticed(mosquitto: Mosquitto, relay: Relay, connect: Ends) -> None:
    """No byte passes and nobody says so: noticed after about twice the keep-alive, and the link comes back."""
    downs: list[str] = []
    connection = connect.up(relay.port, settings={"keepalive_s": 2}, on_down=downs.append)
    relay.freeze()
    began = time.monotonic()
    wait_for(lambda: downs, timeout_s=8)
    assert 1.5 < time.monotonic() - began < 6
    relay.thaw()
    wait_for(lambda: connection.connected)
    assert mosquitto.process is not None


def test_a_wrong_password_degrades_and_a_right_one_heals(
    make_mosquitto: Callable[..., Mosquitto], connect: Ends, tmp_path: Path
) -> None:
    """Refused by the broker: the reason is visible, no busy loop; a corrected file takes effect without a restart."""
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "press7", "right"], check=True, capture_output=True)
    broker = make_mosquitto(f"allow_anonymous false\npassword_file {passwords}").start()
    secret = tmp_path / "secret"
    secret.write_text("wrong\n", encoding="utf-8")
    secret.chmod(0o600)
    connection = connect(broker.port, settings={"username": "press7", "password_file": secret})
    wait_for(lambda: "Not authorized" in (connection.stats().refused or ""))
    assert connection.denied(0) == Denied("client daemon (Not authorized)")
    time.sleep(2)
    assert broker.log().count("New connection from") - 1 <= 6  # one was the fixture's own look at the port
    assert connection.alive(time.monotonic_ns())
    secret.write_text("right\n", encoding="utf-8")
    wait_for(lambda: connection.connected)
    assert connection.stats().refused is None
    assert connection.denied(0) == Denied()


def test_a_refused_publish_is_counted_and_said(
    make_mosquitto: Callable[..., Mosquitto], connect: Ends, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An access rule forbids the topic: the PUBACK's reason is counted and logged once, not taken for success."""
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite out/allowed\n", encoding="utf-8")
    broker = make_mosquitto(f"allow_anonymous true\nacl_file {rules}").start()
    acknowledged: list[int] = []
    connection = connect.up(broker.port, on_acknowledged=lambda serial, _: acknowledged.append(serial))
    for _ in range(3):
        connection.publish(Outgoing("out/forbidden", b"x", 1))
    allowed = connection.publish(Outgoing("out/allowed", b"x", 1))
    wait_for(lambda: acknowledged)
    assert acknowledged == [allowed]
    assert connection.stats().dropped == {"refused": 3}
    assert len([record for record in caplog.records if "refused a message" in record.message]) == 1


def test_a_refused_topic_is_known_until_it_is_taken(
    make_mosquitto: Callable[..., Mosquitto], connect: Ends, tmp_path: Path
) -> None:
    """Over a lost connection too; once the access rules are mended, the next message on that topic heals it."""
    rules = tmp_path / "acl"
    rules.write_text("topic readwrite out/allowed\n", encoding="utf-8")
    broker = make_mosquitto(f"allow_anonymous true\nacl_file {rules}").start()
    connection = connect.up(broker.port)
    connection.publish(Outgoing("out/forbidden", b"x", 1))
    connection.publish(Outgoing("out/allowed", b"x", 1))
    wait_for(lambda: connection.stats().pending == 0)
    assert connection.denied(time.monotonic_ns()) == Denied(topics=("out/forbidden",))
    broker.kill()
    wait_for(lambda: not connection.connected)
    assert connection.denied(time.monotonic_ns()) == Denied(topics=("out/forbidden",))
    rules.write_text("topic readwrite out/+\n", encoding="utf-8")
    broker.start()
    wait_for(lambda: connection.connected)
    assert connection.denied(time.monotonic_ns()) == Denied(topics=("out/forbidden",))
    connection.publish(Outgoing("out/forbidden", b"x", 1))
    wait_for(lambda: connection.denied(time.monotonic_ns()) == Denied())


class Chary:
    """A broker that grants a subscription only at the third time; stock Mosquitto grants a forbidden one and delivers nothing."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.asked: list[list[str]] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._server.accept()
        with client, client.makefile("rb") as packets:
            while head := packets.read(2):  # packets of less than 128 bytes
                body = packets.read(head[1])
                if head[0] == 0x10:
                    client.sendall(b"\x20\x03\x00\x00\x00")
                elif head[0] == 0x82:
                    topics, at = [], 3
                    while at < len(body):
                        end = at + 2 + int.from_bytes(body[at : at + 2])
                        topics.append(body[at + 2 : end].decode())
                        at = end + 1
                    self.asked.append(topics)
                    codes = [0x87 if topic == "in/secret" and len(self.asked) < 3 else 1 for topic in topics]
                    client.sendall(bytes([0x90, 3 + len(codes)]) + body[:2] + b"\x00" + bytes(codes))

    def close(self) -> None:
        """No more."""
        self._thread.join(5)
        self._server.close()


def test_a_refused_subscription_is_known_and_asked_for_again(
    connect: Ends, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A SUBACK that says no makes us deaf on that topic: it is said, once, and asked for again until it is granted; the others are left alone."""
    monkeypatch.setattr("edge.broker.connection.RETRY_REJECTED_S", 0.2)
    broker = Chary()
    wanted = [Subscription("in/open", 1), Subscription("in/secret", 1)]
    connection = connect.up(broker.port, subscriptions=wanted, settings={"protocol": "5"})
    assert connection.denied(0) == Denied(subscriptions=("in/secret (Not authorized)",))
    assert "refused the subscription to in/secret" in (connection.stats().refused or "")
    wait_for(lambda: connection.denied(0) == Denied())
    assert broker.asked == [["in/open", "in/secret"], ["in/secret"], ["in/secret"]]
    assert connection.stats().refused is None
    assert len([record for record in caplog.records if "refused the subscription" in record.message]) == 1
    connection.stop()
    broker.close()


def test_a_live_command_with_the_retain_flag_comes_once(mosquitto: Mosquitto, connect: Ends) -> None:
    """Brokers take the flag off for who listens already, so it is heard; the copy that they keep is not replayed, or says what it is."""
    five: list[Incoming] = []
    old: list[Incoming] = []
    commands = [Subscription("in/cmd", 1, no_retained=True)]
    connect.up(mosquitto.port, client_id="five", subscriptions=commands, on_message=five.append)
    sender = connect.up(mosquitto.port, client_id="sender")
    sender.publish(Outgoing("in/cmd", b"now", 1, retain=True))
    wait_for(lambda: five)
    again = connect.up(mosquitto.port, client_id="five-again", subscriptions=commands, on_message=five.append)
    settings = {"protocol": "3.1.1"}
    connect.up(mosquitto.port, client_id="old", subscriptions=commands, on_message=old.append, settings=settings)
    wait_for(lambda: old)
    time.sleep(0.2)
    assert again.connected
    assert [message.retained for message in five] == [False]
    assert [message.retained for message in old] == [True]


def test_retained_messages_are_not_replayed_when_not_wanted(mosquitto: Mosquitto, connect: Ends) -> None:
    """A retained command must not be carried out again at each reconnect; a subscription can ask not to get it."""
    connect.up(mosquitto.port, client_id="sender").publish(Outgoing("in/cmd", b"old", 1, retain=True))
    time.sleep(0.2)
    with_retained: list[Incoming] = []
    without: list[Incoming] = []
    connect.up(mosquitto.port, client_id="a", subscriptions=[Subscription("in/#", 1)], on_message=with_retained.append)
    quiet = Subscription("in/#", 1, no_retained=True)
    connect.up(mosquitto.port, client_id="b", subscriptions=[quiet], on_message=without.append)
    wait_for(lambda: with_retained)
    time.sleep(0.2)
    assert [message.retained for message in with_retained] == [True]
    assert without == []


def test_it_falls_back_to_mqtt_311(amqtt: Amqtt, connect: Ends) -> None:
    """A broker that knows no MQTT 5 (amqtt) is spoken to in 3.1.1, at once and with everything but the properties."""
    got: list[Incoming] = []
    began = time.monotonic()
    connection = connect.up(amqtt.port, subscriptions=[Subscription("in/#", 1)], on_message=got.append)
    assert time.monotonic() - began < 3
    connection.publish(Outgoing("in/a", b"x", 1, expiry_s=5, content_type="text/plain", correlation=b"c"))
    wait_for(lambda: got)
    assert (got[0].payload, got[0].content_type) == (b"x", None)
    assert connection.stats().protocol == "3.1.1"


@pytest.mark.slow
def test_mqtt_5_only_refuses_to_fall_back(amqtt: Amqtt, connect: Ends) -> None:
    """With protocol 5 the daemon stays offline rather than speak another version."""
    connection = connect(amqtt.port, settings={"protocol": "5", "keepalive_s": 2})
    time.sleep(3)
    assert not connection.connected
    assert connection.stats().connects == 0


def test_a_port_that_only_closes_is_no_busy_loop(connect: Ends) -> None:
    """Something accepts and closes every connection: a few attempts, with pauses."""
    server = socket.create_server(("127.0.0.1", 0))
    attempts: list[float] = []

    def accept() -> None:
        while True:
            try:
                server.accept()[0].close()
            except OSError:
                return
            attempts.append(time.monotonic())

    threading.Thread(target=accept, daemon=True).start()
    connection = connect(server.getsockname()[1])
    time.sleep(2.5)
    server.close()
    assert 2 <= len(attempts) <= 12
    assert "without an answer" in (connection.stats().refused or "")


# TLS


def tls_options(pki: Path) -> str:
    """mosquitto.conf of a broker that wants client certificates."""
    return (
        f"cafile {pki}/ca.pem\ncertfile {pki}/broker.pem\nkeyfile {pki}/broker.key\n"
        "require_certificate true\nuse_identity_as_username true\nallow_anonymous false"
    )


def tls(pki: Path, *, ca: str = "ca", device: bool = True, host: str = "localhost") -> dict[str, Any]:
    """Broker settings with TLS."""
    files: dict[str, Any] = {"ca_file": pki / f"{ca}.pem"}
    if device:
        files |= {"cert_file": pki / "press7.pem", "key_file": pki / "press7.key"}
    return {"host": host, "tls": files}


def test_mutual_tls_works_and_names_the_device(
    make_mosquitto: Callable[..., Mosquitto], connect: Ends, pki: Path
) -> None:
    """Both certificates are checked; a 300 KB message passes; the broker knows us by the common name."""
    broker = make_mosquitto(tls_options(pki)).start()
    got: list[Incoming] = []
    connection = connect.up(
        broker.port, settings=tls(pki), subscriptions=[Subscription("in/#", 1)], on_message=got.append
    )
    connection.publish(Outgoing("in/big", bytes(300_000), 1))
    wait_for(lambda: got)
    assert len(got[0].payload) == 300_000
    assert "u'press7'" in broker.log()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"ca": "evil"}, "certificate is not trusted"),
        ({"host": "127.0.0.1"}, "certificate is not trusted"),
        ({"device": False}, "is our certificate one that it accepts"),
    ],
    ids=["a broker signed by somebody else", "a broker with another name", "a device without a certificate"],
)
def test_tls_refuses_what_it_must(
    make_mosquitto: Callable[..., Mosquitto], connect: Ends, pki: Path, settings: dict[str, Any], reason: str
) -> None:
    """A wrong authority, a wrong host name and a missing client certificate each keep us offline, and say why."""
    broker = make_mosquitto(tls_options(pki)).start()
    connection = connect(broker.port, settings=tls(pki, **settings))
    wait_for(lambda: reason in (connection.stats().refused or ""), what=f"{reason}: {connection.stats().refused}")
    time.sleep(0.5)
    assert connection.stats().connects == 0


def test_a_key_that_others_can_read_is_refused_at_once(pki: Path, tmp_path: Path) -> None:
    """The daemon does not start with a world-readable key; the text says what to run."""
    (tmp_path / "key").write_bytes((pki / "press7.key").read_bytes())
    (tmp_path / "key").chmod(0o644)
    files = {"ca_file": pki / "ca.pem", "cert_file": pki / "press7.pem", "key_file": tmp_path / "key"}
    with pytest.raises(ConfigError, match="chmod 600"):
        Connection(BrokerSettings(tls=files), client_id="x")


def test_other_topics_are_heard_without_a_break(mosquitto: Mosquitto, connect: Ends) -> None:
    """What stays subscribed loses no message while topics come and go, and a reconnect asks for the new ones."""
    heard: list[tuple[str, bytes]] = []
    connection = connect.up(
        mosquitto.port,
        subscriptions=[Subscription("in/stays", 1), Subscription("in/goes", 1)],
        on_message=lambda incoming: heard.append((incoming.topic, incoming.payload)),
    )
    sender = connect.up(mosquitto.port, client_id="sender")
    for number in range(300):
        sender.publish(Outgoing("in/stays", b"%d" % number, 1))
        if number == 100:
            connection.resubscribe([Subscription("in/stays", 1), Subscription("in/comes", 1)])
        time.sleep(0.002)
    wait_for(lambda: len(heard) == 300, what="all arrived")
    assert [payload for _, payload in heard] == [b"%d" % number for number in range(300)]
    for again in (False, True):
        if again:
            mosquitto.kill()
            mosquitto.start()
            wait_for(lambda: connection.stats().connects == 2 and sender.stats().connects == 2, 20, "both are back")
            time.sleep(0.3)
        for topic in ("in/goes", "in/comes"):
            sender.publish(Outgoing(topic, b"x", 1))
        wait_for(lambda: ("in/comes", b"x") in heard, what="the new topic is heard")
        assert ("in/goes", b"x") not in heard
        heard.clear()
    assert connection.stats().refused is None
