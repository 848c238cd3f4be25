"""GigE Vision cameras: a helper with the system's Python and Aravis hands over raw pictures through a pipe; they are encoded here."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from edge.camera import gige_helper
from edge.camera.shot import Shot, SourceFailed
from edge.camera.video import raw_picture
from edge.errors import ConfigError
from edge.site.source import SourceSettings
from edge.wire.camera import CameraTrouble

SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's bindings of Aravis belong to it, and to no virtual environment
PACKAGES = "gir1.2-aravis-0.8 python3-gi"
START_S = 15.0  # over stall_ms, for starting the helper and for a camera that describes itself slowly
CHECK_S = 20.0
MAX_LINE = 4096
_BLOCK = 1 << 20
_POLL_S = 0.5


def refuse_without_aravis(python: str = SYSTEM_PYTHON) -> None:
    """Find out before the first attempt whether the helper can run at all.

    Raises:
        ConfigError: says what to install.
    """
    try:
        done = subprocess.run([python, "-I", gige_helper.__file__, "check"], check=False, timeout=CHECK_S)
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode != 0:
        raise ConfigError(
            f"gige: addresses need Aravis for {python}, which is not installed: apt-get install {PACKAGES}"
        )


class GigeSource:
    """A GigE Vision camera; see `edge.camera.shot.Source`.

    Args:
        source: its address; host or IP address of the camera.
        max_pixels: a larger picture is refused before it is read.
        command: that starts the helper.
    """

    def __init__(
        self,
        source: SourceSettings,
        max_pixels: int,
        command: tuple[str, ...] = (SYSTEM_PYTHON, "-I", gige_helper.__file__),
    ) -> None:
        self._name = unquote(urlsplit(source.url).hostname or "")
        self._stall_ms = source.stall_ms
        self._max_pixels = max_pixels
        self._command = command

    def shots(self) -> Iterator[Shot | None]:
        """Start the helper and give its pictures until it ends.

        Raises:
            SourceFailed: the camera cannot be opened, stalled, or ended.
        """
        command = [*self._command, "run", self._name, str(self._stall_ms)]
        number, end = os.pipe()
        with (
            os.fdopen(number, "rb", 0),
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=end, stderr=subprocess.DEVNULL) as helper,
        ):
            try:
                os.close(end)
                pipe = _Pipe(number, START_S + self._stall_ms / 1000)
                while True:
                    told = self._told(pipe.line())
                    pixels = pipe.take(told["size"])
                    picture = raw_picture(pixels, told["width"], told["height"], told["layout"])
                    yield Shot(picture, told["layout"], told["captured_ns"])
            finally:
                helper.kill()

    def _told(self, line: bytes) -> dict[str, Any]:
        """What the helper says of the next picture. Raises SourceFailed: there is none."""
        told: dict[str, Any] = json.loads(line)
        if "trouble" in told:
            raise SourceFailed(CameraTrouble(told["trouble"]), str(told["detail"]))
        if told["width"] * told["height"] > self._max_pixels:
            raise SourceFailed(CameraTrouble.TOO_LARGE, f"{told['width']} x {told['height']} px")
        return told


class _Pipe:
    """Reads lines and blocks from a pipe, and never longer than it was allowed: a helper that hangs is a camera that stalled."""

    def __init__(self, number: int, patience_s: float) -> None:
        self._number = number
        self._patience_s = patience_s
        self._rest = b""

    def line(self) -> bytes:
        """The next line, without its end."""
        while (end := self._rest.find(b"\n")) < 0:
            if len(self._rest) > MAX_LINE:
                raise SourceFailed(CameraTrouble.INTERNAL, "the helper writes what is no line")
            self._rest += self._more(MAX_LINE)
        line, self._rest = self._rest[:end], self._rest[end + 1 :]
        return line

    def take(self, size: int) -> bytes:
        """So many bytes."""
        parts, left = [self._rest[:size]], size - min(size, len(self._rest))
        self._rest = self._rest[size:]
        while left:
            parts.append(self._more(min(left, _BLOCK)))
            left -= len(parts[-1])
        return b"".join(parts)

    def _more(self, size: int) -> bytes:
        until_s = time.monotonic() + self._patience_s
        while not select.select([self._number], [], [], _POLL_S)[0]:
            if time.monotonic() > until_s:
                raise SourceFailed(CameraTrouble.STALLED, "the process that reads the camera hangs")
        more = os.read(self._number, size)
        if not more:
            raise SourceFailed(CameraTrouble.ENDED, "the process that reads the camera ended")
        return more
