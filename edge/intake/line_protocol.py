r"""Reads InfluxDB's line protocol as the records that Telegraf writes in JSON.

``motor,host=a temp=81.5,ok=true 1795473512500000000`` is a measurement with tags, fields and a time. Each byte is looked at a bounded number of times.
"""

from __future__ import annotations

import re
from typing import Any

from edge.errors import RejectedInput
from edge.parsing.structure import Unreadable

MAX_PAIRS = 5000  # of one message; reading one costs some 2 us
# Possessive: nothing is looked at twice, and nothing is remembered for going back.
_KEY = r"(?:[^,= \\\r\n]++|\\.)++"
_TAG = re.compile(rf",({_KEY})=({_KEY})")
_FIELD = re.compile(rf'({_KEY})=("(?:[^"\\]++|\\.)*+"|[^", \r\n]*+)')
_MEASUREMENT = re.compile(r"(?:[^, \\\r\n]++|\\.)++")
_END = re.compile(r"(?: +(-?[0-9]{1,19}))? *(?:\r?\n|\Z)")
_NUMBER = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)([iu]?)")
_SWITCHES = {"t": True, "true": True, "f": False, "false": False}
_ESCAPE = re.compile(r"\\([,= \"\\])")


def lines_of(text: str) -> list[dict[str, Any]] | None:
    """The records of a text in line protocol; None: it is none.

    Lines that cannot be read, and comments, cost the others nothing; at least one must be there.

    Raises:
        RejectedInput: ``too_many_values``.
    """
    if "=" not in text or text.lstrip()[:1] in {"{", "[", '"'}:
        return None
    if text.count("=") > MAX_PAIRS or text.count("\n") > MAX_PAIRS:
        raise RejectedInput("too_many_values", f"more than {MAX_PAIRS} fields, tags or lines in one message")
    found: list[dict[str, Any]] = []
    at = 0
    while at < len(text):
        record, after = _line(text, at)
        if record is not None:
            found.append(record)
        else:
            after = text.find("\n", max(at, after)) + 1 or len(text)
        at = after
    return found or None


def _line(text: str, at: int) -> tuple[dict[str, Any] | None, int]:
    """One line from ``at`` and where it ends; no record: it is not one, and how far it was looked at."""
    name = _MEASUREMENT.match(text, at)
    if name is None or name[0].startswith("#"):
        return None, at
    at = name.end()
    tags: dict[str, str] = {}
    while (tag := _TAG.match(text, at)) is not None:
        tags[_plain(tag[1])] = _plain(tag[2])
        at = tag.end()
    fields: dict[str, Any] = {}
    separator = " "
    while text.startswith(separator, at) and (field := _FIELD.match(text, _past_spaces(text, at, separator))):
        fields[_plain(field[1])] = _value(field[2])
        at, separator = field.end(), ","
    end = _END.match(text, at)
    if not fields or end is None:
        return None, at
    record: dict[str, Any] = {"name": _plain(name[0]), "tags": tags, "fields": fields}
    if end[1] is not None:
        record["timestamp"] = int(end[1])
    return record, end.end()


def _past_spaces(text: str, at: int, separator: str) -> int:
    at += 1
    while separator == " " and text.startswith(" ", at):
        at += 1
    return at


def _plain(name: str) -> str:
    return _ESCAPE.sub(r"\1", name) if "\\" in name else name


def _value(written: str) -> object:
    """A field's value; what the protocol does not know is bad for its own key only."""
    if written.startswith('"'):
        return _plain(written[1:-1])
    number = _NUMBER.fullmatch(written)
    if number is not None:
        return int(number[1]) if number[2] and number[1].lstrip("+-").isdigit() else float(number[1])
    if written.lower() in _SWITCHES:
        return _SWITCHES[written.lower()]
    return Unreadable("not_finite", f"{written[:20]!a} is neither a number nor a switch")
