"""`edge-camera run` as a process of its own, and an ear on what it publishes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.broker.connection import Connection
from edge.site.sections import BrokerSettings
from edge.wire.envelope import Incoming, Subscription
from tests.stand.brokers import wait_for
from tests.stand.daemon import CAMERA, FRAME_TOPIC, PREFIX, ROOT, toml

STATUS_TOPIC = f"{PREFIX}/in/camera/{CAMERA}"


class EdgeCamera:
    """The process of one camera of a site.

    Args:
        site: site.toml as plain data.
        folder: for site file and log.
    """

    def __init__(self, site: Mapping[str, Any], folder: Path) -> None:
        config = folder / "camera-site.toml"
        config.write_text(toml(site), encoding="utf-8")
        self._command = [sys.executable, "-m", "edge.camera", "run", CAMERA, "--config", str(config)]
        self.log_path = folder / "camera.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> EdgeCamera:
        """Start it; it says itself when pictures come."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self._command, cwd=ROOT, stderr=log, stdout=log)
        return self

    def log(self) -> str:
        """Everything that it has logged."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def _proc(self, name: str) -> bytes:
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/{name}").read_bytes()

    def command_line(self) -> str:
        """What `ps` shows of it."""
        return self._proc("cmdline").replace(b"\0", b" ").decode()

    def rss_mib(self) -> float:
        """Resident memory now, MiB."""
        return int(self._proc("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def cpu_s(self) -> float:
        """Processor time used so far, s."""
        fields = self._proc("stat").rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        """Ask it to end; returns its exit status."""
        if self.process is None:
            return 0
        self.process.terminate()
        return self.process.wait(timeout=20)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class FrameEar:
    """Hears the frames and the status of the camera, with their MQTT 5 properties."""

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._frames: list[Incoming] = []
        self._statuses: list[dict[str, Any]] = []
        topics = [Subscription(FRAME_TOPIC, 0), Subscription(STATUS_TOPIC, 1)]
        up = threading.Event()
        self._connection = Connection(
            BrokerSettings(port=port), client_id="ear", subscriptions=topics, on_message=self._heard, on_up=up.set
        )
        self._connection.start()
        assert up.wait(20)

    def _heard(self, incoming: Incoming) -> None:
        with self._lock:
            if incoming.topic == FRAME_TOPIC:
                self._frames.append(incoming)
            else:
                self._statuses.append(json.loads(incoming.payload))

    def frames(self, since: int = 0) -> list[Incoming]:
        """The frames that came."""
        with self._lock:
            return self._frames[since:]

    def statuses(self) -> list[dict[str, Any]]:
        """The statuses that came."""
        with self._lock:
            return list(self._statuses)

    def wait_frames(self, count: int, timeout_s: float = 30.0) -> list[Incoming]:
        """So many more frames than now."""
        mark = len(self.frames())
        wait_for(lambda: len(self.frames(mark)) >= count, timeout_s, f"{count} frames")
        return self.frames(mark)

    def wait_status(self, reason: str | None, timeout_s: float = 30.0) -> dict[str, Any]:
        """The newest status, once it has this reason; None: online."""

        def reached() -> bool:
            said = self.statuses()
            return bool(said) and said[-1]["reason"] == reason

        wait_for(reached, timeout_s, f"status {reason}, not {self.statuses()[-1:]}")
        return self.statuses()[-1]

    def close(self) -> None:
        """Disconnect."""
        self._connection.stop()


def age_ms(frame: Incoming) -> float:
    """How old a frame was when it was heard, by its own time, ms."""
    return (frame.received_wall_ns - int(dict(frame.user_properties)["ts"])) / 1e6
