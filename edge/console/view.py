"""What the operator's commands show on a terminal, as lines: alarms, one alarm, events, figures, outcomes.

Pure: what came from the broker or the journal goes in as plain documents.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from edge.errors import ConfigError
from edge.wire.verbs import Verb

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_duration_s(text: str) -> float:
    """Seconds in a duration such as ``30m``, ``8h`` or ``90s``.

    Raises:
        ConfigError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if match is None or float(match[1]) <= 0:
        raise ConfigError(f"{text!r} is no duration; write for example 30m, 8h or 90s")
    return float(match[1]) * _UNITS[match[2]]


def alarm_lines(
    state: Mapping[str, Any], alarms: Sequence[Mapping[str, Any]], now: datetime, *, everything: bool = False
) -> list[str]:
    """The node's state and its alarms as lines for a terminal; without `everything` those that are known to be normal are counted only."""
    shown_as = "online" if state["online"] else "OFFLINE"
    reasons = f": {'; '.join(state['reasons'])}" if state["reasons"] else ""
    profile = f", profile {state['profile']}" if state.get("profile") else ""
    lines = [f"{shown_as}, NE 107 {state['ne107']}{profile}{reasons}"]
    shown = [alarm for alarm in alarms if everything or not _is_normal(alarm)]
    rows = [("ALARM", "STATE", "SEVERITY", "QUALITY", "AGE", "MESSAGE", "OPERATOR ACTION")]
    for alarm in shown:
        marks = [word for word, on in (("chattering", alarm["chattering"]), ("first out", alarm["first_out"])) if on]
        message = alarm["message"] + (f" ({', '.join(marks)})" if marks else "")
        severity = f"{alarm['severity']} {alarm['priority']}"
        age = age_text(alarm["time"]["active"], now)
        action = "-" if alarm["state"] == "NORM" else alarm["operator_action"]
        rows.append((alarm["id"], alarm["state"], severity, alarm["quality"], age, message, action))
    if shown:
        lines += columns(rows)
    left = len(alarms) - len(shown)
    return [*lines, f"{left} more normal, see --all"] if left else lines


def alarm_details(alarm: Mapping[str, Any], now: datetime) -> list[str]:
    """One alarm with all fields of its message, as lines for a terminal."""
    times = alarm["time"]
    threshold = "" if alarm["threshold"] is None else f", threshold {alarm['threshold']:g}"
    acknowledged = f"{times['acked'] or '-'} by {alarm['ack']['user'] or '-'} {alarm['ack']['comment'] or ''}".rstrip()
    source = ", ".join(f"{key} {value}" for key, value in alarm["source"].items() if value is not None)
    asset = ", ".join(f"{key} {value}" for key, value in alarm["asset"].items() if value)
    rows = [
        ("alarm", f"{alarm['id']} ({alarm['kind']})"),
        ("state", f"{alarm['state']}, {'active' if alarm['active'] else 'not active'}, quality {alarm['quality']}"),
        ("severity", f"{alarm['severity']} {alarm['priority']}"),
        ("message", alarm["message"]),
        ("operator action", alarm["operator_action"]),
        ("consequence", alarm["consequence"]),
        ("value", "-" if alarm["value"] is None else f"{alarm['value']:g}{threshold}"),
        ("occurrence", alarm["occurrence_id"] or "-"),
        ("active since", f"{times['active'] or '-'} (age {age_text(times['active'], now)})"),
        ("acknowledged", acknowledged if times["acked"] else "-"),
        ("cleared", times["cleared"] or "-"),
        ("shelved until", times["shelved_until"] or "-"),
        ("source", source or "-"),
        ("asset", asset or "-"),
        ("published", times["published"]),
    ]
    return columns(rows)


def event_lines(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Events of the journal, oldest first, as lines for a terminal."""
    rows = [("TIME", "KIND", "SUBJECT", "WHAT", "USER", "DETAIL")]
    rows += [
        (event["ts"], event["kind"], event["subject"], event["what"], event["user"] or "-", event["detail"])
        for event in events
    ]
    return columns(rows)


def label_lines(labels: Sequence[Mapping[str, Any]]) -> list[str]:
    """Operators' labels of alarms, oldest first, as lines for a terminal."""
    rows = [("RAISED", "ALARM", "OCCURRENCE", "WAS", "USER", "COMMENT")]
    rows += [
        (
            label["raised"],
            label["alarm_id"],
            label["occurrence_id"],
            "true" if label["valid"] else "false",
            label["user"],
            label["comment"],
        )
        for label in labels
    ]
    return columns(rows)


LABEL_COLUMNS = ("raised", "alarm_id", "occurrence_id", "valid", "labelled", "user", "comment")
EVENT_COLUMNS = ("ts", "epoch", "seq", "kind", "subject", "what", "occurrence_id", "user", "detail")


def event_csv(events: Sequence[Mapping[str, Any]]) -> str:
    """The same as CSV."""
    return _csv(EVENT_COLUMNS, events)


def label_csv(labels: Sequence[Mapping[str, Any]]) -> str:
    """Labels as CSV."""
    return _csv(LABEL_COLUMNS, labels)


def _csv(names: Sequence[str], documents: Sequence[Mapping[str, Any]]) -> str:
    """CSV (RFC 4180) with a heading; text that a spreadsheet would run as a formula gets a quote before it."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(names)
    for document in documents:
        table.writerow([_cell(document[name]) for name in names])
    return out.getvalue()


def age_text(since: str | None, now: datetime) -> str:
    """How long ago a time stamp is, in its two largest units, e.g. ``2 h 5 min``; ``-`` without one."""
    if since is None:
        return "-"
    left_s = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    parts: list[str] = []
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left_s = divmod(left_s, length_s)
        if count or parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _is_normal(alarm: Mapping[str, Any]) -> bool:
    """Normal, and known to be: NORM without good data proves nothing."""
    return bool(alarm["state"] == "NORM" and alarm["quality"] == "good")


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value


def stats_lines(heartbeat: Mapping[str, Any]) -> list[str]:
    """How well the alarm system does, and the journal, as lines for a terminal."""
    figures, journal = heartbeat["alarms"], heartbeat["journal"]
    top = ", ".join(f"{name} {count}" for name, count in figures["top"]) or "-"
    rows = [
        ("measure", "now", "goal (ISA-18.2, EEMUA 191)"),
        ("annunciated in 10 minutes", str(figures["annunciated_10_min"]), "about 1"),
        ("average per 10 minutes", f"{figures['average_10_min']:.2f}", "about 1"),
        ("peak in 10 minutes", str(figures["peak_10_min"]), "at most 10"),
        ("annunciated in 24 h", str(figures["annunciated_day"]), "about 144"),
        ("flood now / total", f"{'yes' if figures['flood'] else 'no'} / {figures['flood_s']:.0f} s", "no / under 1 %"),
        ("by priority", _pairs(figures["by_priority"]), "mostly low"),
        ("most frequent", f"{top} ({figures['top_share']:.0%} of all)", "ten at most 5 %"),
        ("chattering", ", ".join(figures["chattering"]) or "-", "none"),
        ("standing over 24 h", ", ".join(figures["standing"]) or "-", "none"),
        ("hidden", ", ".join(figures["hidden"]) or "-", "known and few"),
        ("observed", f"{figures['observed_s'] / 3600:.1f} h", ""),
        ("journal: held / waiting / lost", f"{journal['held']} / {journal['waiting']} / {journal['lost']}", "lost 0"),
        ("journal: storage", f"{journal['storage']} {journal['reason']}".strip(), "ok"),
    ]
    return columns(rows)


def outcome_line(verb: Verb, reply: Mapping[str, Any]) -> str:
    """What came of a command, for a person."""
    if (picture := reply["snapshot"]) is not None:
        about = f", occurrence {picture['occurrence_id']}" if picture["occurrence_id"] else ""
        return f"snapshot: frame {picture['frame_seq']} of {picture['camera']}, received {picture['received']} ({picture['age_ms'] / 1000:.1f} s old), {picture['size_bytes']} bytes{about}"
    if reply.get("inspection") is not None:
        return f"{verb.value}: {reply['detail']}"
    if reply["ok"]:
        detail = f": {reply['detail']}" if verb in {Verb.RELOAD, Verb.PROFILE} else ""
        return f"{verb.value}: done" + (f", now {reply['state']}" if reply["state"] else detail)
    return f"{verb.value}: refused, {reply['code']}: {reply['detail']}"


def fault_lines(reply: Mapping[str, Any]) -> list[str]:
    """What an inspection found, fault by fault; nothing of other commands."""
    faults: Mapping[str, Mapping[str, Any]] = (reply.get("inspection") or {}).get("faults", {})
    if not faults:
        return []
    rows = [
        (
            name,
            found["verdict"],
            "-" if found["score"] is None else f"{found['score']:.4f}",
            found["q"],
            found["reason"],
        )
        for name, found in faults.items()
    ]
    return columns([("FAULT", "VERDICT", "SCORE", "QUALITY", "REASON"), *rows])


def _pairs(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "-"


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns; a control character is shown as ``?``."""
    rows = [["".join(letter if letter.isprintable() else "?" for letter in cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
