"""A scene changes, and a flag says so: RTSP at 25 fps and 1080p through `edge-camera`, against the same pictures sent as JPEG: `python -m benchmarks.path.camera`.

The scene changes at a moment that is known, at any phase of the camera; the flag is heard by a subscriber. Both ways in turns, on one daemon. Then
the camera hangs for ten seconds, and is unplugged and plugged in again. It needs PyAV and Debian's RTSP server (tests/stand/cameras.py).
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import report
from tests.stand import daemon as rig
from tests.stand.cameras import RtspCamera, rtsp_obstacle
from tests.stand.edge_camera import EdgeCamera, FrameEar, age_ms
from tests.stand.plant import roomy_bundle

FPS = 25
SIZE = (1920, 1080)
CALM, FAULT = "smpte", "red"
STALL_S = 10.0
PATIENCE_S = 30.0


def main() -> None:
    """Measure and write results/camera.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=20, help="changes of the scene in each turn")
    parser.add_argument("--turns", type=int, default=3, help="turns of each way")
    options = parser.parse_args()
    if (obstacle := rtsp_obstacle()) is not None:
        raise SystemExit(obstacle)
    with tempfile.TemporaryDirectory() as name:
        rows, notes = _measured(Path(name), options.changes, options.turns)
    report.write("camera", title="A camera straight in: edge-camera", rows=rows, notes=notes)


def _measured(folder: Path, changes: int, turns: int) -> tuple[list[dict[str, object]], list[str]]:
    camera = RtspCamera(SIZE, FPS, pattern=CALM).plug_in()
    source = {"url": camera.url, "stall_ms": 1000}
    site: dict[str, Any] = {
        "cameras": [{"id": rig.CAMERA, "picture": rig.STILLS, "source": source}],
        "faults": [{"id": "red", "camera": rig.CAMERA}],
    }
    with rig.bench(roomy_bundle(folder / "colours"), site=site) as (broker, _daemon, ear):
        document = rig.site_document(folder / "colours", broker.port) | site
        frames = FrameEar(broker.port)
        process = EdgeCamera(document, folder)
        shown, sent, cost = [], [], []
        for _ in range(turns):
            with _running(process, frames):
                began_s, before = process.cpu_s(), process_count(frames)
                shown += _delays(camera.show, ear, changes)
                cost.append(1000 * (process.cpu_s() - began_s) / max(1, process_count(frames) - before))
                pictures = {scene: _picture(camera, scene, frames) for scene in (CALM, FAULT)}
            with _player(broker.port, pictures) as show:
                sent += _delays(show, ear, changes)
        with _running(process, frames):
            stall = _stalled(camera, process, frames)
            back_s = [_plugged_in_again(camera, frames) for _ in range(5)]
            rss_mib = process.rss_mib()
        camera.unplug()
        frames.close()
    rows: list[dict[str, object]] = [
        {
            "way": way,
            "change -> flag p50 ms": round(report.percentile(delays, 50), 1),
            "p95 ms": round(report.percentile(delays, 95), 1),
            "max ms": round(max(delays), 1),
            "changes": len(delays),
        }
        for way, delays in (("RTSP through edge-camera", shown), ("the same pictures over MQTT", sent))
    ]
    notes = [
        f"{SIZE[0]}x{SIZE[1]} at {FPS} fps, H.264 with a key picture a second; all of it, encoder and server too, on this machine.",
        "Both ways hold the wait for the next picture; RTSP also the test source, the encoder and one frame interval in FFmpeg's reader.",
        f"edge-camera, processor time for each picture: {max(cost):.1f} ms (decode, convert, JPEG).",
        f"edge-camera, resident memory at the end: {rss_mib:.1f} MiB.",
        f"After a stall of {STALL_S:g} s: pictures again after {stall['back_s']:.2f} s.",
        f"After the stall: the oldest of the next 50 pictures was {stall['age_ms']:.0f} ms old, memory grew by {max(0.0, stall['grown_mib']):.1f} MiB.",
        f"Unplugged and plugged in again, five times: from the server's first listening to a picture at the subscriber {max(back_s):.2f} s at the most.",
    ]
    return rows, notes


def process_count(frames: FrameEar) -> int:
    """How many frames were heard so far."""
    return len(frames.frames())


@contextmanager
def _running(process: EdgeCamera, frames: FrameEar) -> Iterator[None]:
    """With edge-camera publishing."""
    process.start()
    try:
        frames.wait_frames(FPS, PATIENCE_S)
        yield
    finally:
        process.stop()


@contextmanager
def _player(port: int, pictures: dict[str, bytes]) -> Iterator[Callable[[str], None]]:
    """Sends the picture of the scene that is shown, as a camera with MQTT would."""
    scene, stop = [CALM], threading.Event()

    def play() -> None:
        sender = rig.Sender(port)
        start = time.monotonic()
        number = 0
        while not stop.is_set():
            number += 1
            time.sleep(max(0.0, start + number / FPS - time.monotonic()))
            sender.publish(rig.FRAME_TOPIC, pictures[scene[0]], captured_wall_ns=time.time_ns())
        sender.close()

    def show(what: str) -> None:
        scene[0] = what

    thread = threading.Thread(target=play)
    thread.start()
    try:
        yield show
    finally:
        stop.set()
        thread.join()


def _delays(show: Callable[[str], None], ear: rig.Ear, changes: int) -> list[float]:
    """From each change of the scene to the flag that says so, ms."""
    delays = []
    show(CALM)
    ear.wait("flag/red", lambda flag: flag["on"] is False, since=ear.count(), timeout_s=PATIENCE_S)
    for number in range(changes):
        time.sleep(random.uniform(0.3, 0.5))
        wanted = number % 2 == 0
        mark, began_ns = ear.count(), time.monotonic_ns()
        show(FAULT if wanted else CALM)
        ear.wait("flag/red", lambda flag, wanted=wanted: flag["on"] is wanted, since=mark, timeout_s=PATIENCE_S)  # type: ignore[misc] # bound at once
        heard = next(item for item in ear.on("flag/red", mark) if item.document()["on"] is wanted)
        delays.append((heard.arrived_ns - began_ns) / 1e6)
    return delays


def _picture(camera: RtspCamera, scene: str, frames: FrameEar) -> bytes:
    """What edge-camera publishes of a scene."""
    camera.show(scene)
    return frames.wait_frames(2 * FPS, PATIENCE_S)[-1].payload


def _stalled(camera: RtspCamera, process: EdgeCamera, frames: FrameEar) -> dict[str, float]:
    before_mib = process.rss_mib()
    with camera.stalled():
        time.sleep(STALL_S)
        mark = len(frames.frames())
    began_s = time.monotonic()
    while len(frames.frames(mark)) == 0 and time.monotonic() - began_s < PATIENCE_S:
        time.sleep(0.005)
    back_s = time.monotonic() - began_s
    frames.wait_frames(50, PATIENCE_S)
    ages = [age_ms(frame) for frame in frames.frames(mark)[:50]]
    return {"back_s": back_s, "age_ms": max(ages), "grown_mib": process.rss_mib() - before_mib}


def _plugged_in_again(camera: RtspCamera, frames: FrameEar) -> float:
    camera.unplug()
    frames.wait_status("unreachable", PATIENCE_S)
    time.sleep(random.uniform(2.0, 4.0))
    mark = len(frames.frames())
    camera.plug_in()
    began_s = time.monotonic()
    while len(frames.frames(mark)) == 0 and time.monotonic() - began_s < PATIENCE_S:
        time.sleep(0.005)
    back_s = time.monotonic() - began_s
    frames.wait_frames(FPS, PATIENCE_S)
    return back_s


if __name__ == "__main__":
    report.run(main)
