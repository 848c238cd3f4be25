"""Ignition: a tag import with one UDT and an instance for each alarm, over the Sparkplug metrics of MQTT Engine.

Made of the very catalogue that publishes the metrics, so that a tag always has its metric.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edge.alarm.entry import AlarmEntry
from edge.alarm.table import priority
from edge.errors import ConfigError
from edge.integrations.plan import SiteTags
from edge.sparkplug.codec import DataType
from edge.sparkplug.metrics import Catalogue
from edge.sparkplug.node import Tag

ENGINE = "[MQTT Engine]Edge Nodes"  # where Cirrus Link's MQTT Engine puts Sparkplug metrics
ALARM_TYPE = "PlantflagAlarm"
TYPES = {
    DataType.BOOLEAN: "Boolean",
    DataType.INT32: "Int4",
    DataType.INT64: "Int8",
    DataType.FLOAT: "Float4",
    DataType.DOUBLE: "Float8",
    DataType.STRING: "String",
    DataType.DATETIME: "DateTime",
}
HIDDEN = ("SHELVED", "SUPPRESSED", "OOS")
# What the daemon hides from its operators must not call them from another list.
SHOWN = "!(" + " || ".join(f'{{[.]State}} = "{state}"' for state in HIDDEN) + ")"

Json = dict[str, Any]


def ignition_tags(plan: SiteTags) -> Json:
    """The file for "Import tags" of Ignition 8.1 and later.

    Raises:
        ConfigError: the site does not use Sparkplug.
    """
    wanted = plan.site.sparkplug
    if not wanted.enabled or wanted.group_id is None:
        raise ConfigError("Ignition reads Sparkplug: set enabled and group_id in [sparkplug] of the site file")
    home = f"{ENGINE}/{wanted.group_id}/{wanted.edge_node_id or plan.node}"
    catalogue = Catalogue(plan.site, plan.channels, plan.alarms, {})
    entries = {entry.spec.id: entry for entry in plan.alarms}
    places = [("node", home, catalogue.node)]
    places += [(name, f"{home}/{name}", tags) for name, tags in catalogue.devices.items()]
    sample = next(tags for _, _, tags in places if _alarm_ids(tags))
    alarms = [_alarm(entries[name], f"{at}/Alarms/{name}", plan) for _, at, tags in places for name in _alarm_ids(tags)]
    flags = [_reference(tag, at) for _, at, tags in places for tag in tags if tag.name.startswith("Flags/")]
    parts = [_folder("Alarms", alarms), _folder("Flags", flags)]
    parts += [
        _folder(part, [_folder(name, _below(part, tags, at)) for name, at, tags in places])
        for part in ("Health", "Command")
    ]
    return {"tags": [_folder("_types_", [_alarm_type(sample)]), _folder(plan.node, parts)]}


def _folder(name: str, tags: list[Json]) -> Json:
    return {"name": name, "tagType": "Folder", "tags": tags}


def _alarm_ids(tags: Iterable[Tag]) -> list[str]:
    """The alarms whose metrics are among these tags."""
    return list(dict.fromkeys(tag.name.split("/")[1] for tag in tags if tag.name.startswith("Alarms/")))


def _alarm_type(tags: tuple[Tag, ...]) -> Json:
    """The UDT: one member for each metric that an alarm has; the parameter gives their place."""
    first = _alarm_ids(tags)[0]
    members = [tag for tag in tags if tag.name.startswith(f"Alarms/{first}/")]
    return {
        "name": ALARM_TYPE,
        "tagType": "UdtType",
        "documentation": "One alarm of an edge-daemon; write Occurrence into Ack to acknowledge what was seen",
        "parameters": {"Metrics": {"dataType": "String", "value": ""}},
        "tags": [
            _member(tag, part, {"bindType": "parameter", "binding": f"{{Metrics}}/{part}"})
            for tag in members
            for part in [tag.name.rpartition("/")[2]]
        ],
    }


def _alarm(entry: AlarmEntry, metrics: str, plan: SiteTags) -> Json:
    """One instance: where its metrics are, and the Ignition alarm on its condition."""
    alarm = {
        "name": entry.spec.id,
        "label": entry.message,
        "mode": "Equality",
        "setpointA": True,
        "priority": priority(entry.spec.severity),
        "displayPath": "/".join(part for part in (plan.site.node.asset_path or plan.node, entry.spec.id) if part),
        "notes": f"{entry.operator_action}. Otherwise: {entry.consequence}",
        "timestampSource": "Value",
        "ackMode": "Auto" if entry.spec.auto_ack else "Manual",
        "shelvingAllowed": entry.spec.max_shelve_ns > 0,
        "enabled": {"bindType": "Expression", "value": SHOWN},
    }
    return {
        "name": entry.spec.id,
        "tagType": "UdtInstance",
        "typeId": ALARM_TYPE,
        "documentation": entry.message,
        "parameters": {"Metrics": {"dataType": "String", "value": metrics}},
        "tags": [{"name": "Active", "tagType": "AtomicTag", "alarms": [alarm]}],
    }


def _below(part: str, tags: tuple[Tag, ...], at: str) -> list[Json]:
    return [_reference(tag, at) for tag in tags if tag.name.startswith(f"{part}/")]


def _reference(tag: Tag, at: str) -> Json:
    """A plain tag on one metric, with its unit and limits."""
    name = tag.name.partition("/")[2].replace("/", " ")
    return _member(tag, name, f"{at}/{tag.name}") | {key: item.value for key, item in tag.properties.items()}


def _member(tag: Tag, name: str, source: str | Json) -> Json:
    return {
        "name": name,
        "tagType": "AtomicTag",
        "valueSource": "reference",
        "sourceTagPath": source,
        "dataType": TYPES[tag.datatype],
        "readOnly": not tag.writable,
    }
