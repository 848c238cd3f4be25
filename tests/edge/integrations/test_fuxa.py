"""The FUXA project holds together and is over the topics of its site; that it works is shown in tests/integrations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge.integrations.fuxa import fuxa_project
from edge.integrations.plan import SiteTags


def device(project: dict[str, Any]) -> Any:
    """The one MQTT device."""
    [found] = project["devices"].values()
    return found


def test_everything_that_is_named_is_there(plan: SiteTags) -> None:
    """Tags of alarms, of scripts and of the view; the view itself; scripts of tags."""
    project = fuxa_project(plan)
    tags, scripts = device(project)["tags"], {script["id"] for script in project["scripts"]}
    assert all(key == tag["id"] for key, tag in tags.items())
    assert {alarm["property"]["variableId"] for alarm in project["alarms"]} <= set(tags)
    assert {tag["scaleReadFunction"] for tag in tags.values() if "scaleReadFunction" in tag} <= scripts
    [view] = project["hmi"]["views"]
    assert project["hmi"]["layout"]["start"] == view["id"]
    assert all(f'id="D-{item}"' in view["svgcontent"] for item in view["items"])
    _, table = view["items"].values()
    options = table["property"]["options"]
    cells = [cell for row in options["rows"] for cell in row["cells"]]
    assert {cell["variableId"] for cell in cells if "variableId" in cell} <= set(tags)
    assert {cell["id"] for cell in cells} <= {column["id"] for column in options["columns"]}


def test_each_alarm_is_one_alarm_at_its_own_level(plan: SiteTags) -> None:
    """Critical, High, Medium, Low are FUXA's highhigh, high, low, info; the text says what to do."""
    levels = {}
    for entry, alarm in zip(plan.alarms, fuxa_project(plan)["alarms"], strict=True):
        [level] = [name for name in ("highhigh", "high", "low", "info") if alarm[name]["enabled"]]
        levels[entry.spec.id] = level
        assert alarm["name"] == f"line-demo/{entry.spec.id}"
        assert alarm[level]["text"] == f"{entry.message}. {entry.operator_action}"
        assert (alarm[level]["min"], alarm[level]["max"], alarm[level]["ackmode"]) == (1, 1, "ackactive")
    assert (levels["oil_leak"], levels["misaligned_part"]) == ("high", "low")


def test_it_listens_where_the_site_speaks(press: SiteTags) -> None:
    """Under that site's root and node, encrypted as the site is, without its secrets."""
    found = device(fuxa_project(press))
    prefix = "acme/north/edge/v1/press7"
    topics = {tag["address"] for tag in found["tags"].values()}
    alarms = {f"{prefix}/alarm/{entry.spec.id}" for entry in press.alarms}
    flags = {f"{prefix}/flag/{channel.id}" for channel in press.channels}
    assert topics == alarms | flags | {f"{prefix}/state", f"{prefix}/cmd/ack"}
    assert found["property"]["address"] == "mqtts://broker.plant:8883"
    assert "press7.key" not in str(fuxa_project(press))


def test_its_scripts_are_javascript(plan: SiteTags, javascript: Callable[[str], str | None]) -> None:
    """Node itself reads them, with this site's own names in front."""
    project = fuxa_project(plan)
    for script in project["scripts"]:
        assert javascript(script["code"]) is None
        assert 'const NODE = "line-demo";' in script["code"]
        assert script["name"].isidentifier()
    assert device(project)["tags"][_command_tag(project)]["address"].endswith("/cmd/ack")


def _command_tag(project: dict[str, Any]) -> str:
    """The tag that the script writes to."""
    code: str = project["scripts"][1]["code"]
    return code.partition('COMMAND_TAG = "')[2].partition('"')[0]
