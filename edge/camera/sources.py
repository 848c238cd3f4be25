"""Which source opens which kind of address."""

from __future__ import annotations

from edge.camera.folder import FolderSource
from edge.camera.shot import Source
from edge.camera.web import WebSource
from edge.errors import ConfigError
from edge.frame import MAX_PIXELS
from edge.site.source import SourceSettings


def source_of(settings: SourceSettings, max_bytes: int, max_pixels: int | None) -> Source:
    """The source of a camera; nothing is opened yet.

    Raises:
        ConfigError: it needs PyAV or Aravis, which is not installed.
    """
    scheme = settings.url.partition(":")[0]
    if scheme in {"http", "https"}:
        return WebSource(settings, max_bytes)
    if scheme == "folder":
        return FolderSource(settings, max_bytes)
    try:
        from edge.camera.video import VideoSource  # noqa: PLC0415 - HTTP and folders need no PyAV
    except ImportError as error:
        raise ConfigError(
            f"{scheme}: addresses need PyAV, which is not installed: pip install 'plantflag[camera]'"
        ) from error
    if scheme == "gige":
        from edge.camera.gige import GigeSource, refuse_without_aravis  # noqa: PLC0415 - it needs PyAV too

        refuse_without_aravis()
        return GigeSource(settings, max_pixels or MAX_PIXELS)
    return VideoSource(settings, max_pixels or MAX_PIXELS)
