"""Each kind of address has its source, and what it needs is said when it is not there."""

from __future__ import annotations

import sys

import pytest

from edge.camera.folder import FolderSource
from edge.camera.sources import source_of
from edge.camera.web import WebSource
from edge.errors import ConfigError
from edge.site.source import SourceSettings


@pytest.mark.parametrize(
    ("url", "kind"), [("http://cam/a", WebSource), ("https://cam/a", WebSource), ("folder:///srv", FolderSource)]
)
def test_http_and_folders_need_no_ffmpeg(monkeypatch: pytest.MonkeyPatch, url: str, kind: type) -> None:
    """The small install does for them."""
    monkeypatch.setitem(sys.modules, "av", None)
    assert isinstance(source_of(SourceSettings(url=url), 1, None), kind)


@pytest.mark.parametrize("url", ["rtsp://cam/a", "rtsps://cam/a", "file:///a.mp4", "v4l2:///dev/video0"])
def test_video_without_pyav_says_what_to_install(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """At the start, as an error of the configuration."""
    monkeypatch.delitem(sys.modules, "edge.camera.video", raising=False)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ConfigError, match=r"pip install 'plantflag\[camera\]'"):
        source_of(SourceSettings(url=url), 1, None)
