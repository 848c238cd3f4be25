"""What the conformance scenes are played with: a host application, cameras that never tire, and one daemon behind a recording relay."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.sparkplug_conformance.relay import RecordingRelay, Tape
from tests.sparkplug_conformance.schema import Payload, read, value_of
from tests.stand.brokers import Mosquitto
from tests.stand.bundles import flat_jpeg
from tests.stand.daemon import Daemon, Sender

GROUP = "north-works"
HOST = "scada"
FRAME_HZ = 20.0
STALE_AFTER_MS = 1_000
RED, GREEN = flat_jpeg(255, 0, 0), flat_jpeg(0, 255, 0)
STEADY, ALARMING, FLIPPING, SILENT = (GREEN,), (RED,), (RED, GREEN), ()
ALARM = {
    "severity": 700,
    "message": "Red",
    "operator_action": "Look",
    "consequence": "Scrap",
    "off_delay_ms": 100,
}


class Cameras:
    """Sends each camera's pictures in turn, for ever, to one broker; it comes back by itself when the broker was away.

    Args:
        port: of the broker.
        node: whose cameras they are.
        cameras: their ids.
    """

    def __init__(self, port: int, node: str, cameras: tuple[str, ...]) -> None:
        self._port = port
        self._prefix = f"edge/v1/{node}/in"
        self.show: dict[str, tuple[bytes, ...]] = dict.fromkeys(cameras, STEADY)
        self._values: list[tuple[str, bytes]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def sense(self, sensor: str, value: float) -> None:
        """One value of a sensor, with the next pictures."""
        self._values.append((f"{self._prefix}/sensor/{sensor}", str(value).encode()))

    def close(self) -> None:
        """No more pictures."""
        self._over.set()
        self._thread.join(5)

    def _run(self) -> None:
        turn = 0
        while not self._over.is_set():
            try:
                sender = Sender(self._port)
            except OSError:
                time.sleep(0.05)
                continue
            with contextlib.suppress(OSError):
                while not self._over.wait(1 / FRAME_HZ):
                    turn += 1
                    while self._values:
                        sender.publish(*self._values.pop(0))
                    for camera, pictures in self.show.items():
                        if pictures:
                            sender.publish(f"{self._prefix}/frame/{camera}", pictures[turn % len(pictures)])
            sender.close()


class HostApplication:
    """A host on one server: writes commands, says whether it is online."""

    def __init__(self, port: int) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="host", protocol=MQTTProtocolVersion.MQTTv5)
        heard = threading.Event()
        self._client.on_subscribe = lambda *_: heard.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("spBv1.0/#", 1)
        self._client.loop_start()
        assert heard.wait(10), "the host is subscribed"

    def write(self, topic: str, values: Mapping[str, bool | int | str], qos: int = 0) -> None:
        """A command: what is written to which metric.

        QoS 0 is what hosts use. At QoS 1 the node's acknowledgement shows on the tape when the command had reached it.
        """
        now_ms = int(time.time() * 1000)
        payload = Payload(timestamp=now_ms)
        for name, value in values.items():
            metric = payload.metrics.add(name=name, timestamp=now_ms)
            if isinstance(value, bool):
                metric.boolean_value = value
            elif isinstance(value, int):
                metric.int_value = value
            else:
                metric.string_value = value
        self._client.publish(topic, payload.SerializeToString(), qos).wait_for_publish(10)

    def say(self, *, online: bool, stamp_ms: int, host: str = HOST, retain: bool = True) -> None:
        """A STATE message."""
        document = json.dumps({"online": online, "timestamp": stamp_ms})
        self._client.publish(f"spBv1.0/STATE/{host}", document, 1, retain).wait_for_publish(10)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


class Stage:
    """One daemon, its cameras and its servers behind relays, and what can be waited for on the tape.

    Args:
        folder: for configuration and logs.
        bundle: what the daemon runs.
        tape: where everything is written down.
        site: tables of site.toml; the brokers, the bundle and Sparkplug's names are added here.
        sparkplug: further keys of [sparkplug].
        servers: how many brokers.
        protocol: MQTT version asked for.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        tape: Tape,
        site: Mapping[str, Any],
        *,
        sparkplug: Mapping[str, Any] | None = None,
        servers: int = 1,
        protocol: str = "auto",
    ) -> None:
        folder.mkdir()
        self.tape = tape
        self.node: str = site["node"]["id"]
        self.devices = tuple(camera["id"] for camera in site["cameras"])
        self.brokers = [Mosquitto(folder).start() for _ in range(servers)]
        self.relays = [
            RecordingRelay(f"{self.node}-{number}", broker.port, tape) for number, broker in enumerate(self.brokers)
        ]
        settings = [
            {"port": relay.port, "protocol": protocol, "reconnect_max_s": 0.6, "keepalive_s": 5}
            for relay in self.relays
        ]
        document = {
            "bundle": str(bundle),
            **site,
            "broker": settings[0],
            "sparkplug": {"enabled": True, "group_id": GROUP, **(sparkplug or {})},
            "publish": {"flags": "frame", "heartbeat_s": 0.5},
        }
        if servers > 1:
            document["sparkplug"]["servers"] = settings
        # Far from UTC, so that local time where UTC belongs would be seen.
        self.daemon = Daemon(document, folder, environment={"TZ": "Asia/Kolkata", "OMP_NUM_THREADS": "1"})
        self.cameras = Cameras(self.brokers[0].port, self.node, self.devices)

    def announce(self, *, first_bd_seq: int, primary_host: str | None = None) -> None:
        """Write down who this node is, so that the checks know what to expect."""
        expected = {
            "group": GROUP,
            "node": self.node,
            "client_id": f"{self.node}-sparkplug",
            "devices": list(self.devices),
            "relays": [f"{self.node}-{number}" for number in range(len(self.relays))],
            "first_bd_seq": first_bd_seq,
            "stale_after_ms": STALE_AFTER_MS,
            "primary_host": primary_host,
        }
        self.tape.write("", 0, "", "SITE", expected)

    def topic(self, kind: str, device: str | None = None) -> str:
        """One of this node's topics."""
        return f"spBv1.0/{GROUP}/{kind}/{self.node}" + (f"/{device}" if device else "")

    def said(
        self,
        kind: str,
        device: str | None = None,
        that: Callable[[Any], object] = lambda _: True,
        since: int = 0,
        what: str = "",
    ) -> Any:
        """Wait for a message of this node; returns its payload."""
        topic = self.topic(kind, device)

        def fits(line: dict[str, Any]) -> bool:
            if line["kind"] != "PUBLISH" or line["way"] != "up" or line["fields"]["topic"] != topic:
                return False
            return bool(that(read(bytes.fromhex(line["fields"]["payload"]))))

        return read(bytes.fromhex(self.tape.wait(f"{topic} {what}", fits, since)["fields"]["payload"]))

    def metric(self, kind: str, device: str | None, name: str, value: Any, since: int = 0) -> None:
        """Wait until a metric says a value; a function is asked."""
        asked = value if callable(value) else lambda found: found == value
        self.said(
            kind,
            device,
            lambda payload: any(item.name == name and asked(value_of(item)) for item in payload.metrics),
            since,
            f"{name} {value}",
        )

    def lives(self, device: str, since: int) -> None:
        """Wait until a device is born and has said something after it."""
        born, data = self.topic("DBIRTH", device), self.topic("DDATA", device)
        seen: list[str] = []

        def fits(line: dict[str, Any]) -> bool:
            topic = line["fields"].get("topic")
            if line["way"] == "up" and (topic == born or (topic == data and seen)):
                seen.append(topic)
            return bool(seen) and seen[-1] == data

        self.tape.wait(f"{born}, then {data}", fits, since)

    def close(self) -> None:
        """End what is left."""
        self.cameras.close()
        self.daemon.kill()
        for relay in self.relays:
            relay.close()
        for broker in self.brokers:
            broker.kill()
