"""The broker configurations that ship: a real Mosquitto starts with them, and the access rules let through what they should."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.envelope import Incoming, Outgoing, Subscription
from edge.mqtt import Connection
from edge.sections import BrokerSettings, TlsSettings
from tests.brokers import Mosquitto, wait_for

pytestmark = pytest.mark.broker

SHIPPED = Path(__file__).parents[1] / "deploy" / "mosquitto"
NODE = "edge/v1/press7"

Client = tuple[Connection, list[Incoming]]


def options(name: str) -> str:
    """A shipped configuration without its listener line, which the test's own broker gives."""
    lines = (SHIPPED / name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("listener "))


@pytest.fixture
def edge_broker(make_mosquitto: Callable[..., Mosquitto], pki: Path, tmp_path: Path) -> Mosquitto:
    """Mosquitto with the shipped edge.conf and edge.acl, and the paths of a test."""
    text = options("edge.conf").replace("/etc/mosquitto/certs", str(pki)).replace("/var/lib/mosquitto", str(tmp_path))
    return make_mosquitto(text.replace("/etc/mosquitto/edge.acl", str(SHIPPED / "edge.acl"))).start()


@pytest.fixture
def client(edge_broker: Mosquitto, pki: Path) -> Iterator[Callable[[str], Client]]:
    """Connects under a certificate's name, subscribed to everything below edge/v1."""
    made: list[Connection] = []

    def connect(name: str) -> Client:
        files = TlsSettings(ca_file=pki / "ca.pem", cert_file=pki / f"{name}.pem", key_file=pki / f"{name}.key")
        got: list[Incoming] = []
        up: list[bool] = []
        connection = Connection(
            BrokerSettings(host="localhost", port=edge_broker.port, tls=files),
            client_id=name,
            subscriptions=[Subscription("edge/v1/#", 1)],
            on_message=got.append,
            on_up=lambda: up.append(True),
        )
        made.append(connection)
        connection.start()
        wait_for(lambda: up, what=f"{name} connects: {connection.stats().refused}")
        return connection, got

    yield connect
    for connection in made:
        connection.stop(timeout_s=0.1)


def _settled(connection: Connection) -> bool:
    return connection.stats().pending == 0


@pytest.mark.not_ours
def test_the_access_rules_let_each_do_its_own_work_only(client: Callable[[str], Client]) -> None:
    """Camera to daemon, daemon to SCADA, command back; nobody speaks for another, and no source listens."""
    (camera, seen_by_camera), (daemon, seen_by_daemon), (scada, seen_by_scada) = map(client, ("top", "press7", "scada"))
    allowed = {
        camera: [f"{NODE}/in/frame/top", f"{NODE}/in/sensor/top"],
        daemon: [f"{NODE}/{topic}" for topic in ("state", "heartbeat", "meta", "event", "flag/crack", "alarm/crack")],
        scada: [f"{NODE}/cmd/ack"],
    }
    forbidden = {
        camera: [f"{NODE}/in/frame/other", f"{NODE}/cmd/ack", f"{NODE}/state", f"{NODE}/alarm/crack"],
        daemon: [f"{NODE}/cmd/ack", "edge/v1/press8/state", "edge/v1/press8/alarm/crack"],
        scada: [f"{NODE}/state", f"{NODE}/in/frame/top"],
    }
    for table in (forbidden, allowed):
        for connection, topics in table.items():
            for topic in topics:
                connection.publish(Outgoing(topic, b"x", 1))
    for connection, topics in forbidden.items():
        wait_for(functools.partial(_settled, connection))
        assert connection.stats().dropped == {"refused": len(topics)}
    everything = [topic for topics in allowed.values() for topic in topics]
    wait_for(lambda: len(seen_by_scada) == len(everything) and len(seen_by_daemon) == 4)
    assert sorted(message.topic for message in seen_by_scada) == sorted(everything)
    assert {message.topic for message in seen_by_daemon} == {*allowed[camera], *allowed[scada], f"{NODE}/state"}
    assert seen_by_camera == []


@pytest.mark.not_ours
def test_the_edge_broker_tells_its_limits(edge_broker: Mosquitto, client: Callable[[str], Client]) -> None:
    """A message beyond max_packet_size is held back by us, not by a broken connection."""
    daemon, _ = client("press7")
    assert daemon.publish(Outgoing(f"{NODE}/state", bytes(8_000_001), 1)) is None
    assert daemon.stats().dropped == {"too_large": 1}
    assert "Error" not in edge_broker.log()


def test_the_bench_configuration_starts(make_mosquitto: Callable[..., Mosquitto]) -> None:
    """dev.conf: anybody on this machine may connect."""
    assert "listener 1883 127.0.0.1" in (SHIPPED / "dev.conf").read_text(encoding="utf-8")
    broker = make_mosquitto(options("dev.conf")).start()
    assert "Error" not in broker.log()
