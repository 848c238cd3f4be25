"""Evidence of an alarm, kept by a real daemon that is killed at any moment, and fetched as a zip."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.evidence.archive import FOLDER, recordings
from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.bundles import colour_bundle, room
from tests.stand.daemon import FRAME_TOPIC, Daemon, Ear, Sender, site_document

pytestmark = pytest.mark.broker

ALARM = {"severity": 700, "message": "Red", "operator_action": "Look", "consequence": "Scrap", "off_delay_ms": 100}
TARGET = {"board": "x86-64-avx2", "arch": "x86_64", "isa_required": [], "memory_mib": 64, "budget_ms": 500.0}
TOPICS = (*Ear.TOPICS, "evidence/+")


class Line:
    """A camera at ten frames a second before a daemon that keeps one second before and after each alarm."""

    def __init__(self, folder: Path, port: int) -> None:
        colour_bundle(folder / "colours", target=TARGET)
        self.state = folder / "state"
        site = site_document(folder / "colours", port) | {
            "node": {"id": "bench", "state_dir": str(self.state)},
            "cameras": [{"id": "cam1", "evidence": True, "picture": {"frozen_after_ms": 0}}],
            "faults": [{"id": "red", "camera": "cam1", "alarm": ALARM}],
            "evidence": {"before_s": 1.0, "after_s": 1.0},
        }
        self.red = False
        self.ear = Ear(port, TOPICS)
        self.daemon = Daemon(site, folder).start()
        self._sender = Sender(port)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        count = 0
        while not self._ends.wait(0.1):
            count += 1
            self._sender.publish(FRAME_TOPIC, room(count, red=self.red))

    def close(self) -> None:
        """End the camera and the daemon."""
        self._ends.set()
        self._thread.join()
        self._sender.close()
        self.daemon.kill()
        self.ear.close()


@pytest.fixture
def line(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Line]:
    """One that runs."""
    made = Line(tmp_path, mosquitto.port)
    yield made
    made.close()


def fetch(line: Line, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`edge-daemon evidence` on the device."""
    command = [sys.executable, "-m", "edge", "evidence", "--state-dir", str(line.state), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_an_alarm_leaves_evidence_that_is_fetched_as_a_zip(line: Line, tmp_path: Path) -> None:
    """Announced once it is whole; the zip holds the pictures before and after, and a page."""
    line.ear.until("flag/red", lambda flag: flag["on"] is False, 20)
    time.sleep(1.5)
    line.red = True
    told = line.ear.wait("evidence/red", lambda message: message["frames"], timeout_s=20)
    alarm = line.ear.last("alarm/red")
    assert (told["occurrence_id"], told["problem"]) == (alarm["occurrence_id"], "")
    listed = fetch(line)
    assert alarm["occurrence_id"] in listed.stdout
    out = tmp_path / "red.zip"
    assert fetch(line, "red", "--out", str(out)).returncode == 0
    with zipfile.ZipFile(out) as archive:
        frames = [name for name in archive.namelist() if name.startswith("frames/")]
        assert archive.testzip() is None
        assert len(frames) == told["frames"] >= 6
        assert alarm["occurrence_id"] in archive.read("index.html").decode()
    unknown = fetch(line, "blue")
    assert unknown.returncode == 1
    assert "there is some of red" in unknown.stderr


def test_kill_9_in_the_middle_leaves_what_was_seen_until_then(line: Line) -> None:
    """What led to the alarm is whole on disk, readable at once and after the next start."""
    line.ear.until("flag/red", lambda flag: flag["on"] is False, 20)
    time.sleep(1.5)
    line.red = True
    folder = line.state / FOLDER
    wait_for(lambda: any(found.raised for found in recordings(folder)), 20, "the alarm is in a recording")
    line.daemon.kill()
    (found,) = recordings(folder)
    assert found.end is None
    assert len(found.frames) >= 5
    assert all(found.picture(facts) for facts in found.frames)
    assert "not whole" in fetch(line).stdout
    line.daemon.start()
    wait_for(lambda: next(recordings(folder)).end, 20, "the next start ends it")
    assert not next(recordings(folder)).complete
