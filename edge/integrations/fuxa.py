"""FUXA: a project over our topics, whose own alarm list shows and acknowledges the device's alarms.

FUXA's alarms watch numbers, so a script turns each alarm message into one, and another carries acknowledgements both ways.
"""

from __future__ import annotations

import json
import re
from typing import Any

from edge.alarm.entry import AlarmEntry
from edge.alarm.table import priority
from edge.integrations.plan import SiteTags, script
from edge.wire.topics import ALARM, COMMAND, FLAG, STATE

Json = dict[str, Any]
LEVELS = {"Critical": "highhigh", "High": "high", "Medium": "low", "Low": "info"}  # our priority: FUXA's name for it
COLOURS = {"highhigh": "#C62828", "high": "#E65100", "low": "#F9A825", "info": "#90A4AE"}
POLLING_MS = 1000
VIEW_WIDTH, ALARMS_HEIGHT, ALARM_ROW_HEIGHT, ROW_HEIGHT = 1160, 260, 40, 26
SHOWN = ("state", "quality", "occurrence_id")  # of each alarm, in the table below the list


def fuxa_project(plan: SiteTags) -> Json:
    """The project, for "Open project" of FUXA 1.3."""
    view = _view(plan)
    return {
        "version": "1.01",
        "name": plan.node,
        "server": {"id": "0", "name": "FUXA Server", "type": "FuxaServer", "property": {}},
        "devices": {_device_id(plan): _device(plan)},
        "hmi": {
            "views": [view],
            "layout": {
                "autoresize": False,
                "start": view["id"],
                "navigation": {
                    "mode": "void",
                    "type": "block",
                    "bkcolor": "#F4F5F7",
                    "fgcolor": "#1D1D1D",
                    "items": [],
                },
                "header": {
                    "title": plan.node,
                    "alarms": "fix",
                    "infos": "hide",
                    "bkcolor": "#ffffff",
                    "fgcolor": "#000000",
                },
                "showdev": True,
                "inputdialog": "false",
                "hidenavigation": False,
            },
        },
        "alarms": [_alarm(plan, entry) for entry in plan.alarms],
        "scripts": _scripts(plan),
        "charts": [],
        "graphs": [],
        "notifications": [],
        "texts": [],
        "reports": [],
    }


# --- the device: one MQTT connection, and its subscriptions --------------------------------------------------------------------------------


def _device_id(plan: SiteTags) -> str:
    return f"d_{plan.key('device')}"


def _tag_id(plan: SiteTags, *names: str) -> str:
    return f"t_{plan.key(*names)}"


def _device(plan: SiteTags) -> Json:
    """Who we are at the broker (user, password, certificates) is entered in FUXA, which keeps secrets apart from projects."""
    broker = plan.site.broker
    scheme = "mqtt" if broker.tls is None else "mqtts"
    tags = [tag for entry in plan.alarms for tag in _alarm_tags(plan, entry)]
    tags += [
        _json_tag(plan, f"{name} {field}", FLAG.at(plan.prefix, name), field)
        for name in _channels(plan)
        for field in ("verdict",)
    ]
    tags += [_json_tag(plan, f"node {field}", STATE.at(plan.prefix), field) for field in ("online", "ne107")]
    tags.append(_tag(plan, "command", COMMAND.at(plan.prefix, "ack"), "raw"))
    return {
        "id": _device_id(plan),
        "name": plan.node,
        "type": "MQTTclient",
        "enabled": True,
        "polling": POLLING_MS,
        "property": {"address": f"{scheme}://{broker.host}:{broker.port}", "port": None, "slot": None, "rack": None},
        "tags": {tag["id"]: tag for tag in tags},
    }


def _channels(plan: SiteTags) -> list[str]:
    return [channel.id for channel in plan.channels]


def _alarm_tags(plan: SiteTags, entry: AlarmEntry) -> list[Json]:
    """Of each alarm: whether it is active, as a number, and what people read."""
    topic = ALARM.at(plan.prefix, entry.spec.id)
    standing = _tag(plan, f"{entry.spec.id} standing", topic, "raw") | {
        "scaleReadFunction": _script_id(plan, "standing")
    }
    return [standing, *(_json_tag(plan, f"{entry.spec.id} {field}", topic, field) for field in SHOWN)]


def _json_tag(plan: SiteTags, name: str, topic: str, field: str) -> Json:
    """One field of a JSON message."""
    return _tag(plan, name, topic, "json") | {"memaddress": field, "options": {"subs": [field]}}


def _tag(plan: SiteTags, name: str, topic: str, kind: str) -> Json:
    return {
        "id": _tag_id(plan, name),
        "name": name,
        "label": name,
        "type": kind,
        "address": topic,
        "memaddress": "",
        "value": "",
        "daq": {"enabled": False, "changed": True, "interval": 60},
    }


# --- alarms and scripts ----------------------------------------------------------------------------------------------------------------


def _alarm(plan: SiteTags, entry: AlarmEntry) -> Json:
    """Our alarm at its own level; FUXA's other levels stay off."""
    wanted = LEVELS[priority(entry.spec.severity)]
    levels = {
        level: {
            "enabled": level == wanted,
            "checkdelay": 0.5,  # s; at 1 its one-second clock would often come a little early and wait for the next
            "min": 1,
            "max": 1,
            "timedelay": 0,
            "text": f"{entry.message}. {entry.operator_action}",
            "group": entry.spec.id,
            "ackmode": "ackactive",
            "bkcolor": COLOURS[level],
            "color": "#000000" if level in {"low", "info"} else "#FFFFFF",
        }
        for level in COLOURS
    }
    return {
        "name": f"{plan.node}/{entry.spec.id}",
        "property": {"variableId": _tag_id(plan, f"{entry.spec.id} standing"), "permission": 0},
        **levels,
        "actions": {"enabled": False, "values": []},
    }


def _script_id(plan: SiteTags, name: str) -> str:
    return f"s_{plan.key('script', name)}"


def _scripts(plan: SiteTags) -> list[Json]:
    name = "plantflag_" + re.sub(r"\W", "_", plan.node)
    facts = {"NODE": plan.node, "KEPT": f"plantflag {plan.prefix}", "COMMAND_TAG": _tag_id(plan, "command")}
    head = "".join(f"const {key} = {json.dumps(value)};\n" for key, value in facts.items())
    base: Json = {"mode": "SERVER", "permission": 0, "sync": False}
    once_a_second = {"mode": "interval", "interval": 1, "schedules": []}
    return [
        base
        | {
            "id": _script_id(plan, "standing"),
            "name": f"{name}_standing",
            "code": head + script("fuxa_standing.js"),
            "parameters": [{"name": "value", "type": "value"}],
        },
        base
        | {
            "id": _script_id(plan, "acknowledge"),
            "name": f"{name}_acknowledge",
            "code": head + script("fuxa_acknowledge.js"),
            "parameters": [],
            "scheduling": once_a_second,
        },
    ]


# --- the view: FUXA's alarm list, and below it the fields of each alarm ------------------------------------------------------


def _view(plan: SiteTags) -> Json:
    rows = [["Device online, and its NE 107 letter", ("node online", "node ne107")]]
    rows += [[entry.message, tuple(f"{entry.spec.id} {field}" for field in SHOWN)] for entry in plan.alarms]
    rows += [[f"Flag {name}", (f"{name} verdict",)] for name in _channels(plan)]
    height = ALARMS_HEIGHT + 80 + ROW_HEIGHT * (len(rows) + 1)
    listed, detailed = _list_table(plan), _data_table(plan, rows)
    shapes = _shape(listed["id"], 20, ALARMS_HEIGHT) + _shape(
        detailed["id"], ALARMS_HEIGHT + 40, height - ALARMS_HEIGHT - 60
    )
    return {
        "id": f"v_{plan.key('view')}",
        "name": "Alarms",
        "type": "svg",
        "profile": {
            "width": VIEW_WIDTH + 40,
            "height": height,
            "bkcolor": "#ffffffff",
            "margin": 10,
            "align": "topCenter",
        },
        "items": {table["id"]: table for table in (listed, detailed)},
        "variables": {},
        "svgcontent": f'<svg width="{VIEW_WIDTH + 40}" height="{height}" xmlns="http://www.w3.org/2000/svg"><g><title>Layer 1</title>{shapes}</g></svg>',
    }


def _shape(identity: str, top: int, height: int) -> str:
    """The place of a table in the view."""
    place = f'x="20" y="{top}" width="{VIEW_WIDTH}" height="{height}"'
    return (
        f'<g id="{identity}" type="svg-ext-own_ctrl-table"><rect {place} fill="#ffffff" stroke-width="0"/>'
        f'<foreignObject {place} id="H-{identity}"><div xmlns="http://www.w3.org/1999/xhtml" id="D-{identity}" style="width:100%;height:100%"></div></foreignObject></g>'
    )


def _table(plan: SiteTags, name: str, kind: str, options: Json) -> Json:
    look = {
        "paginator": {"show": False},
        "filter": {"show": False},
        "daterange": {"show": False},
        "realtime": False,
        "lastRange": "last1h",
        "gridColor": "#E0E0E0",
        "header": {"show": True, "height": 30, "fontSize": 12, "background": "#F0F0F0", "color": "#757575"},
        "row": {"height": ROW_HEIGHT, "fontSize": 12, "background": "#FFFFFF", "color": "#000000"},
        "selection": {"background": "#3059AF", "color": "#FFFFFF", "fontBold": True},
        "columns": [],
        "alarmsColumns": [],
        "alarmFilter": {"filterA": [], "filterB": [], "filterC": []},
        "reportsColumns": [],
        "reportFilter": {"filterA": []},
        "rows": [],
    }
    return {
        "id": f"OXC_{plan.key(name)}",
        "type": "svg-ext-own_ctrl-table",
        "name": name,
        "label": "HtmlTable",
        "property": {"id": f"OXC_{plan.key(name)}", "type": kind, "options": look | options, "events": []},
    }


def _list_table(plan: SiteTags) -> Json:
    wanted = {
        "ontime": ("Since", 150),
        "type": ("Priority", 90),
        "text": ("Alarm, and what to do", 620),
        "status": ("Status", 120),
        "ack": ("Ack", 60),
    }
    columns = [_column(name, "label", label, width) for name, (label, width) in wanted.items()]
    row = {"height": ALARM_ROW_HEIGHT, "fontSize": 12, "background": "#FFFFFF", "color": "#000000"}
    return _table(plan, "alarm list", "alarms", {"alarmsColumns": columns, "row": row})


def _data_table(plan: SiteTags, rows: list[Any]) -> Json:
    names = {
        "c_what": ("What", 460),
        "c_state": ("State", 150),
        "c_quality": ("Quality", 120),
        "c_occurrence": ("Occurrence", 280),
    }
    columns = [
        _column(name, "label" if name == "c_what" else "variable", label, width)
        for name, (label, width) in names.items()
    ]
    cells = []
    for label, tags in rows:
        found: list[Json] = [{"id": "c_what", "label": label, "type": "label"}]
        for column, tag in zip(list(names)[1:], tags, strict=False):
            found.append({"id": column, "label": tag, "type": "variable", "variableId": _tag_id(plan, tag)})
        cells.append({"cells": found})
    return _table(plan, "states", "data", {"columns": columns, "rows": cells, "realtime": True})


def _column(name: str, kind: str, label: str, width: int) -> Json:
    return {"id": name, "label": label, "type": kind, "align": "left", "width": width}
