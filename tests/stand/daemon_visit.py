"""A day of the daemon in a few seconds, for a machine of its own: ``python -m tests.stand.daemon_visit``.

Site file, state folder and everything else lie in the working folder.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.stand.daemon import FRAME_TOPIC, STILLS, Broker, Daemon, Sender, pace, site_document
from tests.stand.isolation import HOSTILE
from tests.stand.plant import ALARM, RED, roomy_bundle

FPS = 20.0
PATIENCE_S = 30.0


def visit(folder: Path) -> None:
    """Start broker and daemon, have it raise an alarm, command it as people do, end it. Raises AssertionError when it does not do its work."""
    broker = Broker(folder)
    daemon = Daemon(_site(folder, broker.port), folder, environment=HOSTILE)
    _edge("check", folder)
    daemon.start()
    # No ear of the test stand's here: its client wakes itself over a loopback connection of its own.
    sender = Sender(broker.port)
    stopped = threading.Event()
    camera = threading.Thread(target=_show, args=(sender, stopped))
    camera.start()
    end = time.monotonic() + PATIENCE_S
    while "UNACK_ALM" not in (alarms := _edge("alarms", folder)):
        assert time.monotonic() < end, f"no alarm: {alarms}{daemon.log()}"
    for command in ("ack red", "snapshot --camera cam1 --out snapshot.jpg", "explain red", "reload", "replay"):
        _edge(command, folder)
    stopped.set()
    camera.join()
    sender.close()
    assert daemon.stop() == 0, daemon.log()
    broker.stop()


def _show(sender: Sender, stopped: threading.Event) -> None:
    pace(round(PATIENCE_S * 2 * FPS), FPS, lambda _: sender.publish(FRAME_TOPIC, RED), until=stopped.is_set)


def _site(folder: Path, port: int) -> dict[str, Any]:
    """With all that may talk or write: Sparkplug, a journal, explanations with pictures, snapshots."""
    document = site_document(roomy_bundle(folder / "colours"), port)
    document["node"] |= {"state_dir": str(folder / "state")}
    return document | {
        "cameras": [{"id": "cam1", "snapshot": True, "picture": STILLS}],
        "faults": [{"id": "red", "camera": "cam1", "alarm": ALARM}],
        "sparkplug": {"enabled": True, "group_id": "plant"},
        "explain": {"image": True},
        "runtime": {"realtime_priority": 10},
    }


def _edge(command: str, folder: Path) -> str:
    verb, *rest = command.split()
    arguments = [verb, *rest, "--config", str(folder / "site.toml")]
    done = subprocess.run([sys.executable, "-m", "edge", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


if __name__ == "__main__":
    visit(Path.cwd())
