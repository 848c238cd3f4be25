"""`check` says which sensors their messages may not tell apart."""

from __future__ import annotations

from typing import Any

import pytest

from edge.site.ambiguity import ambiguities
from edge.site.settings import Site


def doubts(*sensors: dict[str, Any], camera_topic: str | None = None) -> list[str]:
    """What is said of a site with these sensors on one topic."""
    cameras = [{"id": "cam"} | ({} if camera_topic is None else {"topic": camera_topic})]
    listed = [{"topic": "gw", **sensor} for sensor in sensors]
    return list(
        ambiguities(Site.model_validate({"bundle": "b", "node": {"id": "n"}, "cameras": cameras, "sensors": listed}))
    )


@pytest.mark.parametrize(
    ("sensors", "said"),
    [
        ([{"id": "a", "pointer": "/value"}, {"id": "b", "pointer": "/value"}], "the pointer /value"),
        ([{"id": "a", "senml_name": "t"}, {"id": "b", "senml_name": "t"}], "the name 't'"),
        ([{"id": "a"}, {"id": "b", "pointer": "/b"}], "found by name only"),
        ([{"id": "a", "pointer": "/values/0/v"}], "its place in a list"),
    ],
)
def test_what_is_ambiguous_is_said(sensors: list[dict[str, Any]], said: str) -> None:
    """In a sentence that names the sensors and what to set."""
    assert any(said in doubt for doubt in doubts(*sensors))


@pytest.mark.parametrize(
    "sensors",
    [
        [{"id": "a"}],
        [{"id": "a", "pointer": "/a"}, {"id": "b", "pointer": "/b"}],
        [{"id": "a", "pointer": "/v", "where": {"/id": 1}}, {"id": "b", "pointer": "/v", "where": {"/id": 2}}],
        [{"id": "a", "pointer": "/values/0/v", "where": {"/id": 1}}],
    ],
)
def test_what_is_clear_needs_no_word(sensors: list[dict[str, Any]]) -> None:
    """Own topics, own pointers, own records."""
    assert doubts(*sensors) == []


def test_a_camera_and_a_sensor_on_one_topic_are_named() -> None:
    """Each of them would refuse the other's messages for ever."""
    assert "camera cam and sensor a share the topic gw" in doubts({"id": "a"}, camera_topic="gw")[0]
