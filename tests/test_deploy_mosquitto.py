"""The broker configurations that ship: a real Mosquitto starts with them, and the access rules let through what they should."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.rig import Daemon, site_document
from edge.envelope import Incoming, Outgoing, Subscription
from edge.mqtt import Connection
from edge.sections import BrokerSettings, TlsSettings
from edge.sparkplug.codec import DataType, Metric, Payload, encode
from tests.brokers import Mosquitto, wait_for
from tests.edge.builders import flat_jpeg
from tests.plant import roomy_bundle

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
            subscriptions=[Subscription("edge/v1/#", 1), Subscription("spBv1.0/#", 1)],
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
    node_says = [f"spBv1.0/G/{kind}/press7" for kind in ("NBIRTH", "NDATA", "NDEATH")]
    node_says += [f"spBv1.0/G/{kind}/press7/top" for kind in ("DBIRTH", "DDATA", "DDEATH")]
    host_says = ["spBv1.0/G/NCMD/press7", "spBv1.0/G/DCMD/press7/top", "spBv1.0/STATE/host"]
    others = ["spBv1.0/G/NBIRTH/press8", "spBv1.0/G/DDATA/press8/top", "answers/elsewhere"]
    allowed = {
        camera: [f"{NODE}/in/frame/top", f"{NODE}/in/sensor/top"],
        daemon: [f"{NODE}/{topic}" for topic in ("state", "heartbeat", "meta", "event", "flag/crack", "alarm/crack")]
        + node_says,
        scada: [f"{NODE}/cmd/ack", *host_says],
    }
    forbidden = {
        camera: [f"{NODE}/in/frame/other", f"{NODE}/cmd/ack", f"{NODE}/state", f"{NODE}/alarm/crack", *node_says],
        daemon: [f"{NODE}/cmd/ack", "edge/v1/press8/state", "edge/v1/press8/alarm/crack", *host_says, *others],
        scada: [f"{NODE}/state", f"{NODE}/in/frame/top", *node_says],
    }
    for table in (forbidden, allowed):
        for connection, topics in table.items():
            for topic in topics:
                connection.publish(Outgoing(topic, b"x", 1))
    for connection, topics in forbidden.items():
        wait_for(functools.partial(_settled, connection))
        assert connection.stats().dropped == {"refused": len(topics)}
    everything = [topic for topics in allowed.values() for topic in topics]
    wait_for(lambda: len(seen_by_scada) == len(everything) and len(seen_by_daemon) == 7)
    assert sorted(message.topic for message in seen_by_scada) == sorted(everything)
    assert {message.topic for message in seen_by_daemon} == {*allowed[camera], *allowed[scada], f"{NODE}/state"}
    assert {message.topic for message in seen_by_camera} == {"spBv1.0/STATE/host"}, (
        "whether a host is there is no secret"
    )


@pytest.mark.not_ours
def test_the_edge_broker_tells_its_limits(edge_broker: Mosquitto, client: Callable[[str], Client]) -> None:
    """A message beyond max_packet_size is held back by us, not by a broken connection."""
    daemon, _ = client("press7")
    assert daemon.publish(Outgoing(f"{NODE}/state", bytes(8_000_001), 1)) is None
    assert daemon.stats().dropped == {"too_large": 1}
    assert "Error" not in edge_broker.log()


@pytest.mark.not_ours
def test_a_sparkplug_node_is_born_behind_the_shipped_rules(
    edge_broker: Mosquitto, client: Callable[[str], Client], pki: Path, tmp_path: Path
) -> None:
    """The daemon's own Sparkplug topics, all of them: births arrive, a rebirth is heard, and the broker denies nothing."""
    files = {"ca_file": str(pki / "ca.pem"), "cert_file": str(pki / "press7.pem"), "key_file": str(pki / "press7.key")}
    site = site_document(roomy_bundle(tmp_path / "colours"), edge_broker.port) | {"node": {"id": "press7"}}
    site["broker"] |= {"host": "localhost", "tls": files}
    site |= {"sparkplug": {"enabled": True, "group_id": "G", "primary_host": "host"}}
    scada, heard = client("scada")
    scada.publish(Outgoing("spBv1.0/STATE/host", b'{"online":true,"timestamp":4102444800000}', 1, retain=True))
    daemon = Daemon(site, tmp_path).start()

    def births() -> int:
        return sum(message.topic == "spBv1.0/G/NBIRTH/press7" for message in heard)

    try:
        wait_for(lambda: births() == 1, what=f"the node is born: {daemon.log()}")
        (camera, _) = client("top")
        camera.publish(Outgoing(f"{NODE}/in/frame/cam1", flat_jpeg(255, 0, 0), 0))
        rebirth = encode(Payload(1, (Metric("Node Control/Rebirth", DataType.BOOLEAN, True, 1),), 0))  # noqa: FBT003 - a metric's value
        scada.publish(Outgoing("spBv1.0/G/NCMD/press7", rebirth, 1))
        wait_for(lambda: births() == 2, what="it is reborn")
    finally:
        daemon.stop()
    wait_for(lambda: any(message.topic == "spBv1.0/G/NDEATH/press7" for message in heard))
    assert [line for line in edge_broker.log().splitlines() if "Denied" in line and "spBv1.0" in line] == []


def test_the_bench_configuration_starts(make_mosquitto: Callable[..., Mosquitto]) -> None:
    """dev.conf: anybody on this machine may connect."""
    assert "listener 1883 127.0.0.1" in (SHIPPED / "dev.conf").read_text(encoding="utf-8")
    broker = make_mosquitto(options("dev.conf")).start()
    assert "Error" not in broker.log()
