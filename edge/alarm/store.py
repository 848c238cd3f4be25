"""Converts an alarm's state to plain data for JSON and restores it after a restart.

A monotonic time means nothing after a restart, so what is written is what was left of each timer, and the wall time of writing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from edge.alarm.state import AlarmSpec, AlarmState, Availability, Filter, Occurrence
from edge.alarm.table import Condition, Shelving
from edge.errors import RejectedInput
from edge.frame import Quality, worst

FORMAT = 1


def to_dict(state: AlarmState, now_ns: int, wall_ns: int) -> dict[str, Any]:
    """The state as plain data for JSON; timers as what is left of them at ``wall_ns``."""
    hiding = state.availability
    return {
        "format": FORMAT,
        "saved_wall_ns": wall_ns,
        "condition": state.condition.value,
        "quality": state.quality.value,
        "value": state.value,
        "severity_override": state.severity_override,
        "filter": {
            "window": list(state.filter.window),
            "pending_ns": state.filter.pending_ns,
            "pending_wall_ns": state.filter.pending_wall_ns,
        },
        "occurrence": asdict(state.occurrence) if state.occurrence else None,
        "availability": {
            "shelving": hiding.shelving.value,
            "shelve_left_ns": _left(hiding.shelved_until_ns, now_ns),
            "shelved_until_wall_ns": hiding.shelved_until_wall_ns,
            "suppressed": hiding.suppressed,
            "out_of_service": hiding.out_of_service,
            "user": hiding.user,
            "reason": hiding.reason,
            "cause": hiding.cause,
        },
        "re_alarm_left_ns": _left(state.re_alarm_ns, now_ns),
        "raise_ages_ns": [now_ns - raised_ns for raised_ns in state.raises_ns],
        "chattering": state.chattering,
    }


def from_dict(spec: AlarmSpec, data: Mapping[str, Any], now_ns: int, wall_ns: int) -> AlarmState:
    """The state that `to_dict` wrote, after a restart: the gap counts as missing data, and timers continue through it by the wall clock.

    A wall clock that was set back does not make a timer longer than it was.

    Raises:
        RejectedInput: reason ``alarm_state``: another format, a missing field or a value that cannot be.
    """
    try:
        state = _read(spec, data, now_ns, wall_ns)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise RejectedInput("alarm_state", f"alarm {spec.id}: its saved state is not usable: {error!r}") from error
    hiding = state.availability
    if (
        (state.condition is not Condition.NORM and state.occurrence is None)
        or (hiding.shelving is Shelving.UNSHELVED) != (hiding.shelved_until_ns is None)
        or (state.chattering and not state.raises_ns)
        or not 1 <= (state.severity_override or spec.severity) <= 1000
    ):
        raise RejectedInput("alarm_state", f"alarm {spec.id}: its saved state contradicts itself")
    return state


def _read(spec: AlarmSpec, data: Mapping[str, Any], now_ns: int, wall_ns: int) -> AlarmState:
    if data["format"] != FORMAT:
        raise ValueError(f"format {data['format']!r}, this version reads {FORMAT}")
    gone_ns = max(0, wall_ns - _integer(data["saved_wall_ns"]))
    value = None if data["value"] is None else float(data["value"])
    if value is not None and not math.isfinite(value):
        raise ValueError(f"value {value}")
    return AlarmState(
        condition=Condition(data["condition"]),
        quality=worst(Quality(data["quality"]), Quality.STALE),
        value=value,
        severity_override=_optional(data["severity_override"]),
        filter=_filter(spec, data["filter"]),
        occurrence=_occurrence(data["occurrence"]),
        availability=_availability(data["availability"], now_ns - gone_ns),
        re_alarm_ns=_due(data["re_alarm_left_ns"], now_ns - gone_ns),
        raises_ns=tuple(now_ns - gone_ns - _integer(age) for age in data["raise_ages_ns"])[-spec.chatter_count :],
        chattering=_boolean(data["chattering"]),
    )


def _filter(spec: AlarmSpec, data: Mapping[str, Any]) -> Filter:
    window = tuple(_boolean(item) for item in data["window"])
    return Filter(window[-spec.m :], _optional(data["pending_ns"]), _optional(data["pending_wall_ns"]), None)


def _occurrence(data: Mapping[str, Any] | None) -> Occurrence | None:
    if data is None:
        return None
    seen = Occurrence(**data)
    if not isinstance(seen.id, str):
        raise TypeError("occurrence id is not text")
    times = (seen.cleared_wall_ns, seen.acked_wall_ns)
    return replace(
        seen,
        detected_wall_ns=_integer(seen.detected_wall_ns),
        active_wall_ns=_integer(seen.active_wall_ns),
        cleared_wall_ns=_optional(times[0]),
        acked_wall_ns=_optional(times[1]),
    )


def _availability(data: Mapping[str, Any], base_ns: int) -> Availability:
    return Availability(
        shelving=Shelving(data["shelving"]),
        shelved_until_ns=_due(data["shelve_left_ns"], base_ns),
        shelved_until_wall_ns=_optional(data["shelved_until_wall_ns"]),
        suppressed=_boolean(data["suppressed"]),
        out_of_service=_boolean(data["out_of_service"]),
        user=_text(data["user"]),
        reason=_text(data["reason"]),
        cause=_text(data.get("cause")),  # states of versions before it have none
    )


def _left(due_ns: int | None, now_ns: int) -> int | None:
    return None if due_ns is None else due_ns - now_ns


def _due(left_ns: object, base_ns: int) -> int | None:
    left = _optional(left_ns)
    return None if left is None else base_ns + left


def _optional(value: object) -> int | None:
    return None if value is None else _integer(value)


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is not a whole number")
    return value


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is not true or false")
    return value
