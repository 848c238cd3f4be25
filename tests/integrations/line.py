"""The demo's line, held: the real daemon on the demo's site and bundle behind a real broker, looking at a part without or with an oil leak."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.bundle import open_bundle
from edge.site.settings import load_site
from examples.demo.__main__ import BUNDLE
from examples.demo.plant import sensor_messages
from examples.demo.site import site_document
from examples.demo.story import CHANNELS, channels_for, line_settings
from examples.line.line import Line, LineFrame
from tests.stand.brokers import Mosquitto
from tests.stand.daemon import Daemon, Ear, Sender

FAULT = "oil_leak"
FPS = 10.0
SEED, FRAMES = 6, 32  # one good part, then one whose leak the bundle sees in every frame


class HeldLine:
    """A daemon, its camera and its sensors.

    Args:
        broker: running.
        folder: for the site file and the daemon's log.
    """

    def __init__(self, broker: Mosquitto, folder: Path) -> None:
        if not (BUNDLE / "manifest.json").is_file():
            pytest.skip("examples/bundles/line is not there: export examples/recipes/line.toml")
        channels = channels_for(fault.id for fault in open_bundle(BUNDLE).manifest.faults)
        document = site_document(BUNDLE.resolve(), channels, host="127.0.0.1", port=broker.port, other_board=True)
        self.config = folder / "site.toml"
        self.daemon = Daemon(document, folder)
        self.site = load_site(self.config)
        self.ear = Ear(broker.port, prefix=self.site.prefix())
        self.leaking = False
        self._pictures = _pictures()
        self._sender = Sender(broker.port)
        self._ended = threading.Event()
        self._feeder = threading.Thread(target=self._feed, daemon=True)

    def start(self) -> HeldLine:
        """Start the daemon and the camera; returns once good parts are judged good and nothing is silent."""
        self.daemon.start()
        self._feeder.start()
        self.ear.until(f"flag/{FAULT}", lambda flag: flag["verdict"] == "ok", 20)
        self.ear.wait("heartbeat", lambda beat: all(sensor["received"] for sensor in beat["sensors"].values()))
        return self

    def file_for(self, tool: str) -> str:
        """What `edge-daemon integration` writes for this site."""
        out = self.config.with_name(f"{tool}.json")
        command = [sys.executable, "-m", "edge", "integration", tool, "--config", str(self.config), "--out", str(out)]
        subprocess.run(command, check=True, timeout=60)
        return out.read_text(encoding="utf-8")

    def alarm(self, state: str, timeout_s: float = 20.0) -> Any:
        """The alarm's message, once it is in a state."""
        return self.ear.until(f"alarm/{FAULT}", lambda alarm: alarm["state"] == state, timeout_s)

    def stop(self) -> None:
        """End camera and daemon."""
        self._ended.set()
        self._feeder.join(5)
        self._sender.close()
        self.daemon.stop()
        self.ear.close()

    def _feed(self) -> None:
        number = 0
        while not self._ended.wait(1 / FPS):
            pictures = self._pictures[self.leaking]
            frame = pictures[number % len(pictures)]
            for message in sensor_messages(self.site, self._pictures[False][0].readings, round(time.time(), 3)):
                self._sender.publish(message.topic, message.payload)
            self._sender.publish(self.site.frame_topic(self.site.cameras[0]), frame.jpeg)
            number += 1


def _pictures() -> dict[bool, list[LineFrame]]:
    """Frames of one good part, and of one that leaks."""
    settings = line_settings(CHANNELS, seed=SEED, fps=FPS)
    line = Line(replace(settings, faults=(FAULT,), severity=(1.0, 1.0)), FRAMES)
    found: dict[bool, list[LineFrame]] = {False: [], True: []}
    for frame in line:
        if frame.index >= FPS / 2:  # parts roll in at first
            found[FAULT in frame.active_faults].append(frame)
    return found
