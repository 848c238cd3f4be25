"""Runs with the system's Python, which has Aravis: a GigE Vision camera's newest pictures to standard output, as they left its sensor.

`edge.camera.gige` starts it by its path, so it imports nothing of this project. Aravis is LGPL and stays in this process:

    /usr/bin/python3 -I gige_helper.py check
    /usr/bin/python3 -I gige_helper.py run CAMERA STALL_MS

Each picture is one line of JSON with its width, height, layout and time, then its bytes. The last line says why there are no more: `trouble`.
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
import time
from typing import Any

LAYOUTS = {  # GenICam's pixel formats that can be read, the one to choose first; and FFmpeg's names
    "BayerRG8": "bayer_rggb8",
    "BayerGB8": "bayer_gbrg8",
    "BayerGR8": "bayer_grbg8",
    "BayerBG8": "bayer_bggr8",
    "RGB8": "rgb24",
    "RGB8Packed": "rgb24",
    "BGR8": "bgr24",
    "YUV422_8": "yuyv422",
    "Mono8": "gray",
}
BUFFERS = 4
POLL_US = 200_000
LONG_S = 0.2  # for handing a picture over: all buffers were full meanwhile, and what is in them is old
MAX_BAD = 50  # pictures in a row with lost packets
MISSING = 3  # exit status: Aravis is not installed
PR_SET_PDEATHSIG = 1  # of linux/prctl.h
BYTES = {"rgb24": 3, "bgr24": 3, "yuyv422": 2}  # a pixel; else one


class Failed(Exception):  # noqa: N818 - says what happened
    """The camera gives no pictures: a code of `edge.wire.camera`, and what was seen."""

    def __init__(self, trouble: str, detail: str) -> None:
        super().__init__(detail)
        self.trouble = trouble


def main(arguments: list[str]) -> int:
    """Answer one command; 0, or 3 where Aravis is missing."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # nobody would read on
    try:
        import gi  # noqa: PLC0415 - whether it is there is the answer

        gi.require_version("Aravis", "0.8")
        from gi.repository import Aravis, GLib  # noqa: PLC0415 - likewise
    except (ImportError, ValueError):
        return MISSING
    if arguments[0] == "check":
        return 0
    try:
        _run(Aravis, arguments[1], float(arguments[2]))
    except BrokenPipeError:
        return 0
    except Failed as error:
        _say({"trouble": error.trouble, "detail": str(error)})
    except GLib.Error as error:
        _say({"trouble": _trouble(Aravis, error), "detail": str(error.message)})
    return 0


def _say(line: dict[str, object], content: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(line).encode() + b"\n")
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _run(aravis: Any, name: str, stall_ms: float) -> None:  # noqa: ANN401 - GObject introspection has no types
    """Open the camera, and hand over its newest picture again and again."""
    camera = aravis.Camera.new(name)
    if not camera.get_device().is_controller():
        raise Failed("busy", "another program controls the camera")
    layout = _choose(camera)
    camera.set_acquisition_mode(aravis.AcquisitionMode.CONTINUOUS)
    stream = camera.create_stream(None, None)
    lost: list[bool] = []
    camera.get_device().connect("control-lost", lambda _device: lost.append(True))
    for _ in range(BUFFERS):
        stream.push_buffer(aravis.Buffer.new_allocate(camera.get_payload()))
    camera.start_acquisition()
    try:
        _pictures(aravis, stream, layout, stall_ms / 1000, lost)
    finally:
        if not lost:
            camera.stop_acquisition()


def _pictures(aravis: Any, stream: Any, layout: str, stall_s: float, lost: list[bool]) -> None:  # noqa: ANN401 - as above
    last_s, bad = time.monotonic(), 0
    while True:
        buffer = _newest(stream, stream.timeout_pop_buffer(POLL_US))
        if lost:
            raise Failed("ended", "the connection to the camera was lost")
        if buffer is not None:
            whole = buffer.get_status() == aravis.BufferStatus.SUCCESS
            bad = 0 if whole else bad + 1
            if whole:
                began_s = time.monotonic()
                _hand_over(buffer, layout)
                last_s = time.monotonic()
            stream.push_buffer(buffer)
            if whole and last_s - began_s > LONG_S and (old := _newest(stream, stream.try_pop_buffer())) is not None:
                stream.push_buffer(old)
        if bad > MAX_BAD:
            raise Failed("damaged", f"{bad} pictures in a row lack packets")
        if time.monotonic() - last_s > stall_s:
            raise Failed("stalled", f"no picture for {stall_s:g} s")


def _newest(stream: Any, buffer: Any) -> Any:  # noqa: ANN401 - as above
    """The last of those that wait; the others go back to the camera."""
    while buffer is not None and (newer := stream.try_pop_buffer()) is not None:
        stream.push_buffer(buffer)
        buffer = newer
    return buffer


def _hand_over(buffer: Any, layout: str) -> None:  # noqa: ANN401 - as above
    width, height = buffer.get_image_width(), buffer.get_image_height()
    size = width * height * BYTES.get(layout, 1)
    pixels = buffer.get_data()
    if len(pixels) < size:
        raise Failed("damaged", f"{len(pixels)} bytes for {width} x {height} px, {layout}")
    # When its first packet came, by this machine's clock: the exposure has just ended.
    captured_ns = min(buffer.get_system_timestamp(), time.time_ns())
    _say({"width": width, "height": height, "layout": layout, "captured_ns": captured_ns, "size": size}, pixels[:size])


def _choose(camera: Any) -> str:  # noqa: ANN401 - as above
    """The camera's own pixel format if it can be read, else the first of those that can; its other settings stay."""
    now = camera.get_pixel_format_as_string()
    if now not in LAYOUTS:
        offered = camera.dup_available_pixel_formats_as_strings()
        now = next((one for one in LAYOUTS if one in offered), None)
        if now is None:
            raise Failed(
                "unsupported", f"its pixel formats are {', '.join(offered)}; one of {', '.join(LAYOUTS)} is needed"
            )
        camera.set_pixel_format_from_string(now)
    return LAYOUTS[now]


def _trouble(aravis: Any, error: Any) -> str:  # noqa: ANN401 - as above
    """The code for an error of Aravis."""
    codes = aravis.DeviceError
    by_code = {
        int(codes.NOT_FOUND): "unreachable",
        int(codes.NOT_CONNECTED): "unreachable",
        int(codes.TIMEOUT): "unreachable",
        int(codes.NOT_CONTROLLER): "busy",
        int(codes.FEATURE_NOT_FOUND): "unsupported",
        int(codes.INVALID_PARAMETER): "unsupported",
    }
    return by_code.get(error.code, "ended") if error.domain == "arv-device-error-quark" else "ended"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
