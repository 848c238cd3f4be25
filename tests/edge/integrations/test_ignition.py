"""Ignition's tags are over metrics that exist, and each alarm of the site is an Ignition alarm with its own words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from edge.alarm.table import priority
from edge.errors import ConfigError
from edge.integrations.ignition import ignition_tags
from edge.integrations.plan import SiteTags
from edge.sparkplug.metrics import Catalogue


def tree(document: dict[str, Any], *path: str) -> dict[str, Any]:
    """A tag or folder by its path."""
    for name in path:
        document = next(tag for tag in document["tags"] if tag["name"] == name)
    return document


def sources(document: dict[str, Any]) -> Iterator[str]:
    """The metric of every tag, instances of the type resolved."""
    members = [tag["sourceTagPath"]["binding"] for tag in tree(document, "_types_", "PlantflagAlarm")["tags"]]

    def walk(tag: dict[str, Any]) -> Iterator[str]:
        if tag["tagType"] == "UdtInstance":
            at = tag["parameters"]["Metrics"]["value"]
            yield from (member.replace("{Metrics}", at) for member in members)
        elif tag["tagType"] == "AtomicTag":
            yield tag["sourceTagPath"]
        for part in tag.get("tags", ()) if tag["tagType"] == "Folder" else ():
            yield from walk(part)

    yield from walk(document["tags"][1])


def metrics(plan: SiteTags, home: str) -> set[str]:
    """Where MQTT Engine puts everything that the daemon publishes for this site, but for what is the same in every run."""
    catalogue = Catalogue(plan.site, plan.channels, plan.alarms, {})
    devices = {f"{home}/{name}/{tag.name}" for name, tags in catalogue.devices.items() for tag in tags}
    return devices | {f"{home}/{tag.name}" for tag in catalogue.node}


def test_every_tag_has_its_metric_and_every_metric_its_tag(plan: SiteTags) -> None:
    """Nothing is missing, nothing is made up, nothing is there twice."""
    found = list(sources(ignition_tags(plan)))
    assert len(found) > 100
    assert len(set(found)) == len(found)
    assert set(found) == metrics(plan, "[MQTT Engine]Edge Nodes/demo/line-demo")


def test_it_is_right_for_another_site(press: SiteTags, with_sparkplug: Callable[[SiteTags], SiteTags]) -> None:
    """Group and edge node as that site names them."""
    other = with_sparkplug(press)
    found = set(sources(ignition_tags(other)))
    assert found == metrics(other, "[MQTT Engine]Edge Nodes/north works/press-seven")


def test_each_alarm_carries_what_the_site_says_of_it(plan: SiteTags) -> None:
    """Priority, text, action and consequence; on the condition itself, and only while our operators see it."""
    document = ignition_tags(plan)
    for entry in plan.alarms:
        instance = tree(document, "line-demo", "Alarms", entry.spec.id)
        [active] = instance["tags"]
        [alarm] = active["alarms"]
        assert (active["name"], alarm["mode"], alarm["setpointA"]) == ("Active", "Equality", True)
        assert alarm["priority"] == priority(entry.spec.severity)
        assert alarm["label"] == entry.message
        assert entry.operator_action in alarm["notes"]
        assert entry.consequence in alarm["notes"]
        assert alarm["displayPath"] == f"demo/hall-1/line-1/{entry.spec.id}"
        assert all(state in alarm["enabled"]["value"] for state in ("SHELVED", "SUPPRESSED", "OOS"))


def test_only_what_a_host_may_write_can_be_written(plan: SiteTags) -> None:
    """Ack, Reset, Shelve Minutes and In Service of an alarm."""
    members = tree(ignition_tags(plan), "_types_", "PlantflagAlarm")["tags"]
    assert {tag["name"] for tag in members if not tag["readOnly"]} == {"Ack", "Reset", "Shelve Minutes", "In Service"}


def test_a_site_without_sparkplug_is_told_what_to_do(press: SiteTags) -> None:
    """Tags over metrics that nobody publishes would show nothing for ever."""
    with pytest.raises(ConfigError, match=r"\[sparkplug\]"):
        ignition_tags(press)
