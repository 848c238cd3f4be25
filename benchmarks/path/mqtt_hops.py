"""Two MQTT hops through stock Mosquitto: camera -> daemon -> SCADA, one plain paho connection against our two, in turns.

Run from the repository root: ``python -m benchmarks.path.mqtt_hops`` (on a busy machine, as root: ``--realtime``, which lets neither the broker
nor the ends wait for other processes, alike for both designs).

Camera and SCADA are plain paho clients in one process, the daemon's part is another process that answers each frame (QoS 0) with a flag
(QoS 1). Both clocks are CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import os
import queue
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from benchmarks import report
from edge.broker.connection import Connection
from edge.site.sections import BrokerSettings
from edge.wire.envelope import Incoming, Outgoing, Subscription
from tests.stand.ports import free_port

FRAME_BYTES = 60_000
FPS = 25
FRAME, FLAG, READY = "bench/frame", "bench/flag", "bench/ready"
STAMP = struct.Struct("<qq")  # sent ns, received by the daemon ns (in a flag)
STEP_MS = 20.0  # delayed acknowledgements show as 40 ms; half of it is already one
FIFO_PRIORITY = 20  # above an inference thread that may run on the same machine
FLAG_FILLER = b" " * 184  # a flag is about 200 bytes
DESIGNS = {"naive": "one plain paho connection", "ours": "edge.broker.connection, two connections"}


def answer_naively(port: int) -> None:
    """The natural design: one connection, subscribed at QoS 0, that publishes at QoS 1 from its own callback."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)

    def on_message(client: Client, userdata: object, message: MQTTMessage) -> None:
        del userdata
        client.publish(FLAG, message.payload[:8] + struct.pack("<q", time.monotonic_ns()) + FLAG_FILLER, qos=1)

    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe(FRAME, 0)
    client.on_subscribe = lambda client, *_: client.publish(READY, b"", qos=1)
    client.connect("127.0.0.1", port, keepalive=5)
    client.loop_forever()


def answer_ours(port: int) -> None:
    """The daemon's way: ingest and publish connections, callback -> queue -> worker."""
    frames: queue.SimpleQueue[Incoming] = queue.SimpleQueue()
    settings = BrokerSettings(port=port)
    ups = threading.Semaphore(0)
    publisher = Connection(settings, client_id="publish", on_up=ups.release)
    ingest = Connection(
        settings,
        client_id="ingest",
        subscriptions=[Subscription(FRAME, 0, no_retained=True)],
        on_message=frames.put,
        on_up=ups.release,
    )
    for connection in (publisher, ingest):
        connection.start()
        ups.acquire()
    publisher.publish(Outgoing(READY, b"", 1))
    while True:
        frame = frames.get()
        payload = frame.payload[:8] + struct.pack("<q", frame.received_ns) + FLAG_FILLER
        publisher.publish(Outgoing(FLAG, payload, 1, expiry_s=10, content_type="application/json"))


ANSWERS: dict[str, Callable[[int], None]] = {"naive": answer_naively, "ours": answer_ours}


class Plant:
    """Camera and SCADA: sends frames at a fixed rate and receives the flags."""

    def __init__(self, port: int) -> None:
        self.ready = threading.Event()
        self.hops: list[tuple[float, float]] = []  # camera to daemon, camera to SCADA, ms
        self._camera = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._scada = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        subscribed = threading.Event()
        self._scada.on_message = self._hear
        self._scada.on_connect = lambda client, *_: client.subscribe([(FLAG, 1), (READY, 1)])
        self._scada.on_subscribe = lambda *_: subscribed.set()
        for client in (self._camera, self._scada):
            client.connect("127.0.0.1", port)
            client.loop_start()
        subscribed.wait(10)

    def _hear(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        del client, userdata
        now_ns = time.monotonic_ns()
        if message.topic == READY:
            self.ready.set()
            return
        sent_ns, received_ns = STAMP.unpack(message.payload[: STAMP.size])
        self.hops.append(((received_ns - sent_ns) / 1e6, (now_ns - sent_ns) / 1e6))

    def run(self, frames: int, body: bytes) -> list[tuple[float, float]]:
        """Send so many frames and wait for the flags."""
        self.hops = []
        start = time.monotonic()
        for number in range(frames):
            time.sleep(max(0.0, start + number / FPS - time.monotonic()))
            self._camera.publish(FRAME, struct.pack("<q", time.monotonic_ns()) + body, qos=0)
        end = time.monotonic() + 2
        while len(self.hops) < frames and time.monotonic() < end:
            time.sleep(0.01)
        return self.hops


@contextmanager
def stock_mosquitto(*, realtime: bool) -> Iterator[int]:
    """Mosquitto with nothing configured but its port, as `apt-get install mosquitto` gives it."""
    binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        raise SystemExit("mosquitto is not installed: apt-get install mosquitto")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "stock.conf"
        config.write_text(f"user root\nlistener {port} 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")
        broker = subprocess.Popen([binary, "-c", str(config)], stderr=subprocess.DEVNULL)
        try:
            if realtime:
                _make_realtime(broker.pid)
            time.sleep(0.5)
            yield port
        finally:
            broker.kill()
            broker.wait()


def _make_realtime(process: int) -> None:
    try:
        os.sched_setscheduler(process, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    except PermissionError as error:
        raise SystemExit("--realtime needs CAP_SYS_NICE: run as root, or without it on an idle machine") from error


def block(plant: Plant, port: int, design: str, frames: int, *, realtime: bool) -> list[tuple[float, float]]:
    """One turn of one design, in a fresh daemon process; the first second is warm-up."""
    plant.ready.clear()
    command = [sys.executable, "-m", "benchmarks.path.mqtt_hops", "--answer", design, "--port", str(port)]
    daemon = subprocess.Popen(command + (["--realtime"] if realtime else []))
    try:
        if not plant.ready.wait(20):
            raise SystemExit(f"the {design} daemon did not come up")
        body = random.Random(7).randbytes(FRAME_BYTES - 8)
        return plant.run(FPS + frames, body)[FPS:]
    finally:
        daemon.kill()
        daemon.wait()


def row(design: str, hops: Sequence[tuple[float, float]], sent: int) -> dict[str, object]:
    """Percentiles of one design."""
    to_daemon, to_scada = [hop[0] for hop in hops], [hop[1] for hop in hops]
    return {
        "daemon": DESIGNS[design],
        "frames": sent,
        "lost": sent - len(hops),
        **{f"1 hop p{share} ms": report.percentile(to_daemon, share) for share in (50, 95, 99)},
        **{f"2 hops p{share} ms": report.percentile(to_scada, share) for share in (50, 95, 99)},
        "2 hops max ms": max(to_scada),
        f"over {STEP_MS:g} ms": f"{100 * sum(value > STEP_MS for value in to_scada) / len(to_scada):.1f} %",
    }


def main() -> None:
    """Measure, or play the daemon's part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each design")
    parser.add_argument("--frames", type=int, default=200, help="frames measured a turn, after one second of warm-up")
    parser.add_argument("--realtime", action="store_true", help="SCHED_FIFO for all processes; for a busy machine")
    parser.add_argument("--answer", choices=sorted(ANSWERS), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.realtime:
        _make_realtime(0)
    if arguments.answer:
        ANSWERS[arguments.answer](arguments.port)
        return
    hops: dict[str, list[tuple[float, float]]] = {design: [] for design in DESIGNS}
    p95s: dict[str, list[str]] = {design: [] for design in DESIGNS}
    with stock_mosquitto(realtime=arguments.realtime) as port:
        plant = Plant(port)
        for number in range(arguments.rounds):
            for design in DESIGNS:
                found = block(plant, port, design, arguments.frames, realtime=arguments.realtime)
                hops[design] += found
                p95s[design].append(f"{report.percentile([hop[1] for hop in found], 95):.1f}")
                print(f"turn {number + 1}/{arguments.rounds}, {design}: 2 hops p95 {p95s[design][-1]} ms", flush=True)
    total = arguments.rounds * arguments.frames
    rows = [row(design, found, total) for design, found in hops.items()]
    report.write(
        "mqtt_hops",
        title="Two MQTT hops through stock Mosquitto, 60 KB frames at 25 fps",
        rows=rows,
        notes=[
            f"{arguments.rounds} turns of {arguments.frames} frames each, naive and ours alternating; the broker has only a listener and allow_anonymous configured.",
            *(f"2 hops p95 of each turn, {design}: {', '.join(found)} ms." for design, found in p95s.items()),
            "Frames QoS 0, flags of 200 bytes QoS 1, MQTT 5, loopback. The naive daemon answers in its callback; ours hands over to a worker thread, as the daemon does.",
            "All processes SCHED_FIFO, because the machine was busy."
            if arguments.realtime
            else "No process had a raised priority.",
        ],
    )


if __name__ == "__main__":
    report.run(main)
