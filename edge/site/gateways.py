"""Which cameras and sensors fall silent together when one thing dies: those of one gateway, as the site names it or as their topics show it.

Pure. `edge.health.common_cause` acts on it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from edge.site.inputs import CameraSettings, SensorSettings
from edge.site.settings import Site

LONGEST_ID = 40  # of the part of an id that a topic gives


@dataclass(frozen=True, slots=True)
class Gateway:
    """Cameras and sensors that come over one thing, two at least.

    Args:
        id: names its alarms.
        words: what it is, for people.
        sensors: ids.
        cameras: ids; no camera has the id of a sensor.
    """

    id: str
    words: str
    sensors: tuple[str, ...] = ()
    cameras: tuple[str, ...] = ()

    @property
    def members(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.cameras, *self.sensors)

    def only(self, members: Collection[str]) -> Gateway:
        """The same gateway with these of its members."""
        kept = [tuple(name for name in names if name in members) for names in (self.sensors, self.cameras)]
        return replace(self, sensors=kept[0], cameras=kept[1])


def site_gateways(site: Site) -> tuple[Gateway, ...]:
    """The gateways of a site; each camera and each sensor belongs to one at most.

    Those belong together that name one `gateway`; else those that share a topic; else those whose topics differ in one level, as the many topics of
    one gateway do.
    """
    sources: list[CameraSettings | SensorSettings] = [*site.cameras, *site.sensors]
    topics = {source.id: _topic(site, source) for source in sources if source.gateway is None}
    shared = Counter(topics.values())
    common = Counter(pattern for topic in set(topics.values()) for pattern in _patterns(topic))
    groups: dict[tuple[str, str], list[CameraSettings | SensorSettings]] = {}
    for source in sources:
        key = _key(source, topics, shared, common)
        if key is not None:
            groups.setdefault(key, []).append(source)
    return tuple(_named({key: members for key, members in groups.items() if len(members) > 1}))


def frozen_gateways(site: Site) -> tuple[Gateway, ...]:
    """The gateways of which two sensors at least are watched for repeating one value."""
    watched = {sensor.id for sensor in site.sensors if sensor.frozen_after_ms > 0}
    found = [gateway.only(watched) for gateway in site_gateways(site)]
    return tuple(gateway for gateway in found if len(gateway.members) > 1)


def _topic(site: Site, source: CameraSettings | SensorSettings) -> str:
    return site.frame_topic(source) if isinstance(source, CameraSettings) else site.sensor_topic(source)


def _key(
    source: CameraSettings | SensorSettings, topics: Mapping[str, str], shared: Counter[str], common: Counter[str]
) -> tuple[str, str] | None:
    """What distinguishes a gateway from others: how it was found, and its name, topic or pattern."""
    if source.gateway is not None:
        return "gateway", source.gateway
    topic = topics[source.id]
    if shared[topic] > 1:
        return "topic", topic
    best = max(_patterns(topic), key=lambda pattern: common[pattern])  # of equals the first: the last level differs
    return ("topics", best) if common[best] > 1 else None


def _patterns(topic: str) -> Iterator[str]:
    """The topic with each of its levels left open, the last first."""
    levels = topic.split("/")
    for place in reversed(range(len(levels))):
        yield "/".join((*levels[:place], "+", *levels[place + 1 :]))


def _named(groups: Mapping[tuple[str, str], list[CameraSettings | SensorSettings]]) -> Iterator[Gateway]:
    """Each with an id of its own."""
    taken: set[str] = set()
    for (how, name), members in groups.items():
        stem = name if how == "gateway" else _slug(name)
        number, found = 1, stem
        while found in taken:
            number += 1
            found = f"{stem}-{number}"
        taken.add(found)
        cameras = tuple(member.id for member in members if isinstance(member, CameraSettings))
        sensors = tuple(member.id for member in members if isinstance(member, SensorSettings))
        yield Gateway(f"gateway-{found}", f"{how} {name}", sensors, cameras)


def _slug(topic: str) -> str:
    """A topic as a part of an id."""
    plain = re.sub(r"[^a-z0-9_]+", "-", topic.lower()).strip("-")
    return plain[-LONGEST_ID:].strip("-") or "all"
