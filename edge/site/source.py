"""Where `edge-camera` gets a camera's pictures from, as the table `[cameras.source]` of ``site.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from edge.parsing.toml_file import Section
from edge.site.kinds import NotNegative, Positive

USER, PASSWORD = "{user}", "{password}"
SCHEMES = ("rtsp", "rtsps", "http", "https", "file", "folder", "v4l2", "gige")
_LOCAL = frozenset(("file", "folder", "v4l2"))


def refuse_address(url: str) -> None:
    """Refuse an address that cannot be opened, or that has a secret which does not belong in a file of settings.

    Raises:
        ValueError: says what to write instead.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError("url is no address: write e.g. rtsp://camera1/stream") from error
    if "@" in parts.netloc:
        raise ValueError("url holds a user or a password: take them out, and give username and password_file")
    if parts.scheme not in SCHEMES:
        hint = f": a folder is folder://{url}, a video file://{url}" if url.startswith("/") else ""
        raise ValueError(f"url begins with none of {', '.join(f'{scheme}://' for scheme in SCHEMES)}{hint}")
    if parts.scheme in _LOCAL and (parts.netloc or not parts.path.startswith("/")):
        raise ValueError(f"url needs a whole path after three slashes, e.g. {parts.scheme}:///srv/pictures")
    if parts.scheme not in _LOCAL and (not parts.hostname or port == 0):
        raise ValueError("url names no camera: write e.g. rtsp://camera1/stream")
    if not url.isprintable() or " " in url:
        raise ValueError("url holds a space or an invisible character: write it as %20 and the like")


class SourceSettings(Section):
    """Where `edge-camera` gets a camera's pictures from; the daemon itself opens none of it. See docs/cameras.md."""

    url: str = Field(
        max_length=1024,
        description="rtsp, rtsps, http, https (MJPEG stream or snapshot), file (video, played again and again), folder (pictures that are put there), v4l2 (USB) or gige (GigE Vision): "
        "e.g. rtsp://camera1/stream, folder:///srv/pictures, v4l2:///dev/video0, gige://192.168.1.20. {user} and {password} in it are filled in",
    )
    username: str | None = Field(default=None, description="user name, if the camera wants one")
    password_file: Path | None = Field(
        default=None, description="file holding the camera's password; must not be readable by others"
    )
    ca_file: Path | None = Field(
        default=None, description="PEM file of the authority that signed the camera's certificate (https, rtsps)"
    )
    fps: Positive | None = Field(
        default=None, description="at most so many pictures a second are published, the newest ones; default: all"
    )
    poll_ms: Positive = Field(
        default=200.0, description="ms between two snapshots, or two looks at a folder", le=3_600_000.0
    )
    stall_ms: Positive = Field(
        default=3000.0,
        le=3_600_000.0,
        description="a source without a picture for so long is closed and opened again, ms; a folder and a snapshot only count as stalled",
    )
    transport: Literal["tcp", "udp"] = Field(
        default="tcp", description="how RTSP carries pictures; over udp a lost packet damages a picture"
    )
    quality: int = Field(
        default=90,
        ge=1,
        le=100,
        description="JPEG quality of pictures that have to be encoded again (H.264, H.265, raw ones)",
    )
    video_size: str | None = Field(
        default=None, pattern=r"^\d{2,5}x\d{2,5}$", description="v4l2: size to ask the camera for, e.g. 1920x1080"
    )
    settle_ms: NotNegative = Field(
        default=100.0, description="folder: a file whose size stays the same for so long is complete, ms"
    )

    @model_validator(mode="after")
    def _consistent(self) -> SourceSettings:
        refuse_address(self.url)
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file is set but username is not: give both")
        wanted = {USER: self.username, PASSWORD: self.password_file}
        missing = [place for place, given in wanted.items() if place in self.url and given is None]
        if missing:
            raise ValueError(f"url has a place for {' and '.join(missing)}: give username and password_file")
        if self.username is not None and self.url.startswith("gige:"):
            raise ValueError("a GigE Vision camera knows no user: leave username and password_file out")
        if self.ca_file is not None and not self.url.startswith(("https:", "rtsps:")):
            raise ValueError("ca_file is for https and rtsps: change the url, or leave it out")
        return self
