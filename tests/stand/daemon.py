"""The test bench: the real daemon as a process of its own, a sender that costs almost nothing, and an ear on everything it says.

The sender writes MQTT 5 packets by hand, because a full client would take the core that the daemon is measured on.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.stand.ports import free_port

ROOT = Path(__file__).parents[2]
NODE = "bench"
PREFIX = f"edge/v1/{NODE}"
CAMERA = "cam1"
FRAME_TOPIC = f"{PREFIX}/in/frame/{CAMERA}"
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Broker:
    """A stock Mosquitto on a free loopback port; `options` are further lines of its configuration."""

    def __init__(self, folder: Path, options: str = "") -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise SystemExit("mosquitto is not installed: apt-get install mosquitto")
        self.port = free_port()
        config = folder / "mosquitto.conf"
        config.write_text(
            f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\nsys_interval 1\n{options}\n",
            encoding="utf-8",
        )
        self._process = subprocess.Popen(
            [program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._listens, 10, "Mosquitto listens")

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()


class Daemon:
    """`edge-daemon run` on a site, as a process of its own.

    Args:
        site: site.toml as plain data, see `site_document`.
        folder: for site.toml and the log.
        python: interpreter of the environment to run it in.
        environment: further environment variables.
    """

    def __init__(
        self,
        site: Mapping[str, Any],
        folder: Path,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._python = python
        self._environment = {**os.environ, **(environment or {})}
        self.ready_s = 0.0
        self._config = folder / "site.toml"
        self._config.write_text(toml(site), encoding="utf-8")
        self.log_path = folder / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, ready: bool = True, timeout_s: float = 60.0) -> Daemon:
        """Start it; with ``ready`` also wait until it judges frames."""
        began = time.monotonic()
        with self.log_path.open("wb") as log:
            command = [self._python, "-m", "edge", "run", "--config", str(self._config)]
            self.process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stderr=log, stdout=log)
        if ready:
            try:
                wait_for(lambda: " ready: " in self.log() or self._ended(), timeout_s, "the daemon is ready")
            except BaseException:
                self.kill()  # nobody holds what was never returned: it would take a core from whatever comes next
                raise
            if self._ended():
                raise RuntimeError(f"the daemon ended:\n{self.log()}")
            self.ready_s = time.monotonic() - began
        return self

    def log(self) -> str:
        """Everything that it has logged."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def rss_mib(self) -> float:
        """Resident memory now, MiB."""
        assert self.process is not None
        statm = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii")
        return int(statm.split()[1]) * _PAGE_BYTES / 2**20

    def cpu_s(self) -> float:
        """Processor time used so far, s."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        """Ask it to end; returns its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL, as a power cut would."""
        return self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        if self.process is None:
            return 0
        if not self._ended():
            self.process.send_signal(number)
        return self.process.wait(timeout=15)

    def _ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None


class Sender:
    """Publishes at QoS 0 with hand-made MQTT 5 packets; one instance belongs to one thread."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = f"sender-{os.getpid()}-{id(self)}".encode()
        body = b"\x00\x04MQTT\x05\x02\x00\x00\x00" + _text(name)  # clean start, no keep-alive, no properties
        self._socket.sendall(b"\x10" + _length(len(body)) + body)
        self._socket.recv(256)

    def publish(self, topic: str, payload: bytes, *, captured_wall_ns: int | None = None) -> None:
        """Send one message, with the capture time as user property ``ts`` when there is one."""
        properties = b"" if captured_wall_ns is None else b"\x26" + _text(b"ts") + _text(b"%d" % captured_wall_ns)
        head = _text(topic.encode()) + _length(len(properties)) + properties
        self._socket.sendall(b"\x30" + _length(len(head) + len(payload)) + head + payload)

    def knock(self, ear: Ear, frame: bytes, timeout_s: float = 15.0) -> None:
        """Send a frame again and again until one is judged: the daemon's ears open a moment after it says that it is online."""
        mark, end = ear.count(), time.monotonic() + timeout_s
        while not any(flag.document()["frame_seq"] for flag in ear.on("flag/", mark)):
            if time.monotonic() > end:
                raise TimeoutError(f"no frame was judged in {timeout_s} s")
            self.publish(FRAME_TOPIC, frame)
            time.sleep(0.3)
        time.sleep(0.5)

    def close(self) -> None:
        """Say goodbye; what was sent before still arrives."""
        with contextlib.suppress(OSError):  # the broker may be gone
            self._socket.sendall(b"\xe0\x00")
        self._socket.close()


@dataclass(frozen=True, slots=True)
class Heard:
    """One message and when it arrived here, monotonic ns."""

    topic: str
    payload: bytes
    retained: bool
    arrived_ns: int

    def document(self) -> Any:
        """Its JSON."""
        return json.loads(self.payload)


class Ear:
    """Collects what is published; topics below ``in/`` are left out, because frames are large."""

    TOPICS = (
        "flag/+",
        "value/+",
        "alarm/+",
        "explain/+",
        "inspection/+",
        "res/+",
        "state",
        "meta",
        "heartbeat",
        "event",
    )

    def __init__(
        self, port: int, topics: tuple[str, ...] = TOPICS, extra: tuple[str, ...] = (), prefix: str = PREFIX
    ) -> None:
        self._prefix = prefix
        self._changed = threading.Condition(threading.RLock())
        self._heard: list[Heard] = []
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe([(f"{prefix}/{name}", 1) for name in topics] + [(topic, 0) for topic in extra])
        self._client.loop_start()
        if not subscribed.wait(30):
            raise RuntimeError("the broker did not answer the subscription")

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        del client, userdata
        heard = Heard(message.topic, bytes(message.payload), message.retain, time.monotonic_ns())
        with self._changed:
            self._heard.append(heard)
            self._changed.notify_all()

    def count(self) -> int:
        """How many messages came so far; a mark for `since`."""
        with self._changed:
            return len(self._heard)

    def on(self, topic: str, since: int = 0) -> list[Heard]:
        """What came on a topic below the node's prefix; ``flag/`` means all flags."""
        wanted = f"{self._prefix}/{topic}"
        with self._changed:
            heard = self._heard[since:]
        return [
            item for item in heard if item.topic == wanted or (topic.endswith("/") and item.topic.startswith(wanted))
        ]

    def everything(self) -> list[Heard]:
        """All that came."""
        with self._changed:
            return list(self._heard)

    def newest(self, topic: str) -> dict[str, Any]:
        """The newest document of each topic; only these are parsed, however much was heard."""
        last = {item.topic: item for item in self.on(topic)}
        return {name: item.document() for name, item in last.items()}

    def last(self, topic: str) -> Any:
        """The newest document on a topic, or None."""
        heard = self.on(topic)
        return heard[-1].document() if heard else None

    def wait(self, topic: str, that: Callable[[Any], object], *, since: int = 0, timeout_s: float = 10.0) -> Any:
        """The first document on a topic, from the mark ``since`` on, for which ``that`` holds."""
        end = time.monotonic() + timeout_s
        seen = since
        while True:
            with self._changed:
                self._changed.wait_for(lambda mark=seen: len(self._heard) > mark, max(0.0, end - time.monotonic()))  # type: ignore[misc] # mypy cannot infer a lambda with a default
                total = len(self._heard)
            for item in self.on(topic, seen):
                document = item.document()
                if that(document):
                    return document
            seen = total
            if time.monotonic() >= end:
                raise AssertionError(f"nothing fitting on {topic} in {timeout_s} s; last: {self.last(topic)}")

    def until(self, topic: str, that: Callable[[Any], object], timeout_s: float = 10.0) -> Any:
        """The newest document on a topic, once ``that`` holds of it; for conditions, which stand, where flags pass."""
        with self._changed:
            self._changed.wait_for(lambda: (found := self.last(topic)) is not None and that(found), timeout_s)
        found = self.last(topic)
        assert found is not None and that(found), f"after {timeout_s} s {topic} is {found}"  # noqa: PT018 - one condition
        return found

    def heartbeat(self, timeout_s: float = 15.0) -> Any:
        """The next heartbeat."""
        return self.wait("heartbeat", lambda _: True, since=self.count(), timeout_s=timeout_s)

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
        """Publish through this client and wait until the broker has it."""
        self._client.publish(topic, payload, qos=qos, retain=retain).wait_for_publish(10)

    def command(self, verb: str, **fields: Any) -> None:
        """Send any command; its answer is on ``res/{verb}``."""
        body = {"request_id": uuid.uuid4().hex, "issued_at": datetime.now(UTC).isoformat(), "user": "op"} | fields
        self.publish(f"{self._prefix}/cmd/{verb}", json.dumps(body).encode())

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def bench(
    bundle: Path, *, site: Mapping[str, Any] | None = None, python: str = sys.executable
) -> Iterator[tuple[Broker, Daemon, Ear]]:
    """Broker, daemon and ear, ready; all of them end with the block.

    Args:
        bundle: bundle folder.
        site: further tables of site.toml, laid over `site_document`.
        python: interpreter of the environment that the daemon runs in.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = Broker(folder)
        daemon = Daemon(site_document(bundle, broker.port) | dict(site or {}), folder, python)
        try:
            ear = Ear(broker.port)
            daemon.start()
            ear.wait("state", lambda state: state["online"])
            yield broker, daemon, ear
            ear.close()
        finally:
            daemon.stop()
            broker.stop()


STILLS = {"frozen_after_ms": 0}  # a rig repeats its few pictures on purpose: that is no frozen camera


def site_document(bundle: Path, port: int) -> dict[str, Any]:
    """The smallest site: one camera, every fault of the bundle, a flag with every frame."""
    return {
        "bundle": str(bundle),
        "node": {"id": NODE},
        "broker": {"port": port, "reconnect_max_s": 1.0},
        "cameras": [{"id": CAMERA, "picture": STILLS}],
        "publish": {"flags": "frame", "heartbeat_s": 1.0},
    }


def sensors_only_document(folder: Path, port: int, alarm: Mapping[str, Any]) -> dict[str, Any]:
    """A site without a camera, and so without a bundle: `vibration` above 4 is the fault `loose`."""
    document = site_document(folder, port) | {
        "cameras": [],
        "sensors": [{"id": "vibration", "stale_after_ms": 60_000}],
        "rules": [{"id": "shaking", "sensor": "vibration", "kind": "above", "limit": 4.0}],
        "faults": [{"id": "loose", "rules": ["shaking"], "alarm": alarm}],
    }
    del document["bundle"]
    return document


def toml(document: Mapping[str, Any]) -> str:
    """Plain data as TOML: scalars and lists first, then tables, then lists of tables; JSON's scalars are TOML's."""
    return "\n".join(_toml_lines(document, ())) + "\n"


def _toml_lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    later: list[str] = []
    for key, value in table.items():
        here = (*path, key)
        if isinstance(value, Mapping):
            later += [f"[{'.'.join(here)}]", *_toml_lines(value, here)]
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for item in value:
                later += [f"[[{'.'.join(here)}]]", *_toml_lines(item, here)]
        else:
            yield f"{json.dumps(key)} = {json.dumps(value)}"
    yield from later


def pace(count: int, hz: float, act: Callable[[int], None], *, until: Callable[[], bool] = lambda: False) -> int:
    """Call ``act(0..count-1)`` at a steady rate without drift, until ``until``; returns how often it was called."""
    began = time.monotonic()
    for index in range(count):
        if until():
            return index
        ahead_s = index / hz - (time.monotonic() - began)
        if ahead_s > 0:
            time.sleep(ahead_s)
        act(index)
    return count


def wait_for(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    """Return once the condition holds.

    Raises:
        TimeoutError: it did not in time.
    """
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"still not after {timeout_s} s: {what}")
        time.sleep(0.005)


def _text(raw: bytes) -> bytes:
    return struct.pack(">H", len(raw)) + raw


def _length(number: int) -> bytes:
    encoded = bytearray()
    while True:
        number, digit = divmod(number, 128)
        encoded.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(encoded)
