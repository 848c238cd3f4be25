"""The site file of the demo, written from its tables: what an engineer would write by hand for a real line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from examples.demo.story import (
    CAMERA,
    CAMERA_STALE_MS,
    FLAG_REPEAT_S,
    HEARTBEAT_S,
    NODE,
    ROOT,
    RULES,
    SENSORS,
    ChannelPlan,
)

PICTURE = {"covered_share": 0.0, "sharpness_share": 0.0}  # here the model itself is asked whether the lens is blocked
LOCAL_HOSTS = ("127.0.0.1", "::1", "localhost")


def site_document(
    bundle: Path,
    channels: Sequence[ChannelPlan],
    *,
    host: str,
    port: int,
    budget_ms: float | None = None,
    other_board: bool = False,
) -> dict[str, Any]:
    """The site as plain data; `budget_ms` None: the bundle's, `other_board` allows a bundle that was made for other hardware."""
    prefix = f"{ROOT}/{NODE}/in/sensor"
    return {
        "bundle": str(bundle),
        "node": {"id": NODE, "asset_path": "demo/hall-1/line-1"},
        "broker": {"host": host, "port": port, "root": ROOT, "reconnect_max_s": 1.0},
        "publish": {"heartbeat_s": HEARTBEAT_S, "flag_repeat_s": FLAG_REPEAT_S},
        "runtime": {"insecure_dev": host not in LOCAL_HOSTS, "allow_other_board": other_board},
        "cameras": [_given(id=CAMERA, budget_ms=budget_ms, stale_after_ms=CAMERA_STALE_MS, picture=PICTURE)],
        "sensors": [
            _given(id=sensor.id, topic=f"{prefix}/{sensor.topic}", pointer=sensor.pointer, unit=sensor.unit)
            for sensor in SENSORS
        ],
        "rules": [
            {"id": rule.id, "sensor": rule.sensor, "kind": rule.kind, "limit": rule.limit, "deadband": rule.deadband}
            for rule in RULES
        ],
        "faults": [_fault(channel) for channel in channels],
    }


def _fault(channel: ChannelPlan) -> dict[str, Any]:
    weighted = channel.combine == "weighted"
    alarm = channel.alarm
    return _given(
        id=channel.id,
        title=channel.title,
        camera=CAMERA if channel.vision else None,
        vision=channel.vision,
        rules=list(channel.rules),
        combine=channel.combine,
        weights=channel.weights if weighted else None,
        weighted_threshold=channel.threshold if weighted else None,
        alarm=alarm
        and {
            "severity": alarm.severity,
            "message": alarm.message,
            "operator_action": alarm.operator_action,
            "consequence": alarm.consequence,
            "n_of_m": [3, 5],  # one odd frame is no alarm
            "off_delay_ms": 500.0,
        },
    )


def _given(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - values of a TOML document
    return {key: value for key, value in values.items() if value is not None}


def toml_text(document: Mapping[str, Any]) -> str:
    """A document of plain values, tables and lists of tables as TOML; deeper tables are written inline."""
    plain = {key: value for key, value in document.items() if not _is_table(value) and not _is_list_of_tables(value)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    for key, value in document.items():
        tables = [value] if _is_table(value) else value if _is_list_of_tables(value) else []
        for table in tables:
            head = f"[[{key}]]" if _is_list_of_tables(value) else f"[{key}]"
            lines += ["", head, *(f"{name} = {_value(item)}" for name, item in table.items())]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _is_list_of_tables(value: object) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _value(value: Any) -> str:  # noqa: ANN401 - a TOML value
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)  # strings, numbers and booleans are written as in JSON
