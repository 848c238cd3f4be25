"""What a SCADA tool needs of a site: topics, flags and alarms, resolved as the daemon resolves them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from edge.alarm.catalogue import site_alarms
from edge.alarm.entry import AlarmEntry
from edge.manifest import Manifest
from edge.plan import resolve_channels
from edge.site.settings import Site
from edge.verdict.channel import ChannelSpec


@dataclass(frozen=True, slots=True)
class SiteTags:
    """One site for one tool."""

    site: Site
    channels: tuple[ChannelSpec, ...]
    alarms: tuple[AlarmEntry, ...]

    @property
    def node(self) -> str:
        """The device's id, which names everything that is made for it."""
        return self.site.node.id

    @property
    def prefix(self) -> str:
        """First part of its topics."""
        return self.site.prefix()

    def key(self, *names: str, length: int = 16) -> str:
        """An id for a part of a generated file: the same for the same site every time, another for each site and part."""
        return hashlib.sha256("\0".join((self.prefix, *names)).encode()).hexdigest()[:length]


def site_tags(site: Site, manifest: Manifest | None) -> SiteTags:
    """Join site and bundle; a site without cameras has none.

    Raises:
        ConfigError: they do not fit together.
    """
    channels = resolve_channels(site, manifest)
    return SiteTags(site, channels, tuple(site_alarms(site, channels)))


def script(name: str) -> str:
    """The text of a script that ships beside this module."""
    return (Path(__file__).parent / "js" / name).read_text(encoding="utf-8")
