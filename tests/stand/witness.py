"""A driven daemon that can be killed, and a witness that heard every transition or says which one it missed."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.publish.store import rescue
from tests.stand.daemon import PREFIX, ROOT, site_document, toml

ALARMS = 4  # alarms on one picture: so many transitions for each flip
Name = tuple[int, int]  # epoch, seq


class Driven:
    """`tests.stand.driven` as a process of its own.

    Args:
        bundle: the colour bundle.
        port: the broker's.
        folder: for the site file, the state and the log.
        hz: pictures a second.
    """

    def __init__(self, bundle: Path, port: int, folder: Path, hz: float = 5.0) -> None:
        alarm = {"severity": 700, "message": "Red", "operator_action": "Look", "consequence": "Scrap"}
        faults = [
            {
                "id": f"red{number}",
                "camera": "cam1",
                "vision": "red",
                "alarm": alarm | {"off_delay_ms": 0.0, "auto_ack": True},
            }
            for number in range(ALARMS)
        ]
        self.state = folder / "state"
        document = site_document(bundle, port) | {
            "node": {"id": "bench", "state_dir": str(self.state)},
            "broker": {"port": port, "reconnect_max_s": 1.0, "keepalive_s": 2},
            "faults": faults,
            "publish": {"flags": "change", "heartbeat_s": 1.0},
        }
        self._config = folder / "site.toml"
        self._config.write_text(toml(document), encoding="utf-8")
        self._hz = hz
        self._log = folder / "driven.log"
        self.ledger = folder / "ledger.jsonl"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Driven:
        """Start it; it is ready some time later."""
        command = [sys.executable, "-m", "tests.stand.driven", str(self._config)]
        command += ["--hz", str(self._hz), "--ledger", str(self.ledger)]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        return self

    def send(self, number: signal.Signals) -> None:
        """Send a signal, e.g. SIGUSR1 to stop the pictures."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait_lively(self, timeout_s: float) -> None:
        """Wait until this very process judges frames, or the time is over."""
        assert self.process is not None
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if any(line["pid"] == self.process.pid and line["verdicts"] > 0 for line in self.lines()[-8:]):
                return
            time.sleep(0.1)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it, by default cleanly."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def lines(self) -> list[dict[str, Any]]:
        """The ledger so far."""
        with contextlib.suppress(FileNotFoundError):
            lines = self.ledger.read_text(encoding="utf-8").splitlines()
            return [json.loads(line) for line in lines if line.endswith("}")]
        return []

    def log(self) -> str:
        """What it said."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def written(self) -> set[Name]:
        """The names of the events on its disk."""
        found = rescue(self.state)
        return {(epoch, seq) for epoch, seq, _, _ in found[1]} if found else set()


@dataclass(frozen=True, slots=True)
class Testimony:
    """What the witness can say."""

    heard: int
    transitions: int
    lost: int
    duplicates: int
    broken_chains: int
    raised_twice: int
    epochs: int


class Witness:
    """Subscribes with a persistent session, as a historian does, and drops what it knows already."""

    def __init__(self, port: int, name: str = "witness") -> None:
        self._lock = threading.Lock()
        self._events: dict[Name, dict[str, Any]] = {}
        self._live: set[Name] = set()
        self.duplicates = 0
        self.reused = 0
        self.heartbeat: Mapping[str, Any] = {}
        client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=MQTTProtocolVersion.MQTTv5)
        client.on_message = self._on_message
        client.on_connect = lambda *_: _subscribe(client)
        client.reconnect_delay_set(1, 1)
        properties: Properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho has no types here
        properties.SessionExpiryInterval = 3600
        client.connect("127.0.0.1", port, keepalive=5, clean_start=False, properties=properties)
        client.loop_start()
        self._client = client

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        del client, userdata
        document = json.loads(message.payload)
        if message.topic.endswith("/heartbeat"):
            self.heartbeat = document
            return
        name = (document["epoch"], document["seq"])
        with self._lock:
            known = self._events.setdefault(name, document)
            if known is not document:
                self.duplicates += 1
                self.reused += known | {"historical": None} != document | {"historical": None}

    def names(self) -> set[Name]:
        """The names of everything heard."""
        with self._lock:
            return set(self._events)

    def events(self) -> list[dict[str, Any]]:
        """Everything heard, once each, in order of happening."""
        with self._lock:
            return [self._events[name] for name in sorted(self._events)]

    def missing(self, written: set[Name] | None = None) -> set[Name]:
        """Gaps in what was heard, and what is on the device's disk and was not heard."""
        heard = self.names()
        last = {epoch: max(seq for one, seq in heard if one == epoch) for epoch in {epoch for epoch, _ in heard}}
        expected = {(epoch, seq) for epoch, end in last.items() for seq in range(1, end + 1)} | (written or set())
        return expected - heard

    def wait_complete(self, written: Callable[[], set[Name]], timeout_s: float) -> float:
        """Wait until everything on the device's disk was heard; returns the seconds that it took, or the timeout."""
        began = time.monotonic()
        while time.monotonic() - began < timeout_s and self.missing(written()):
            time.sleep(0.25)
        return time.monotonic() - began

    def testify(self, written: set[Name]) -> Testimony:
        """Judge everything heard."""
        chain: dict[str, str] = {}
        broken, raised, transitions = 0, [], 0
        for event in self.events():
            if event["kind"] != "alarm":
                continue
            transitions += 1
            before, _, after = event["what"].partition("->")
            broken += chain.get(event["subject"], "NORM") != before
            chain[event["subject"]] = after
            if event["detail"] == "RAISE":
                raised.append(event["occurrence_id"])
        return Testimony(
            heard=len(self.names()),
            transitions=transitions,
            lost=len(self.missing(written)),
            duplicates=self.duplicates,
            broken_chains=broken,
            raised_twice=len(raised) - len(set(raised)) + self.reused,
            epochs=len({epoch for epoch, _ in self.names()}),
        )

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


def _subscribe(client: Client) -> None:
    client.subscribe([(f"{PREFIX}/event", 1), (f"{PREFIX}/heartbeat", 0)])
