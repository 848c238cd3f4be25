"""The broker configurations that ship: a real Mosquitto starts with them, and the access rules let through what they should."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.broker.connection import Connection
from edge.site.sections import BrokerSettings, TlsSettings
from edge.sparkplug.codec import DataType, Metric, Payload, encode
from edge.wire.envelope import Incoming, Outgoing, Subscription
from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.bundles import flat_jpeg
from tests.stand.daemon import Daemon, site_document
from tests.stand.plant import roomy_bundle
from tests.stand.shipped import SHIPPED, options

pytestmark = pytest.mark.broker

NODE = "edge/v1/press7"

Client = tuple[Connection, list[Incoming]]


@pytest.fixture
def client(edge_broker: Mosquitto, pki: Path) -> Iterator[Callable[..., Client]]:
    """Connects under a certificate's name, subscribed to everything below edge/v1."""
    made: list[Connection] = []

    def connect(name: str, client_id: str = "") -> Client:
        files = TlsSettings(ca_file=pki / "ca.pem", cert_file=pki / f"{name}.pem", key_file=pki / f"{name}.key")
        got: list[Incoming] = []
        up: list[bool] = []
        connection = Connection(
            BrokerSettings(host="localhost", port=edge_broker.port, tls=files),
            client_id=client_id or name,
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
def test_the_access_rules_let_each_do_its_own_work_only(client: Callable[..., Client]) -> None:
    """Camera to daemon, daemon to SCADA, command back; nobody speaks for another, and no source listens."""
    (camera, seen_by_camera), (daemon, seen_by_daemon), (scada, seen_by_scada) = map(
        client, ("cam1", "press7", "scada")
    )
    (sensor, seen_by_sensor), (stranger, seen_by_stranger) = map(client, ("oil_temperature", "press8"))
    node_says = [f"spBv1.0/G/{kind}/press7" for kind in ("NBIRTH", "NDATA", "NDEATH")]
    node_says += [f"spBv1.0/G/{kind}/press7/top" for kind in ("DBIRTH", "DDATA", "DDEATH")]
    host_says = ["spBv1.0/G/NCMD/press7", "spBv1.0/G/DCMD/press7/top", "spBv1.0/STATE/host"]
    others = ["spBv1.0/G/NBIRTH/press8", "spBv1.0/G/DDATA/press8/top", "answers/elsewhere"]
    allowed = {
        camera: [f"{NODE}/in/frame/cam1"],
        sensor: [f"{NODE}/in/sensor/oil_temperature"],
        daemon: [f"{NODE}/{topic}" for topic in ("state", "heartbeat", "meta", "event", "flag/crack", "alarm/crack")]
        + node_says,
        scada: [f"{NODE}/cmd/ack", *host_says],
    }
    forbidden = {
        camera: [
            f"{NODE}/in/frame/other",
            "edge/v1/press8/in/frame/cam1",
            "edge/v1/cam1/state",
            f"{NODE}/cmd/ack",
            f"{NODE}/state",
            f"{NODE}/alarm/crack",
            *node_says,
        ],
        daemon: [f"{NODE}/cmd/ack", "edge/v1/press8/state", "edge/v1/press8/alarm/crack", *host_says, *others],
        scada: [f"{NODE}/state", f"{NODE}/in/frame/cam1", *node_says],
        sensor: [f"{NODE}/in/frame/cam1", f"{NODE}/in/frame/oil_temperature", f"{NODE}/in/sensor/cam1"],
        # a certificate of our authority that the rules do not name
        stranger: ["edge/v1/press8/state", "edge/v1/press8/in/frame/cam1", f"{NODE}/state", "spBv1.0/G/NBIRTH/press8"],
    }
    for table in (forbidden, allowed):
        for connection, topics in table.items():
            for topic in topics:
                connection.publish(Outgoing(topic, b"x", 1))
    for connection, topics in forbidden.items():
        wait_for(functools.partial(_settled, connection))
        assert connection.stats().dropped == {"refused": len(topics)}
    everything = [topic for topics in allowed.values() for topic in topics]
    own = [topic for topic in everything if topic.startswith(f"{NODE}/")]
    wait_for(lambda: len(seen_by_scada) == len(everything) and len(seen_by_daemon) == len(own) + 3)
    assert sorted(message.topic for message in seen_by_scada) == sorted(everything)
    assert {message.topic for message in seen_by_daemon} == {*own, *host_says}
    assert [seen_by_camera, seen_by_sensor, seen_by_stranger] == [[], [], []], "sources and strangers read nothing"


@pytest.mark.not_ours
def test_the_edge_broker_tells_its_limits(edge_broker: Mosquitto, client: Callable[..., Client]) -> None:
    """A message beyond max_packet_size is held back by us, not by a broken connection."""
    daemon, _ = client("press7")
    assert daemon.publish(Outgoing(f"{NODE}/state", bytes(8_100_001), 1)) is None
    assert daemon.stats().dropped == {"too_large": 1}
    assert "Error" not in edge_broker.log()


@pytest.mark.not_ours
def test_a_sparkplug_node_is_born_behind_the_shipped_rules(
    edge_broker: Mosquitto, client: Callable[..., Client], pki: Path, tmp_path: Path
) -> None:
    """The daemon's own Sparkplug topics, all of them: births arrive, a rebirth is heard, and the broker denies nothing."""
    site = press7_site(pki, tmp_path, edge_broker.port)
    site |= {"sparkplug": {"enabled": True, "group_id": "G", "primary_host": "host"}}
    scada, heard = client("scada")
    scada.publish(Outgoing("spBv1.0/STATE/host", b'{"online":true,"timestamp":4102444800000}', 1, retain=True))
    daemon = Daemon(site, tmp_path).start()

    def births() -> int:
        return sum(message.topic == "spBv1.0/G/NBIRTH/press7" for message in heard)

    try:
        wait_for(lambda: births() == 1, what=f"the node is born: {daemon.log()}")
        (camera, _) = client("cam1")
        camera.publish(Outgoing(f"{NODE}/in/frame/cam1", flat_jpeg(255, 0, 0), 0))
        rebirth = encode(Payload(1, (Metric("Node Control/Rebirth", DataType.BOOLEAN, True, 1),), 0))  # noqa: FBT003 - a metric's value
        scada.publish(Outgoing("spBv1.0/G/NCMD/press7", rebirth, 1))
        wait_for(lambda: births() == 2, what="it is reborn")
    finally:
        daemon.stop()
    wait_for(lambda: any(message.topic == "spBv1.0/G/NDEATH/press7" for message in heard))
    assert [line for line in edge_broker.log().splitlines() if "Denied" in line and "spBv1.0" in line] == []


@pytest.mark.not_ours
def test_no_certificate_takes_a_connection_of_the_node(
    edge_broker: Mosquitto, client: Callable[..., Client], pki: Path, tmp_path: Path
) -> None:
    """A camera's certificate connects under each name that can be guessed of the node: the node loses no connection, and goes on judging."""
    daemon = Daemon(press7_site(pki, tmp_path, edge_broker.port), tmp_path).start()
    _, heard = client("scada")
    camera, _ = client("cam1", "a-camera")

    def flags() -> int:
        return sum(message.topic.startswith(f"{NODE}/flag/") for message in heard)

    def judged(more: int) -> None:
        end = flags() + more
        wait_for(lambda: camera.publish(Outgoing(f"{NODE}/in/frame/cam1", flat_jpeg(255, 0, 0), 0)) and flags() >= end, 20.0)  # fmt: skip

    try:
        judged(1)
        for name in ("press7", "press7-in", "press7-sparkplug"):
            client("cam1", name)
        time.sleep(1.0)
        judged(3)
        states = [json.loads(message.payload) for message in heard if message.topic == f"{NODE}/state"]
        assert {state["online"] for state in states} == {True}
        assert daemon.log().count("connected to localhost") == 2, "each connected once"
    finally:
        daemon.stop()


def press7_site(pki: Path, folder: Path, port: int) -> dict[str, Any]:
    """The node of the shipped rules."""
    files = {"ca_file": str(pki / "ca.pem"), "cert_file": str(pki / "press7.pem"), "key_file": str(pki / "press7.key")}
    site = site_document(roomy_bundle(folder / "colours"), port) | {"node": {"id": "press7"}}
    site["broker"] |= {"host": "localhost", "tls": files}
    return site


@pytest.mark.not_ours
def test_a_connection_that_another_takes_is_a_reason_in_the_state(
    edge_broker: Mosquitto, client: Callable[..., Client], pki: Path, tmp_path: Path
) -> None:
    """With ids that can be guessed, as some brokers want them: whoever takes the node's inputs makes it say so, by name."""
    site = press7_site(pki, tmp_path, edge_broker.port)
    site["broker"]["secret_client_id"] = False
    daemon = Daemon(site, tmp_path).start()
    _, heard = client("scada")
    try:
        wait_for(lambda: any(message.topic == f"{NODE}/state" for message in heard))
        thief, _ = client("cam1", "press7-in")
        del thief

        def reasons() -> str:
            states = [json.loads(message.payload) for message in heard if message.topic == f"{NODE}/state"]
            return f"{states[-1]['ne107']} {states[-1]['reasons']}"

        wait_for(lambda: "the connection for inputs" in reasons(), 60.0, "the state says it")
        assert reasons()[0] in "SF"
    finally:
        daemon.stop()


@pytest.mark.not_ours
def test_on_the_listener_of_sources_a_client_id_is_the_certificates_name(
    make_mosquitto: Callable[..., Mosquitto], pki: Path
) -> None:
    """sources.conf: whatever id a camera asks for, it takes no other's connection."""
    text = options("sources.conf").replace("/etc/mosquitto/certs/sources-ca.pem", str(pki / "ca.pem"))
    broker = make_mosquitto(text.replace("/etc/mosquitto/certs", str(pki))).start()
    ups: list[str] = []
    made = []
    for certificate, name in (("scada", "scada"), ("cam1", "scada"), ("cam1", "oil_temperature")):
        files = TlsSettings(
            ca_file=pki / "ca.pem", cert_file=pki / f"{certificate}.pem", key_file=pki / f"{certificate}.key"
        )
        settings = BrokerSettings(host="localhost", port=broker.port, tls=files)
        made.append(Connection(settings, client_id=name, on_up=lambda name=certificate: ups.append(name)))  # type: ignore[misc] # mypy cannot infer a lambda with a default
        made[-1].start()
        wait_for(lambda: len(ups) == len(made))
        if certificate == "cam1" and len(made) == 2:
            made[-1].stop(timeout_s=0.1)
    assert made[0].stats().disconnects == 0
    assert " as scada (" in broker.log()
    assert " as cam1 (" in broker.log()
    assert " as oil_temperature (" not in broker.log()
    for connection in made:
        connection.stop(timeout_s=0.1)


def test_the_bench_configuration_starts(make_mosquitto: Callable[..., Mosquitto]) -> None:
    """dev.conf: anybody on this machine may connect."""
    assert "listener 1883 127.0.0.1" in (SHIPPED / "dev.conf").read_text(encoding="utf-8")
    broker = make_mosquitto(options("dev.conf")).start()
    assert "Error" not in broker.log()
