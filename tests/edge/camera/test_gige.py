"""GigE Vision cameras: Aravis' software camera on loopback, read by the helper with the system's Python; and helpers that misbehave."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("av", reason="PyAV is not installed: `pip install plantflag[camera]`")

from edge.camera import gige, gige_helper
from edge.camera.__main__ import main
from edge.camera.gige import GigeSource, refuse_without_aravis
from edge.camera.shot import Shot, SourceFailed
from edge.camera.sources import source_of
from edge.errors import ConfigError
from edge.frame import MAX_PIXELS
from edge.site.source import SourceSettings
from edge.wire.camera import CameraTrouble
from tests.stand import gige as stand
from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.daemon import CAMERA, NODE
from tests.stand.edge_camera import EdgeCamera, FrameEar, age_ms


@pytest.fixture
def camera() -> Iterator[stand.GigeCamera]:
    """Plugged in."""
    if (obstacle := stand.obstacle()) is not None:
        pytest.skip(obstacle)
    plugged = stand.GigeCamera()
    try:
        yield plugged.plug_in()
    finally:
        plugged.unplug()


def settings(url: str = stand.URL, stall_ms: float = 1000.0) -> SourceSettings:
    """Of the camera on loopback."""
    return SourceSettings(url=url, stall_ms=stall_ms)


def some(source: gige.GigeSource, count: int) -> list[Shot]:
    """The first pictures."""
    found = []
    for shot in source.shots():
        assert shot is not None
        found.append(shot)
        if len(found) == count:
            break
    return found


def helper(text: str, max_pixels: int = MAX_PIXELS, stall_ms: float = 1000.0) -> GigeSource:
    """A source whose helper is another program."""
    return GigeSource(settings(stall_ms=stall_ms), max_pixels, (sys.executable, "-c", text))


@pytest.mark.slow
@pytest.mark.usefixtures("camera")
def test_pictures_come_with_their_time_and_size() -> None:
    """Each is later than the one before, was taken just now, and becomes a JPEG of the sensor's size."""
    found = some(GigeSource(settings(), MAX_PIXELS), 5)
    stamps = [shot.captured_wall_ns for shot in found]
    assert stamps == sorted(set(stamps))
    assert 0 <= time.time_ns() - stamps[-1] < 2_000_000_000
    assert {(shot.coding, shot.transcoded, shot.size_px()) for shot in found} == {("gray", True, (512, 512))}
    assert found[0].encoded(90).startswith(b"\xff\xd8\xff")


@pytest.mark.slow
@pytest.mark.usefixtures("camera")
def test_whoever_is_slow_gets_the_newest_picture() -> None:
    """After a pause of two seconds no more than what pipe and buffers hold is old."""
    pictures = GigeSource(settings(), MAX_PIXELS).shots()
    try:
        next(pictures)
        time.sleep(2.0)
        resumed_ns = time.time_ns()
        found = [next(pictures) for _ in range(6)]
    finally:
        pictures.close()  # type: ignore[attr-defined] # a generator
    stale = [shot for shot in found if shot is not None and shot.captured_wall_ns < resumed_ns - 500_000_000]
    assert len(stale) <= 2


@pytest.mark.slow
@pytest.mark.usefixtures("camera")
def test_a_camera_that_another_program_controls_is_busy(capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is changed in it; `probe` says the same in words, and to one that is free its block."""
    first = GigeSource(settings(), MAX_PIXELS).shots()
    try:
        next(first)
        with pytest.raises(SourceFailed) as failed:
            next(GigeSource(settings(), MAX_PIXELS).shots())
        assert failed.value.trouble is CameraTrouble.BUSY
    finally:
        first.close()  # type: ignore[attr-defined] # a generator
    wait_for(lambda: main(["probe", stand.URL, "--seconds", "0.2"]) == 0, 20, "the camera is free again")
    said = capsys.readouterr().out
    assert "gray, 512 x 512" in said
    assert f'url = "{stand.URL}"' in said


@pytest.mark.slow
@pytest.mark.broker
def test_a_camera_that_stalls_or_is_unplugged_is_said_and_comes_back(
    camera: stand.GigeCamera, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """`stalled` or `unreachable` while it gives nothing; nobody has to do anything; what comes then is fresh."""
    site = {
        "bundle": "none",
        "node": {"id": NODE},
        "broker": {"port": mosquitto.port},
        "cameras": [{"id": CAMERA, "source": {"url": stand.URL, "stall_ms": 1000, "fps": 10.0}}],
    }
    ear = FrameEar(mosquitto.port)
    process = EdgeCamera(site, tmp_path).start()
    try:
        frames = ear.wait_frames(3)
        assert dict(frames[-1].user_properties)["transcoded"] == "gray"
        with camera.stalled():
            ear.wait_status("stalled")
        ear.wait_status(None)
        camera.unplug()
        ear.wait_status("unreachable")
        mark = len(ear.frames())
        camera.plug_in()
        wait_for(lambda: len(ear.frames()) > mark, 30, "frames of the camera that is back")
        assert ear.wait_status(None)["coding"] == "gray"
        assert age_ms(ear.frames()[-1]) < 2000
        assert process.stop() == 0
        ear.wait_status("stopped")
    finally:
        process.kill()
        ear.close()


@pytest.mark.slow
def test_no_camera_at_an_address_is_unreachable() -> None:
    """Said by Aravis, within seconds."""
    if (obstacle := stand.obstacle()) is not None:
        pytest.skip(obstacle)
    with pytest.raises(SourceFailed) as failed:
        next(GigeSource(settings("gige://127.0.0.9"), MAX_PIXELS).shots())
    assert failed.value.trouble is CameraTrouble.UNREACHABLE


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("", CameraTrouble.ENDED),
        ("print('x' * 9000)", CameraTrouble.INTERNAL),
        ('print(\'{"trouble": "damaged", "detail": ""}\')', CameraTrouble.DAMAGED),
        ("print('{\"width\": 9, \"height\": 9, \"size\": 81}'); print('short', end='')", CameraTrouble.ENDED),
        ('print(\'{"width": 90, "height": 90, "size": 8100}\')', CameraTrouble.TOO_LARGE),
    ],
)
def test_whatever_the_helper_does_has_a_code(text: str, trouble: CameraTrouble) -> None:
    """It ended, wrote no line, gave a reason, broke off within a picture, or announces one that is too large."""
    with pytest.raises(SourceFailed) as failed:
        list(helper(text, max_pixels=100).shots())
    assert failed.value.trouble is trouble


def test_a_helper_that_hangs_is_a_camera_that_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed, and the camera is opened again."""
    monkeypatch.setattr(gige, "START_S", 0.1)
    with pytest.raises(SourceFailed) as failed:
        list(helper("import time; time.sleep(60)", stall_ms=10.0).shots())
    assert failed.value.trouble is CameraTrouble.STALLED


def test_without_aravis_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, as an error of the configuration; the helper's own answer has an exit status."""
    monkeypatch.setattr(gige, "refuse_without_aravis", lambda: refuse_without_aravis(sys.executable))
    with pytest.raises(ConfigError, match=r"apt-get install gir1\.2-aravis-0\.8 python3-gi"):
        source_of(settings(), 1, None)
    asked = subprocess.run([sys.executable, "-I", gige_helper.__file__, "check"], check=False)
    assert asked.returncode == gige_helper.MISSING
    with pytest.raises(ConfigError, match="apt-get install"):
        refuse_without_aravis("/nonexistent/python3")
