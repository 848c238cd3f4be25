"""The access rules made for a site are no more and no less than what each name needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.integrations.mosquitto import access_rules
from edge.site.inputs import CameraSettings, SensorSettings
from edge.site.sections import NodeSettings, SparkplugSettings
from edge.site.settings import Site
from tests.stand.shipped import SHIPPED


def site(**changes: object) -> Site:
    """A press with a camera and a sensor."""
    given: dict[str, object] = {
        "bundle": Path("b"),
        "node": NodeSettings(id="press7"),
        "cameras": (CameraSettings(id="cam1"),),
        "sensors": (SensorSettings(id="oil_temperature"),),
    }
    return Site.model_validate(given | changes)


def rights(text: str) -> dict[str, set[str]]:
    """By name: the lines that it has."""
    found: dict[str, set[str]] = {}
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    for line in lines:
        if line.startswith("user "):
            mine = found.setdefault(line[5:], set())
        else:
            mine.add(line)
    return found


def test_the_shipped_rules_hold_what_the_example_needs() -> None:
    """edge.acl and the command agree on the node and its sources."""
    shipped, made = rights((SHIPPED / "edge.acl").read_text(encoding="utf-8")), rights(access_rules(site()))
    assert made["cam1"] == shipped["cam1"]
    assert made["oil_temperature"] == shipped["oil_temperature"]
    wild = {"topic write edge/v1/press7/explain/+", "topic write edge/v1/press7/explain/+/image"}
    assert made["press7"] - wild <= shipped["press7"]


def test_the_page_reads_what_nodes_publish_and_no_input() -> None:
    """edge.acl and the command agree on it, for every node and for this one."""
    shipped, made = rights((SHIPPED / "edge.acl").read_text(encoding="utf-8")), rights(access_rules(site()))
    every = {line.replace("press7", "+") for line in made["page"] if "/explain/" not in line}
    assert every | {"topic read edge/v1/+/explain/#"} == shipped["page"]
    assert not any("/in/" in line or line.endswith("edge/v1/#") for line in shipped["page"])


def test_own_topics_of_sources_are_theirs_alone() -> None:
    """A camera on a topic of its own: it writes there, the node reads there, and nothing else of it is open."""
    cameras = (CameraSettings(id="cam1", topic="plant/north/camera 1"), CameraSettings(id="cam2"))
    made = rights(access_rules(site(cameras=cameras)))
    assert made["cam1"] == {"topic write plant/north/camera 1"}
    assert "topic read plant/north/camera 1" in made["press7"]
    assert made["cam2"] == {"topic write edge/v1/press7/in/frame/cam2"}


def test_what_gateways_say_of_themselves_may_be_read() -> None:
    """By the node alone: the topics are the gateways' own to write."""
    camera, sensor = CameraSettings(id="cam1", availability_topic="nvr/LWT"), SensorSettings(id="t", topic="plc/t", availability_topic="plc/LWT")  # fmt: skip
    made = rights(access_rules(site(cameras=(camera,), sensors=(sensor,))))
    assert {"topic read nvr/LWT", "topic read plc/LWT", "topic read plc/t"} <= made["press7"]
    assert made["cam1"] == {"topic write edge/v1/press7/in/frame/cam1"}


def test_sparkplug_rights_come_with_sparkplug() -> None:
    """Under the site's own group and names only."""
    assert "spBv1.0" not in access_rules(site())
    wanted = SparkplugSettings(enabled=True, group_id="north", edge_node_id="seven", primary_host="host")
    made = rights(access_rules(site(sparkplug=wanted)))
    assert "topic write spBv1.0/north/DDATA/seven/+" in made["press7"]
    assert "topic read spBv1.0/STATE/host" in made["press7"]


@pytest.mark.parametrize("name", ["press7", "scada", "page"])
def test_a_source_with_the_name_of_another_role_is_refused(name: str) -> None:
    """Its certificate would have that role's rights."""
    with pytest.raises(ConfigError, match=f"is called {name}"):
        access_rules(site(cameras=(CameraSettings(id=name),)))


def test_a_plc_triggers_cameras_reads_their_answers_and_commands_nothing() -> None:
    """Only where a camera has triggers; edge.acl and the command agree."""
    shipped = rights((SHIPPED / "edge.acl").read_text(encoding="utf-8"))
    cameras = (CameraSettings.model_validate({"id": "cam1", "trigger": {}}),)
    assert rights(access_rules(site(cameras=cameras)))["plc"] == shipped["plc"]
    assert "plc" not in rights(access_rules(site()))
    changing = site(profiles=({"id": "a"},), changeover={"topic": "plc/recipe"})
    assert rights(access_rules(changing))["plc"] == {"topic write plc/recipe"}
    assert "topic read plc/recipe" in rights(access_rules(changing))["press7"]
    with pytest.raises(ConfigError, match="plc"):
        access_rules(site(cameras=(CameraSettings(id="plc"),)))
