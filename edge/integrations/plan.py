"""What a SCADA tool has to know of a site, resolved once: its topics, flags and alarms, as the daemon itself resolves them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from edge.annunciator import AlarmEntry
from edge.bundle import Manifest
from edge.channel import ChannelSpec, resolve_channels
from edge.settings import Site
from edge.standing import site_alarms


@dataclass(frozen=True, slots=True)
class Plan:
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


def plan_for(site: Site, manifest: Manifest) -> Plan:
    """Join site and bundle.

    Raises:
        ConfigError: they do not fit together.
    """
    channels = resolve_channels(site, manifest)
    return Plan(site, channels, tuple(site_alarms(site, channels)))


def script(name: str) -> str:
    """The text of a script that ships beside this module."""
    return (Path(__file__).parent / "js" / name).read_text(encoding="utf-8")
