"""Video files and devices through FFmpeg's libraries: JPEG is passed on, other codings are decoded, and every failure has its code."""

from __future__ import annotations

import itertools
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from edge.camera.shot import Shot, SourceFailed
from edge.camera.sources import source_of
from edge.frame import MAX_PIXELS
from edge.site.source import SourceSettings
from edge.wire.camera import CameraTrouble

av = pytest.importorskip("av", reason="PyAV is not installed: `pip install plantflag[camera]`")

SIZE = (64, 48)


def film(
    path: Path, coding: str, count: int, *, pixels: str = "yuv420p", fps: int = 50, size: tuple[int, int] = SIZE
) -> Path:
    """A video file of flat grey pictures, each lighter than the one before."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(coding, rate=fps)
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.time_base = Fraction(1, fps)
        for number in range(count):
            grey = np.full((size[1], size[0], 3), 40 + 10 * number % 200, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def shots(url: str, count: int, max_pixels: int = MAX_PIXELS) -> list[Shot]:
    """The first pictures of an address."""
    source = source_of(SourceSettings(url=url), 1_000_000, max_pixels)
    return list(itertools.islice((shot for shot in source.shots() if shot is not None), count))


def failure(url: str, max_pixels: int = MAX_PIXELS) -> CameraTrouble:
    """How reading an address ends."""
    with pytest.raises(SourceFailed) as caught:
        shots(url, 1000, max_pixels)
    return caught.value.trouble


def grey(encoded: bytes) -> float:
    """How light a JPEG is."""
    return float(simplejpeg.decode_jpeg(encoded, "GRAY").mean())


def test_a_video_is_decoded_and_its_colours_are_those_that_were_filmed(tmp_path: Path) -> None:
    """Video leaves out the darkest and lightest levels; JPEG does not: without the conversion every grey would be off by up to 16."""
    found = shots(f"file://{film(tmp_path / 'a.mp4', 'libx264', 10)}", 10)
    assert [shot.coding for shot in found] == ["h264"] * 10
    assert all(shot.transcoded and shot.size_px() == SIZE for shot in found)
    assert [grey(shot.encoded(95)) for shot in found] == pytest.approx(
        [40 + 10 * number for number in range(10)], abs=3
    )


def test_motion_jpeg_is_passed_on_as_it_came(tmp_path: Path) -> None:
    """The very bytes of the file, which the daemon can read."""
    path = film(tmp_path / "a.avi", "mjpeg", 4, pixels="yuvj420p")
    found = shots(f"file://{path}", 4)
    assert not any(shot.transcoded for shot in found)
    for shot in found:
        encoded = shot.encoded(1)
        assert encoded in path.read_bytes()
        assert simplejpeg.decode_jpeg_header(encoded)[:2] == (SIZE[1], SIZE[0])


def test_a_file_is_played_at_its_own_speed_and_again(tmp_path: Path) -> None:
    """As a camera would: 5 pictures at 50 a second, and then the first one again."""
    began_s = time.monotonic()
    found = shots(f"file://{film(tmp_path / 'a.mp4', 'libx264', 5)}", 12)
    levels = [round(grey(shot.encoded(95)), -1) for shot in found]
    assert levels == pytest.approx([40, 50, 60, 70, 80] * 2 + [40, 50], abs=1)
    assert time.monotonic() - began_s >= 0.16
    stamps = [shot.captured_wall_ns for shot in found]
    assert stamps == sorted(stamps)
    assert abs(stamps[-1] - time.time_ns()) < 10_000_000_000


LOOPBACK = next(iter(sorted(Path("/sys/devices/virtual/video4linux").glob("video*"))), None)


@pytest.mark.slow
@pytest.mark.skipif(LOOPBACK is None, reason="no virtual USB camera: `modprobe v4l2loopback`, where the kernel has it")
def test_a_usb_camera_without_motion_jpeg_is_decoded() -> None:
    """What it gives by itself is taken, here YUV, and becomes a JPEG of the same picture."""
    assert LOOPBACK is not None
    device, over = f"/dev/{LOOPBACK.name}", threading.Event()

    def send() -> None:
        with av.open(device, "w", format="v4l2") as container:
            stream = container.add_stream("rawvideo", rate=25)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuyv422"
            while not over.wait(0.04):
                frame = av.VideoFrame.from_ndarray(np.full((240, 320, 3), 90, np.uint8), format="rgb24")
                container.mux(stream.encode(frame.reformat(format="yuyv422")))

    sender = threading.Thread(target=send)
    sender.start()
    try:
        (shot,) = shots(f"v4l2://{device}", 1)
    finally:
        over.set()
        sender.join()
    assert (shot.transcoded, shot.size_px()) == (True, (320, 240))
    assert grey(shot.encoded(95)) == pytest.approx(90, abs=3)


@pytest.mark.parametrize(
    ("layout", "wanted"),
    [("gray", (90, 90, 90)), ("rgb24", (90, 60, 30)), ("bgr24", (30, 60, 90)), ("bayer_rggb8", (90, 90, 90))],
)
def test_a_raw_picture_keeps_its_colours(layout: str, wanted: tuple[int, int, int]) -> None:
    """Of whichever layout a sensor has, and of a width that is no multiple of anything."""
    from edge.camera.video import raw_picture

    pixels = np.full((30, 50), 90, np.uint8) if "24" not in layout else np.full((30, 50, 3), (90, 60, 30), np.uint8)
    picture = raw_picture(pixels.tobytes(), 50, 30, layout)
    assert (picture.width, picture.height) == (50, 30)
    found = simplejpeg.decode_jpeg(picture.jpeg(95))
    assert found.shape == (30, 50, 3)
    assert found[8:16, 8:16].mean(axis=(0, 1)) == pytest.approx(wanted, abs=3)


def test_every_file_that_is_no_video_has_its_own_code(tmp_path: Path) -> None:
    """Not there, not readable as a video, a sound, no camera."""
    (tmp_path / "text.mp4").write_text("no video", encoding="utf-8")
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
    assert failure(f"file://{tmp_path}/nothing.mp4") is CameraTrouble.NOT_FOUND
    assert failure(f"file://{tmp_path}/text.mp4") is CameraTrouble.UNSUPPORTED
    assert failure(f"file://{tmp_path}/sound.wav") is CameraTrouble.UNSUPPORTED
    assert failure("v4l2:///dev/no-such-camera") is CameraTrouble.NOT_FOUND
    assert failure("v4l2:///dev/null") is CameraTrouble.UNSUPPORTED


def test_a_playlist_cannot_open_another_address(tmp_path: Path) -> None:
    """What stands in a file decides nothing about the network."""
    listed = tmp_path / "list.m3u8"
    listed.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:1/a.ts\n", encoding="utf-8")
    assert failure(f"file://{listed}") is CameraTrouble.UNSUPPORTED


def test_a_picture_beyond_the_limit_is_never_decoded(tmp_path: Path) -> None:
    """It would take the memory first."""
    path = film(tmp_path / "a.mp4", "libx264", 3)
    assert failure(f"file://{path}", max_pixels=1000) is CameraTrouble.TOO_LARGE


def test_a_damaged_stretch_is_left_out(tmp_path: Path) -> None:
    """Pictures before and after it come; what cannot be decoded does not."""
    path = film(tmp_path / "a.mp4", "mpeg4", 30)
    body = bytearray(path.read_bytes())
    place = body.index(b"mdat") + 600
    body[place : place + 200] = bytes(200)
    path.write_bytes(body)
    assert len(shots(f"file://{path}", 10)) == 10
