"""RTSP, video files and USB cameras through FFmpeg's libraries: JPEG is passed on as it came, other codings are decoded; the only module that imports PyAV.

Not one buffered picture more than needed: decoding by frame threads would hold back a picture for each thread.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error
import av.logging
import numpy as np
import simplejpeg

from edge.camera.address import local_path, password, refuse_unreachable, with_credentials
from edge.camera.presentation import PresentationClock
from edge.camera.shot import Decoded, Shot, SourceFailed
from edge.site.source import SourceSettings
from edge.units import NS_PER_MS, NS_PER_S
from edge.wire.camera import CameraTrouble

OPEN_S = 5.0  # for the first answers of a stream: a busy camera takes seconds to describe itself
MAX_BAD = 50  # pictures in a row that cannot be decoded, before the source is opened again
_FILES = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,ogg,flv,asf,h264,hevc,mjpeg"  # and no playlists, which open others
_NETWORK = "tcp,udp,rtp,srtp,tls,crypto,rtsp,rtsps"

# FFmpeg's own log would show addresses with the password that they hold.
av.logging.set_level(None)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How FFmpeg opens one kind of address: which reader, what it may open in turn, and its options."""

    reader: str | None
    protocols: str
    options: tuple[tuple[str, str], ...] = ()


_RTSP = _Kind(
    "rtsp",
    _NETWORK,
    (
        ("fflags", "nobuffer+discardcorrupt"),
        ("analyzeduration", "500000"),
        ("fpsprobesize", "0"),
    ),  # us; else it looks for 5 s
)
_KINDS = {
    "rtsp": _RTSP,
    "rtsps": _RTSP,
    "file": _Kind(None, "file", (("format_whitelist", _FILES),)),
    "v4l2": _Kind("v4l2", "file", (("input_format", "mjpeg"),)),
}
# The first that fits says what went wrong; an exception of PyAV is often several of these.
_TROUBLES: tuple[tuple[type[Exception], CameraTrouble], ...] = (
    (av.error.HTTPUnauthorizedError, CameraTrouble.UNAUTHORIZED),
    (av.error.HTTPForbiddenError, CameraTrouble.FORBIDDEN),
    (av.error.HTTPNotFoundError, CameraTrouble.NOT_FOUND),
    (av.error.HTTPClientError, CameraTrouble.NOT_FOUND),
    (av.error.HTTPServerError, CameraTrouble.BUSY),
    (av.error.EOFError, CameraTrouble.ENDED),
    (av.error.ExitError, CameraTrouble.STALLED),
    (av.error.InvalidDataError, CameraTrouble.UNSUPPORTED),
    (FileNotFoundError, CameraTrouble.NOT_FOUND),
    (PermissionError, CameraTrouble.FORBIDDEN),
    (TimeoutError, CameraTrouble.STALLED),
    (ConnectionError, CameraTrouble.UNREACHABLE),
    (BlockingIOError, CameraTrouble.BUSY),
    (OSError, CameraTrouble.ENDED),
)
# What a device answers.
_BY_NUMBER = {
    errno.EINVAL: CameraTrouble.UNSUPPORTED,
    errno.ENOTTY: CameraTrouble.UNSUPPORTED,
    errno.ENODEV: CameraTrouble.NOT_FOUND,
    errno.EBUSY: CameraTrouble.BUSY,
}


class VideoSource:
    """A stream, a video file or a USB camera; see `edge.camera.shot.Source`.

    Args:
        source: what to open.
        max_pixels: a larger picture is refused before it is decoded.
        monotonic_ns: for arrival times and the pace of a file.
        wall_ns: for the stamps.
    """

    def __init__(
        self,
        source: SourceSettings,
        max_pixels: int,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._source = source
        self._scheme = source.url.partition(":")[0]
        self._max_pixels = max_pixels
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns

    def shots(self) -> Iterator[Shot | None]:
        """Open it and give its pictures until it ends.

        Raises:
            SourceFailed: it cannot be opened, stalled, or ended.
            ConfigError: the password file cannot be used.
        """
        secret = password(self._source)
        if self._scheme.startswith("rtsp"):
            refuse_unreachable(self._source)
        try:
            with self._opened(secret) as container:
                yield from self._pictures(container)
        except (av.error.FFmpegError, OSError) as error:
            raise _failure(error) from None
        raise SourceFailed(CameraTrouble.ENDED, "its last picture was read")

    def _opened(self, secret: str) -> Any:  # noqa: ANN401 - PyAV is not always installed, so its types are not known
        source, kind = self._source, _KINDS[self._scheme]
        address = str(local_path(source)) if self._scheme in {"file", "v4l2"} else with_credentials(source, secret)
        options = {"protocol_whitelist": kind.protocols, **dict(kind.options)}
        if self._scheme.startswith("rtsp"):
            options["rtsp_transport"] = source.transport
        if self._scheme == "rtsps" and source.ca_file is not None:
            options |= {"tls_verify": "1", "ca_file": str(source.ca_file)}
        if self._scheme == "v4l2":
            options.pop("protocol_whitelist")  # a device is none
            if source.video_size is not None:
                options["video_size"] = source.video_size
        stall_s = source.stall_ms * NS_PER_MS / NS_PER_S
        timeout = (max(OPEN_S, stall_s), stall_s)
        try:
            return av.open(address, format=kind.reader, options=options, timeout=timeout)
        except (av.error.FFmpegError, OSError) as error:
            if self._scheme != "v4l2" or error.errno != errno.EINVAL:
                raise
        # A camera without Motion JPEG: what it gives by itself, which takes more of the bus, is decoded.
        options.pop("input_format")
        return av.open(address, format=kind.reader, options=options, timeout=timeout)

    def _pictures(self, container: Any) -> Iterator[Shot | None]:  # noqa: ANN401 - as above
        if not container.streams.video:
            raise SourceFailed(CameraTrouble.UNSUPPORTED, "there is no video in it")
        stream = container.streams.video[0]
        self._refuse_larger(stream.codec_context)
        coding, clock = str(stream.codec_context.name), PresentationClock()
        pace = _Pace(self._monotonic_ns) if self._scheme == "file" else None
        if coding != "mjpeg":
            stream.codec_context.thread_type = "SLICE"
            stream.codec_context.options = {"max_pixels": str(self._max_pixels), "flags": "+low_delay"}
        bad = 0
        for packet in _packets(container, stream, again=pace is not None):
            try:
                found = [packet] if coding == "mjpeg" else packet.decode()
            except av.error.EOFError:
                raise
            except av.error.FFmpegError:
                self._refuse_larger(stream.codec_context)
                found = []
                bad += 1
            for item in found:
                if getattr(item, "is_corrupt", False):
                    bad += 1
                    continue
                bad = 0
                presented_ns = _ns(item.pts, item.time_base)
                if pace is not None:
                    pace.wait(presented_ns)
                content = bytes(item) if coding == "mjpeg" else _Picture(item)
                yield Shot(content, "jpeg" if coding == "mjpeg" else coding, self._stamp(clock, presented_ns, pace))
            if bad > MAX_BAD:
                raise SourceFailed(CameraTrouble.DAMAGED, f"{bad} pictures in a row cannot be decoded")
            if not found:
                yield None

    def _refuse_larger(self, decoder: Any) -> None:  # noqa: ANN401 - as above
        if decoder.width * decoder.height > self._max_pixels:
            raise SourceFailed(CameraTrouble.TOO_LARGE, f"{decoder.width} x {decoder.height} px")

    def _stamp(self, clock: PresentationClock, presented_ns: int | None, pace: _Pace | None) -> int:
        """Capture time on the wall clock; a file's pictures are taken when they are played."""
        arrived_ns = self._monotonic_ns()
        captured_ns = clock.captured_ns(None if pace is not None else presented_ns, arrived_ns)
        return self._wall_ns() - (arrived_ns - captured_ns)


class _Picture:
    """A decoded picture of FFmpeg's; see `edge.camera.shot.Decoded`."""

    __slots__ = ("_frame",)

    def __init__(self, frame: Any) -> None:  # noqa: ANN401 - as above
        self._frame = frame

    @property
    def width(self) -> int:
        """Columns, px."""
        return int(self._frame.width)

    @property
    def height(self) -> int:
        """Rows, px."""
        return int(self._frame.height)

    def jpeg(self, quality: int) -> bytes:
        """Convert by the stream's colour range and matrix to RGB, and that to JPEG."""
        pixels = self._frame.to_ndarray(format="rgb24")
        return bytes(simplejpeg.encode_jpeg(pixels, quality, "RGB", "420"))


def raw_picture(pixels: bytes, width: int, height: int, layout: str) -> Decoded:
    """A picture that came as it left a sensor, in one of FFmpeg's layouts of 8 bits; colours are made when it is encoded."""
    depth = len(pixels) // (width * height)
    shape = (height, width) if depth == 1 else (height, width, depth)
    return _Picture(av.VideoFrame.from_ndarray(np.frombuffer(pixels, np.uint8).reshape(shape), format=layout))


class _Pace:
    """Plays a file at its own speed, as a camera would send it."""

    def __init__(self, monotonic_ns: Callable[[], int]) -> None:
        self._monotonic_ns = monotonic_ns
        self._began: tuple[int, int] | None = None  # presentation and monotonic ns of one moment
        self._last_ns = 0

    def wait(self, presented_ns: int | None) -> None:
        """Return when it is this picture's turn."""
        if presented_ns is None:
            return
        now_ns = self._monotonic_ns()
        if self._began is None or presented_ns < self._last_ns:
            self._began = presented_ns, now_ns
        self._last_ns = presented_ns
        due_ns = self._began[1] + presented_ns - self._began[0]
        time.sleep(max(0, due_ns - now_ns) / NS_PER_S)


def _packets(container: Any, stream: Any, *, again: bool) -> Iterator[Any]:  # noqa: ANN401 - as above
    """The stream's packets; the last one, which is empty, has the decoder give what it still holds. A file begins again."""
    while True:
        size = 0
        for packet in container.demux(stream):
            size += packet.size
            yield packet
        if not again or size == 0:
            return
        stream.codec_context.flush_buffers()
        container.seek(0)


def _ns(pts: int | None, time_base: Fraction | None) -> int | None:
    return None if pts is None or time_base is None else round(pts * time_base * NS_PER_S)


def _failure(error: Exception) -> SourceFailed:
    """What went wrong; of the exception's own text only what the system says, because it also holds the address."""
    by_kind = next((trouble for kind, trouble in _TROUBLES if isinstance(error, kind)), CameraTrouble.ENDED)
    trouble = _BY_NUMBER.get(getattr(error, "errno", None) or 0, by_kind)
    return SourceFailed(trouble, str(getattr(error, "strerror", None) or type(error).__name__))
