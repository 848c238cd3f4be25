"""The simulated plant as a process: a camera and its sensors over MQTT, and what it did, line by line, on standard output.

It renders ahead while everything else starts, publishes sensor values from the beginning, and lets the first part onto the line when it reads
a line on standard input. Every line of output is one JSON object: ``ready``, then ``frame`` for each frame handed over, then ``done``.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from edge.broker.connection import Connection
from edge.site.settings import Site, load_site
from edge.wire.envelope import Outgoing
from examples.demo.story import SENSORS, channels_for, line_settings
from examples.line.line import Line, LineFrame
from examples.line.sensors import SensorModel

AHEAD_S = 3.0  # so much of the line is rendered before it is shown
SENSOR_INTERVAL_S = 0.1
CONNECT_TIMEOUT_S = 20.0


def sensor_messages(site: Site, readings: Mapping[str, float], wall_s: float) -> list[Outgoing]:
    """One message for each sensor topic: SenML for the pressure, a JSON object where sensors share a topic, else a bare number."""
    topics: dict[str, dict[str, float]] = {}
    for sensor in site.sensors:
        topics.setdefault(site.sensor_topic(sensor), {})[sensor.id] = round(readings[sensor.id], 4)
    return [Outgoing(topic, _payload(values, wall_s), qos=0) for topic, values in topics.items()]


def _payload(values: Mapping[str, float], wall_s: float) -> bytes:
    name, number = next(iter(values.items()))
    if name == "pressure_bar":
        return json.dumps([{"bt": wall_s, "n": name, "v": number}]).encode()
    if len(values) > 1:
        return json.dumps(dict(values)).encode()
    return str(number).encode()


class Plant:
    """The line, its connection, and its clock.

    Args:
        site: where frames and readings go.
        line: what happens.
    """

    def __init__(self, site: Site, line: Line) -> None:
        self._site = site
        self._line = line
        self._frames: queue.Queue[LineFrame | None] = queue.Queue(maxsize=max(1, round(AHEAD_S * line.settings.fps)))
        self._link = Connection(site.broker, client_id=f"{site.node.id}-plant")
        self._next_sensors_s = 0.0

    def run(self) -> int:
        """Idle until the start command, run the line to its end; returns the exit status."""
        renderer = threading.Thread(target=self._render, daemon=True)
        renderer.start()
        self._link.start()
        end_s = time.monotonic() + CONNECT_TIMEOUT_S
        while not self._link.connected:
            if time.monotonic() > end_s:
                print(f"no broker at {self._site.broker.host}:{self._site.broker.port}", file=sys.stderr)
                return 1
            time.sleep(0.02)
        self._idle(renderer)
        sent = self._show()
        _print_event(event="done", sent=sent)
        self._link.stop(timeout_s=5.0)
        return 0

    def _render(self) -> None:
        for frame in self._line:
            self._frames.put(frame)
        self._frames.put(None)

    def _idle(self, renderer: threading.Thread) -> None:
        """Rest: sensors only, until a line arrives on standard input."""
        started = threading.Event()
        threading.Thread(target=_wait_for_line, args=(started,), daemon=True).start()
        resting = SensorModel(self._line.settings.seed)
        ready = False
        while not started.is_set():
            self._sense(resting.step(0.0, (), SENSOR_INTERVAL_S))
            if not ready and (self._frames.full() or not renderer.is_alive()):
                ready = True
                _print_event(event="ready")
            started.wait(SENSOR_INTERVAL_S)

    def _show(self) -> int:
        """Every frame at its time; returns how many were handed to the broker."""
        camera = self._site.cameras[0]
        topic = self._site.frame_topic(camera)
        begin_s = time.monotonic()
        sent = 0
        while (frame := self._frames.get()) is not None:
            time.sleep(max(0.0, begin_s + frame.t_s - time.monotonic()))
            self._sense(frame.readings)
            now_ns = time.monotonic_ns()
            if self._link.publish(Outgoing(topic, frame.jpeg, qos=0)) is not None:
                sent += 1
                readings = {name: round(value, 3) for name, value in frame.readings.items()}
                _print_event(event="frame", index=frame.index, ns=now_ns, bytes=len(frame.jpeg), readings=readings)
        return sent

    def _sense(self, readings: Mapping[str, float]) -> None:
        now_s = time.monotonic()
        if now_s >= self._next_sensors_s:
            self._next_sensors_s = now_s + 0.9 * SENSOR_INTERVAL_S
            for message in sensor_messages(self._site, readings, round(time.time(), 3)):
                self._link.publish(message)


def _wait_for_line(started: threading.Event) -> None:
    sys.stdin.readline()
    started.set()


def _print_event(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def main() -> int:
    """Run the plant of one site file."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo.plant", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the demo's site.toml")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--fps", type=float, required=True)
    parser.add_argument("--frames", type=int, required=True)
    options = parser.parse_args()
    site = load_site(options.config)
    assert {sensor.id for sensor in site.sensors} == {sensor.id for sensor in SENSORS}  # noqa: S101 - both come from one table
    channels = channels_for(fault.vision for fault in site.faults if fault.vision is not None)
    return Plant(site, Line(line_settings(channels, seed=options.seed, fps=options.fps), options.frames)).run()


if __name__ == "__main__":
    sys.exit(main())
