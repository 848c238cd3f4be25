"""Mosquitto: who may do what at the broker, for this very site: each name is the common name of a certificate."""

from __future__ import annotations

from collections.abc import Iterator

from edge.errors import ConfigError
from edge.site.settings import Site
from edge.wire.topics import COMMAND, INSPECTION, OUT, PICTURES

SCADA = "scada"
PAGE = "page"
PLC = "plc"
_SPARKPLUG_WRITES = ("NBIRTH", "NDEATH", "NDATA", "DBIRTH/+", "DDEATH/+", "DDATA/+")
_SPARKPLUG_READS = ("NCMD", "DCMD/+")


def access_rules(site: Site) -> str:
    """An acl_file for Mosquitto: the node, its cameras and sensors, the PLC that triggers them, SCADA and the operators' page; nothing else is allowed.

    A camera or sensor is named as in the site file. Where a gateway publishes for several, give all their lines to the gateway's name.

    Raises:
        ConfigError: a source has the name of another role.
    """
    sources = list(_sources(site))
    reserved = {site.node.id, SCADA, PAGE, PLC} & {name for name, _ in sources}
    if reserved:
        raise ConfigError(
            f"a camera or sensor is called {', '.join(sorted(reserved))}, as the node, SCADA, a PLC or the page is: each needs a name, and a certificate, of its own"
        )
    blocks = [
        list(_node(site)),
        *(lines for _, lines in sources),
        list(_plc(site)),
        list(_scada(site)),
        list(_page(site)),
    ]
    return "\n".join("\n".join(block) + "\n" for block in blocks if block)


def _node(site: Site) -> Iterator[str]:
    prefix = site.prefix()
    yield f"# The node {site.node.id}: publishes its own topics, subscribes to its inputs and commands. It may not command itself."
    yield f"user {site.node.id}"
    yield from (f"topic write {path}" for path in _published(prefix))
    yield f"topic read {prefix}/#"
    yield from (f"topic read {topic}" for topic in site.input_topics() if not topic.startswith(f"{prefix}/"))
    yield from _sparkplug(site)


def _sparkplug(site: Site) -> Iterator[str]:
    wanted = site.sparkplug
    if not wanted.enabled or wanted.group_id is None:
        return
    node = wanted.edge_node_id or site.node.id
    for rights, kinds in (("write", _SPARKPLUG_WRITES), ("read", _SPARKPLUG_READS)):
        for kind in kinds:
            head, _, device = kind.partition("/")
            yield f"topic {rights} spBv1.0/{wanted.group_id}/{head}/{node}" + (f"/{device}" if device else "")
    yield f"topic read spBv1.0/STATE/{wanted.primary_host or '+'}"


def _sources(site: Site) -> Iterator[tuple[str, list[str]]]:
    """The name and the lines of each source: it publishes its own input and reads nothing."""
    topics: dict[str, dict[str, None]] = {}
    for camera in site.cameras:
        topics.setdefault(camera.id, {})[site.frame_topic(camera)] = None
        if camera.source is not None:
            topics[camera.id][site.camera_topic(camera)] = None
    for sensor in site.sensors:
        topics.setdefault(sensor.id, {})[site.sensor_topic(sensor)] = None
    for name, wanted in topics.items():
        yield name, [f"user {name}", *(f"topic write {topic}" for topic in wanted)]


def _plc(site: Site) -> Iterator[str]:
    """What triggers cameras, reads what they saw, and says which product is made; nothing where the site asks for neither."""
    triggers = site.trigger_topics()
    topics = [*triggers, *([] if site.changeover.topic is None else [site.changeover.topic])]
    if topics:
        yield "# The PLC: triggers inspections, reads their results, and says which product is made."
        yield f"user {PLC}"
        yield from (f"topic write {topic}" for topic in topics)
    if triggers:
        yield f"topic read {INSPECTION.at(site.prefix(), '+')}"


def _scada(site: Site) -> Iterator[str]:
    prefix = site.prefix()
    yield "# SCADA and people at a terminal: read what the node publishes, and send commands."
    yield f"user {SCADA}"
    yield from (f"topic read {path}" for path in _published(prefix))
    yield f"topic write {COMMAND.at(prefix, '+')}"
    wanted = site.sparkplug
    if wanted.enabled and wanted.group_id is not None:
        node = wanted.edge_node_id or site.node.id
        yield f"topic read spBv1.0/{wanted.group_id}/#"
        yield f"topic write spBv1.0/{wanted.group_id}/NCMD/{node}"
        yield f"topic write spBv1.0/{wanted.group_id}/DCMD/{node}/+"
        yield f"topic write spBv1.0/STATE/{wanted.primary_host or '+'}"


def _page(site: Site) -> Iterator[str]:
    prefix = site.prefix()
    yield "# The operators' page (edge-page): as people at a terminal, and no Sparkplug."
    yield f"user {PAGE}"
    yield from (f"topic read {path}" for path in _published(prefix))
    yield f"topic write {COMMAND.at(prefix, '+')}"


def _published(prefix: str) -> Iterator[str]:
    for topic in (*OUT, *PICTURES):
        yield topic.at(prefix, "+" if "{" in topic.path else "")
