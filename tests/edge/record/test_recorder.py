"""A recording over a real broker, without a bundle."""

from __future__ import annotations

import gzip
import itertools
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edge.__main__ import main
from edge.console.exits import EXIT_CONFIG, EXIT_FAILED
from edge.frame import Frame
from edge.inference.preprocess import decode_rgb
from edge.record.pictures import Choice
from edge.record.recorder import Recorder
from edge.site.settings import load_site
from edge.system.clock import Clock
from edge.wire.camera import CameraTrouble
from tests.stand.brokers import Mosquitto, wait_for
from tests.stand.bundles import flat_jpeg
from tests.stand.daemon import Sender

SITE = """
[node]
id = "press7"
[broker]
port = {port}
[[cameras]]
id = "cam1"
[[sensors]]
id = "oil"
[[faults]]
id = "leak"
camera = "cam1"
"""


@pytest.fixture
def config(tmp_path: Path, mosquitto: Mosquitto) -> Path:
    """A site that names no bundle."""
    path = tmp_path / "site.toml"
    path.write_text(SITE.format(port=mosquitto.port), encoding="utf-8")
    return path


@pytest.mark.broker
def test_pictures_and_readings_are_written_until_it_is_stopped(
    config: Path, tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """The command itself: SIGTERM ends it in order, readings that were not yet flushed are there, and it says what it kept."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "edge", "record", "--config", str(config), "--out", str(out), "--every", "0.1s"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    sender, level = Sender(mosquitto.port), itertools.cycle(range(0, 250, 5))

    def recorded() -> bool:
        grey = next(level)
        sender.publish("edge/v1/press7/in/frame/cam1", flat_jpeg(grey, grey, grey))
        sender.publish("edge/v1/press7/in/sensor/oil", b"%d" % grey)
        return threading.Event().wait(0.3) or len(list((out / "cam1").glob("*.jpg"))) >= 3

    try:
        wait_for(recorded, 40, "three pictures are recorded")
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()  # of a test that failed; it would record for ever
        sender.close()
    assert process.returncode == 0
    assert "cam1: kept" in said
    (readings,) = (out / "readings").iterdir()
    assert b",oil," in gzip.decompress(readings.read_bytes())


@pytest.mark.broker
def test_a_recording_ends_when_everything_is_full(config: Path, tmp_path: Path, mosquitto: Mosquitto) -> None:
    """It does not go on for nothing; what was refused is told by sender and reason."""
    site = load_site(config, recording=True).model_copy(update={"sensors": ()})
    recorder = Recorder(site, tmp_path / "out", Choice(0, 0.0, 1500))
    sender, ended = Sender(mosquitto.port), threading.Event()

    def run() -> None:
        recorder.run(threading.Event(), 60.0)
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    level = iter(range(0, 250, 2))

    def feed() -> bool:
        grey = next(level)
        sender.publish("edge/v1/press7/in/frame/cam1", b"")
        sender.publish("edge/v1/press7/in/frame/cam1", flat_jpeg(grey, grey, grey))
        return ended.wait(0.2)

    wait_for(feed, 40, "it ends by itself")
    thread.join()
    sender.close()
    assert recorder.kept_something
    assert any(line.startswith("refused, cam1") for line in recorder.summary())


def test_a_camera_that_is_not_there_is_refused(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the names of those that are; so are sizes that make no sense."""
    arguments = ["record", "--config", str(config), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--camera", "door"]) == EXIT_CONFIG
    assert "cam1" in capsys.readouterr().err
    assert main([*arguments, "--max-mb", "0"]) == EXIT_CONFIG


def test_a_folder_that_cannot_be_written_is_said(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is recorded."""
    (tmp_path / "file").write_bytes(b"")
    assert main(["record", "--config", str(config), "--out", str(tmp_path / "file" / "out")]) == EXIT_FAILED
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.broker
def test_a_camera_with_regions_leaves_a_crop_for_each_of_them(tmp_path: Path, mosquitto: Mosquitto) -> None:
    """As PNG, in a folder for each region, of a grid for each tile; without `--regions` the picture itself is kept."""
    config, out = tmp_path / "site.toml", tmp_path / "out"
    regions = """
[[cameras.regions]]
id = "left"
box = [0.0, 0.0, 0.5, 1.0]
[[cameras.regions]]
id = "right"
box = [0.5, 0.0, 0.5, 0.5]
[[cameras.regions]]
id = "web"
box = [0.0, 0.0, 1.0, 1.0]
tiles = { columns = 2, rows = 1, overlap = 0.0 }
"""
    text = SITE.format(port=mosquitto.port).replace("[[sensors]]", f"{regions}[[sensors]]")
    config.write_text(text, encoding="utf-8")
    site = load_site(config, recording=True)
    recorder = Recorder(site, out, Choice(0, 0.0, 1_000_000), regions=True)
    frame = Frame("cam1", 1, flat_jpeg(9, 200, 9), 0, 1_800_000_000 * 10**9, 0)
    for folders in recorder._pictures.values():
        assert {name: folder.offer(frame) for name, folder in folders.items()} == {
            "cam1/left": "kept",
            "cam1/right": "kept",
            "cam1/web/000": "kept",
            "cam1/web/001": "kept",
        }
        assert {folder.offer(replace(frame, encoded=b"none", received_ns=1)) for folder in folders.values()} == {
            "not_an_image"
        }
    sizes = {
        path.relative_to(out).parent.as_posix(): decode_rgb(path.read_bytes()).shape for path in out.rglob("*.png")
    }
    whole = decode_rgb(flat_jpeg(9, 200, 9)).shape
    assert sizes == {
        "cam1/left": (whole[0], whole[1] // 2, 3),
        "cam1/right": (whole[0] // 2, whole[1] // 2, 3),
        "cam1/web/000": (whole[0], whole[1] // 2, 3),
        "cam1/web/001": (whole[0], whole[1] // 2, 3),
    }
    assert "cam1/left: kept 1 pictures; not kept: not_an_image 1" in recorder.summary()
    assert list(Recorder(site, tmp_path / "plain", Choice(0, 0.0, 1_000_000))._pictures["cam1"]) == ["cam1"]


@pytest.mark.broker
def test_a_camera_without_pictures_and_progress_are_told(config: Path, tmp_path: Path) -> None:
    """What edge-camera reports is no refused picture; and a minute without a word would look like a program that hangs."""
    looks = itertools.count(0, 20_000_000_000)  # a clock that goes on by twenty seconds at each look
    clock = Clock(monotonic_ns=lambda: next(looks))
    site = load_site(config, recording=True)
    recorder = Recorder(site, tmp_path / "out", Choice(0, 0.0, 1500), clock)
    recorder.counts.camera_reported("cam1", CameraTrouble.STALLED)
    recorder.counts.camera_reported("cam1", None)
    told: list[str] = []
    recorder.run(threading.Event(), 200.0, told.extend)
    assert told.count("cam1: kept 0 pictures") >= 2
    assert recorder.summary()[-1] == "cam1 had no pictures for a while: stalled, 1 times"
    assert not any(line.startswith("refused") for line in recorder.summary())
