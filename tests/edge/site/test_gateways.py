"""Which sensors come over one gateway: as the site says, or as their topics show."""

from __future__ import annotations

from typing import Any

import pytest

from edge.site.gateways import Gateway, frozen_gateways, site_gateways
from edge.site.settings import Site


def found(*sensors: dict[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    """Id and sensors of each gateway."""
    base = {"node": {"id": "n"}, "rules": [{"id": "r", "sensor": sensors[0]["id"], "kind": "above", "limit": 1.0}]}
    site = Site.model_validate(base | {"sensors": sensors, "faults": [{"id": "f", "rules": ["r"]}]})
    return [(gateway.id, gateway.sensors) for gateway in site_gateways(site)]


def on(topic: str, *ids: str) -> list[dict[str, Any]]:
    """Sensors on one topic; `{}` in it stands for the sensor's id."""
    return [{"id": name, "topic": topic.format(name)} for name in ids]


@pytest.mark.parametrize(
    ("sensors", "gateways"),
    [
        (on("gw/all", "a", "b"), [("gateway-gw-all", ("a", "b"))]),
        (on("gw/{}", "a", "b"), [("gateway-gw", ("a", "b"))]),
        (on("gw/{}/value", "a", "b"), [("gateway-gw-value", ("a", "b"))]),
        ([{"id": "a"}, {"id": "b"}], [("gateway-edge-v1-n-in-sensor", ("a", "b"))]),
        ([*on("gw1/all", "a", "b"), *on("gw2/all", "c", "d")], [("gateway-gw1-all", ("a", "b")), ("gateway-gw2-all", ("c", "d"))]),
        ([*on("gw/all", "a", "b"), *on("Gw-ALL", "c", "d")], [("gateway-gw-all", ("a", "b")), ("gateway-gw-all-2", ("c", "d"))]),
        ([*on("x/y", "a"), *on("one/other/z", "b")], []),
        (on("gw/all", "a"), []),
        ([{"id": "a", "topic": "x/y", "gateway": "plc"}, {"id": "b", "topic": "z", "gateway": "plc"}], [("gateway-plc", ("a", "b"))]),
        ([*on("gw/all", "a", "b"), {"id": "c", "topic": "gw/all", "gateway": "plc"}], [("gateway-gw-all", ("a", "b"))]),
    ],
)  # fmt: skip
def test_sensors_that_come_over_one_thing(
    sensors: list[dict[str, Any]], gateways: list[tuple[str, tuple[str, ...]]]
) -> None:
    """One named gateway, one topic, or topics that differ in one level; each sensor belongs to one, and one alone is none."""
    assert found(*sensors) == gateways


def site_of(cameras: list[dict[str, Any]], sensors: list[dict[str, Any]]) -> Site:
    """A site with both."""
    base = {"bundle": "b", "node": {"id": "n"}, "cameras": cameras, "sensors": sensors}
    return Site.model_validate(base)


def test_cameras_and_sensors_of_one_gateway_belong_together() -> None:
    """As the site names it, or as their topics show; the default topics of cameras and of sensors are two gateways."""
    named = site_of([{"id": "c", "gateway": "box"}], [{"id": "s", "gateway": "box"}])
    assert site_gateways(named) == (Gateway("gateway-box", "gateway box", ("s",), ("c",)),)
    alike = site_of([{"id": "c", "topic": "gw/c"}], [{"id": "s", "topic": "gw/s"}])
    assert site_gateways(alike) == (Gateway("gateway-gw", "topics gw/+", ("s",), ("c",)),)
    default = site_of([{"id": "c"}, {"id": "d"}], [{"id": "s"}, {"id": "t"}])
    assert [gateway.members for gateway in site_gateways(default)] == [("c", "d"), ("s", "t")]


def test_only_sensors_that_are_watched_for_it_freeze_together() -> None:
    """Cameras, and sensors that may be steady, are left out; one alone is no gateway."""
    steady, watched = {"topic": "gw/all", "frozen_after_ms": 0}, {"topic": "gw/all", "frozen_after_ms": 900}
    site = site_of(
        [{"id": "c", "topic": "gw/all"}], [{"id": "a", **watched}, {"id": "b", **steady}, {"id": "d", **watched}]
    )
    assert frozen_gateways(site) == (Gateway("gateway-gw-all", "topic gw/all", ("a", "d")),)
    assert frozen_gateways(site_of([{"id": "c"}], [{"id": "a", **watched}, {"id": "b", **steady}])) == ()


def test_a_long_topic_makes_a_short_id() -> None:
    """An id is part of a topic and of every command."""
    ((name, _),) = found(*on("plant/" * 20 + "Überdruck", "a", "b"))
    assert len(name) <= 48
    assert name.startswith("gateway-")


def test_a_gateway_is_told_to_people_by_how_it_was_found() -> None:
    """The alarm's text names the topic."""
    site = Site.model_validate(
        {
            "node": {"id": "n"},
            "sensors": on("gw/all", "a", "b"),
            "rules": [{"id": "r", "sensor": "a", "kind": "above", "limit": 1.0}],
            "faults": [{"id": "f", "rules": ["r"]}],
        }
    )
    assert site_gateways(site) == (Gateway("gateway-gw-all", "topic gw/all", ("a", "b")),)
