"""`edge-camera` as a process between real cameras and a real broker: a stream, a wrong password, an unplugged, stalled, frozen and resized camera."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import simplejpeg

from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.bundles import room
from tests.stand.cameras import SECRET, USER, RtspCamera, WebCamera, rtsp_obstacle
from tests.stand.daemon import CAMERA, NODE, Daemon, Ear, site_document
from tests.stand.edge_camera import EdgeCamera, FrameEar, age_ms
from tests.stand.plant import roomy_bundle

pytestmark = [pytest.mark.broker, pytest.mark.slow]

Start = Callable[..., tuple[EdgeCamera, FrameEar]]


@pytest.fixture
def start(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Start]:
    """Starts `edge-camera` on a source, with an ear."""
    running: list[tuple[EdgeCamera, FrameEar]] = []

    def begin(url: str, **source: Any) -> tuple[EdgeCamera, FrameEar]:
        camera = {"id": CAMERA, "source": {"url": url, "stall_ms": 1000} | source}
        site = {
            "bundle": "none",
            "node": {"id": NODE},
            "broker": {"port": mosquitto.port, "reconnect_max_s": 1.0},
            "cameras": [camera],
        }
        ear = FrameEar(mosquitto.port)
        running.append((EdgeCamera(site, tmp_path).start(), ear))
        return running[-1]

    yield begin
    for process, ear in running:
        process.kill()
        ear.close()


@pytest.fixture
def rtsp() -> Iterator[Callable[..., RtspCamera]]:
    """Plugs in RTSP cameras."""
    pytest.importorskip("av", reason="PyAV is not installed: `pip install plantflag[camera]`")
    if (obstacle := rtsp_obstacle()) is not None:
        pytest.skip(obstacle)
    made: list[RtspCamera] = []

    def plug_in(**options: Any) -> RtspCamera:
        made.append(RtspCamera(**options).plug_in())
        return made[-1]

    yield plug_in
    for camera in made:
        camera.unplug()


def size(picture: bytes) -> tuple[int, int]:
    """Width and height of a JPEG, px."""
    height, width = simplejpeg.decode_jpeg_header(picture)[:2]
    return width, height


def test_a_stream_becomes_frames_that_say_when_and_what_they_were(
    start: Start, rtsp: Callable[..., RtspCamera]
) -> None:
    """Every frame is a whole JPEG of the stream's size with checksum, time and coding; at the end the status says `stopped`."""
    process, ear = start(rtsp().url)
    frames = ear.wait_frames(25)
    for frame in frames:
        told = dict(frame.user_properties)
        assert size(frame.payload) == (320, 240)
        assert told["crc32"] == f"{zlib.crc32(frame.payload):08x}"
        assert told["transcoded"] == "h264"
        assert -50 <= age_ms(frame) < 2000
    status = ear.wait_status(None)
    assert (status["coding"], status["transcoded"], status["width"], status["height"]) == ("h264", True, 320, 240)
    assert process.stop() == 0
    assert ear.wait_status("stopped")["state"] == "offline"


def test_a_wrong_password_is_said_and_shown_nowhere(
    start: Start, rtsp: Callable[..., RtspCamera], tmp_path: Path
) -> None:
    """When its file is corrected, pictures come; it is neither in the log nor in what `ps` shows nor in any message."""
    path = tmp_path / "password"
    path.write_text("wrong-word", encoding="utf-8")
    path.chmod(0o600)
    process, ear = start(rtsp(guarded=True).url, username=USER, password_file=str(path))
    ear.wait_status("unauthorized")
    path.write_text(SECRET, encoding="utf-8")
    ear.wait_frames(3)
    shown = process.log() + process.command_line() + str(ear.statuses())
    assert "unauthorized" in shown
    assert not [word for word in ("wrong-word", SECRET, "p%40ss") if word in shown]


def test_an_unplugged_camera_is_unreachable_until_it_is_back(start: Start, rtsp: Callable[..., RtspCamera]) -> None:
    """Nobody has to do anything."""
    camera = rtsp()
    _, ear = start(camera.url)
    ear.wait_frames(3)
    camera.unplug()
    ear.wait_status("unreachable")
    mark = len(ear.frames())
    camera.plug_in()
    wait_for(lambda: len(ear.frames()) > mark, 20, "frames of the camera that is back")
    assert ear.wait_status(None)["state"] == "online"


def test_after_a_stall_the_newest_pictures_come_and_not_the_old_ones(
    start: Start, rtsp: Callable[..., RtspCamera]
) -> None:
    """A camera that hangs for four seconds is `stalled`; afterwards nothing of that time is published as fresh."""
    camera = rtsp()
    process, ear = start(camera.url)
    ear.wait_frames(5)
    before_mib = process.rss_mib()
    with camera.stalled():
        ear.wait_status("stalled")
        time.sleep(3)
    ear.wait_status(None)
    frames = ear.wait_frames(50)
    assert max(map(age_ms, frames[-25:])) < 2000
    assert process.rss_mib() < before_mib + 20


def test_another_size_in_the_same_stream_is_followed(start: Start, rtsp: Callable[..., RtspCamera]) -> None:
    """The daemon judges whether it accepts it; here it is passed on and said."""
    camera = rtsp()
    _, ear = start(camera.url)
    ear.wait_frames(5)
    camera.resize(400, 304)
    wait_for(lambda: size(ear.frames()[-1].payload) == (400, 304), 20, "pictures of the other size")
    wait_for(lambda: ear.statuses()[-1]["width"] == 400, 20, "a status with the other size")


def test_a_broker_that_restarts_hears_the_status_again(start: Start, mosquitto: Mosquitto) -> None:
    """And frames go on; a killed process is `gone`."""
    camera = WebCamera([room(1), room(2)])
    process, ear = start(camera.url("/stream"))
    ear.wait_frames(3)
    mosquitto.kill()
    mosquitto.start()
    mark = len(ear.statuses())
    wait_for(lambda: len(ear.statuses()) > mark, 30, "the status once more")
    ear.wait_frames(3)
    process.kill()
    ear.wait_status("gone")
    camera.unplug()


def test_the_daemon_says_why_a_camera_is_silent_and_that_one_is_frozen(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """One picture for ever is `frozen`, whatever its time says; an unplugged camera is `silent`, with code and words."""
    shown = [room(seed) for seed in range(5)]
    camera = WebCamera(shown)
    document = site_document(roomy_bundle(tmp_path / "colours"), mosquitto.port)
    source = {"url": camera.url("/stream"), "stall_ms": 1000, "fps": 10.0}
    document["cameras"] = [{"id": CAMERA, "picture": {"frozen_after_ms": 1000}, "source": source}]
    ear = Ear(mosquitto.port)
    daemon = Daemon(document, tmp_path).start()
    process = EdgeCamera(document, tmp_path).start()
    try:
        ear.wait("flag/red", lambda flag: flag["frame_seq"], timeout_s=30)
        del shown[1:]
        ear.until(f"alarm/{CAMERA}-frozen", lambda alarm: alarm["active"], 30)
        camera.unplug()
        raised = ear.until(
            f"alarm/{CAMERA}-silent", lambda alarm: alarm["active"] and alarm["reason"] == "unreachable", 30
        )
        assert "check its power, its cable" in raised["message"]
        ear.until("state", lambda state: any("check its power" in reason for reason in state["reasons"]), 30)
    finally:
        process.kill()
        daemon.stop()
        ear.close()
        camera.unplug()
