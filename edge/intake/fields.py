"""Reads the fields of a JSON object beside its values: time of measurement, quality, and identity.

Vendors write the same few things under many names. A name is looked up without case, hyphens and underscores in one table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from edge.frame import Quality, worst
from edge.intake.readers import plausible, wall_ns_of

VALUE_KEYS = ("value", "Value", "v", "val", "Val", "VALUE")
_TIMES = (  # the nearer to the measurement, the earlier
    "sourcetimestamp", "measuredat", "sampletime", "observedat", "captured", "ts", "timestamp", "time", "t", "datetime",
    "eventtime", "origin", "lastseen", "lastupdated", "servertimestamp",
)  # fmt: skip
_QUALITIES = frozenset(("q", "quality", "qualitycode", "opcquality", "statuscode", "status"))
_GOOD_IF_TRUE = frozenset(("valid", "isvalid", "good", "isgood"))
_BAD_IF_TRUE = frozenset(("bad", "isbad", "stale", "isstale", "isnull", "error"))
_MAPS = _QUALITIES | {"qualities", "statuses", "statuscodes"}
_SUFFIXES = _QUALITIES | _GOOD_IF_TRUE | _BAD_IF_TRUE
_SAYING = _QUALITIES | _GOOD_IF_TRUE | _BAD_IF_TRUE | {"properties"}
_NAMES = frozenset((
    "n", "name", "id", "tag", "tagname", "tagid", "tagpath", "metric", "metricname", "sensor", "sensorid", "sensorname", "signal",
    "signalname", "point", "pointid", "pointname", "channel", "variable", "variableid", "parameter", "nodeid", "displayname", "resourcename",
    "registerid", "itemid", "itemname", "key", "label", "propertyalias", "measurement", "path", "address",
))  # fmt: skip
_DEVICES = frozenset((
    "model", "device", "deviceid", "devicename", "deviceserial", "dev", "deveui", "mac", "macaddress", "ieeeaddr", "serial", "serialnumber",
    "station", "asset", "assetid", "unitid", "slaveid", "node", "nodeid", "sensor", "sensorid", "datasetwriterid",
))  # fmt: skip
_TELLING = (
    frozenset(_TIMES) | _SAYING | _MAPS | _NAMES | _DEVICES | {"value", "v", "val", "tags", "fields", "id", "channel"}
)
_ENDINGS = tuple(_SUFFIXES)
_MESSAGE_ID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_RANK = {name: rank for rank, name in enumerate(_TIMES)}
_BAD_WORDS = (
    "bad", "err", "inval", "stale", "fail", "fault", "offline", "unavail", "disconn", "notconn", "nocomm", "commfail", "commerr", "commlost", "communication", "timeout", "timedout",
    "lost", "unusable", "outofservice", "dead", "missing", "null", "nan", "false", "notgood", "nodata", "expired", "overrange", "underrange",
    "unknown",
)  # fmt: skip
_DOUBT_WORDS = ("uncertain", "question", "suspect", "doubt", "lastknown", "lastusable", "estimat", "substitut")
_GOOD_WORDS = ("good", "ok", "valid", "true")
_DA_MASK, _DA_GOOD, _DA_UNCERTAIN = 0xC0, 0xC0, 0x40
_STATUS_UNCERTAIN, _STATUS_BAD = 0x4000_0000, 0x8000_0000
# OPC DA bad, Sparkplug stale, Ignition bad: numbers that hardly measure anything
_CODES_OF_BAD = frozenset((0, 500, 512))
_CODE_KEYS = ("Symbol", "symbol", "Code", "code", "name", "Name", "value", "Value")


@lru_cache(maxsize=4096)
def plain(name: str) -> str:
    """A field's name without case, hyphens and underscores."""
    return name.lower().replace("_", "").replace("-", "")


def value_key(fields: Mapping[str, Any]) -> str | None:
    """The field of a JSON object that holds its value, by the usual names."""
    return next((key for key in VALUE_KEYS if key in fields), None)


def time_in(fields: object, received_wall_ns: int) -> int | None:
    """The believable time that is nearest to the measurement among the fields of a JSON object, wall ns."""
    if not isinstance(fields, dict):
        return None
    best: tuple[int, int] | None = None
    for name, value in fields.items():
        rank = _RANK.get(plain(name))
        if rank is None or (best is not None and rank >= best[0]):
            continue
        wall_ns = plausible(wall_ns_of(value), received_wall_ns)
        if wall_ns is not None:
            best = rank, wall_ns
    return None if best is None else best[1]


def quality_in(fields: Mapping[str, Any], *, but: str | None = None) -> Quality:
    """The worst quality among the fields of a JSON object; good where there is none.

    Args:
        fields: the object.
        but: the field that holds the value itself, which is no quality.
    """
    found = Quality.GOOD
    for name, value in fields.items():
        key = plain(name)
        if key == "error" and isinstance(value, int) and value and any(names_in(fields)):
            return Quality.BAD  # the code of a tag's error; elsewhere a whole number may be a controller's
        if key in _SAYING and name != but:
            found = worst(found, _quality_field(key, value, has_value=value_key(fields) is not None) or found)
    return found


def shared_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a JSON object that describe the others: all that the functions of this module look at, but for `suffixed`.

    An object may hold the values of a thousand sensors; what applies to all of them is looked for once.
    """
    return {name: value for name, value in fields.items() if plain(name) in _TELLING}


def suffixed(fields: Mapping[str, Any]) -> dict[str, list[tuple[str, Any]]]:
    """The fields of a JSON object whose name is another one's and a quality's: by that other name, plain, the quality's and its value."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for name, value in fields.items():
        key = plain(name)
        for suffix in _SUFFIXES if key.endswith(_ENDINGS) else ():
            if key.endswith(suffix):
                found.setdefault(key[: -len(suffix)].rstrip("."), []).append((suffix, value))
    return found


def quality_beside(shared: Mapping[str, Any], named: Mapping[str, Sequence[tuple[str, Any]]], field: str) -> Quality:
    """The quality that a JSON object gives for one of its values in particular; good where it gives none.

    Args:
        shared: its `shared_fields` fields: one may be a map of qualities by name.
        named: its `suffixed` fields.
        field: the value's.
    """
    found = Quality.GOOD
    for name, value in shared.items():
        if plain(name) in _MAPS and isinstance(value, dict) and field in value:
            found = worst(found, quality_of(value[field]) or found)
    for suffix, value in named.get(plain(field), ()):
        found = worst(found, _quality_field(suffix, value, has_value=True) or found)
    return found


def quality_of(value: object, *, opc_ua: bool = False) -> Quality | None:
    """What a quality is in the common codes: switches, words, numbers of OPC UA, OPC DA and Sparkplug; None: nothing that is known.

    Args:
        value: as the message has it.
        opc_ua: small numbers are no codes of OPC DA, whose zero is bad.
    """
    if isinstance(value, bool):
        return Quality.GOOD if value else Quality.BAD
    if isinstance(value, (int, float)):
        return _coded(int(value), opc_ua=opc_ua) if value == value // 1 else None
    if isinstance(value, str):
        return _worded(value)
    if isinstance(value, dict):
        parts = [value[key] for key in _CODE_KEYS if isinstance(value.get(key), (str, int))]
        qualities = [quality for part in parts if (quality := quality_of(part, opc_ua=opc_ua)) is not None]
        return worst(*qualities) if qualities else None
    return None


def names_in(fields: Mapping[str, Any]) -> Iterator[str]:
    """The names that a JSON object gives itself; the number of a message is none."""
    return (
        value
        for name, value in fields.items()
        if isinstance(value, str) and plain(name) in _NAMES and not _MESSAGE_ID.fullmatch(value)
    )


def device_in(fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Which device a JSON object is of: its fields that name one, Telegraf's tags among them."""
    names = {name: value for name, value in fields.items() if plain(name) in _DEVICES}
    if "model" in names and "id" in fields:  # rtl_433: the id of a transmitter is one of its model
        names["id"], names["channel"] = fields["id"], fields.get("channel")
    tags = fields.get("tags")
    if isinstance(tags, dict) and isinstance(fields.get("fields"), dict):
        names |= {f"tags/{name}": value for name, value in tags.items()} | {"name": fields.get("name")}
    return tuple((name, str(names[name])[:100]) for name in sorted(names) if isinstance(names[name], (str, int, float)))


def _quality_field(name: str, value: object, *, has_value: bool) -> Quality | None:
    if name in _GOOD_IF_TRUE:
        return Quality.BAD if value is False else None
    if name in _BAD_IF_TRUE:
        text = isinstance(value, (str, dict)) and name == "error" and bool(value)
        return Quality.BAD if value is True or (text and quality_of(value) is not Quality.GOOD) else None
    if name == "properties" and isinstance(value, dict):  # Sparkplug in JSON
        return next((quality_of(inner) for key, inner in value.items() if plain(key) == "quality"), None)
    if name not in _QUALITIES:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return quality_of(value) if _is_code(name, value, has_value=has_value) else None
    if isinstance(value, bool) and name == "status":
        return None  # a switch
    return quality_of(value, opc_ua=name in {"status", "statuscode"})


def _is_code(name: str, value: float, *, has_value: bool) -> bool:
    """Whether a number is a code and no measurement: air has a quality too, and an inverter a reactive power q."""
    if value < 0 or value >= _STATUS_UNCERTAIN:
        return value == value // 1
    if name in {"status", "statuscode"}:
        return False  # small numbers there are states of machines, or HTTP's
    return has_value or (name != "q" and value in _CODES_OF_BAD)


def _coded(code: int, *, opc_ua: bool = False) -> Quality:
    """OPC UA's severity is in the two highest of 32 bits, signed or not; OPC DA's is in two of the lowest eight."""
    code &= 0xFFFF_FFFF
    if code >= _STATUS_BAD:
        return Quality.BAD
    if code >= _STATUS_UNCERTAIN:
        return Quality.UNCERTAIN
    if opc_ua:
        return Quality.GOOD
    if code > 0xFF:
        return Quality.BAD
    severity = code & _DA_MASK
    return {_DA_GOOD: Quality.GOOD, _DA_UNCERTAIN: Quality.UNCERTAIN}.get(severity, Quality.BAD)


def _worded(text: str) -> Quality | None:
    word = "".join(letter for letter in text[:64].lower() if letter.isalnum())
    if word.isascii() and word.isdigit():
        return _coded(int(word[:10]))
    for words, quality in (
        (_BAD_WORDS, Quality.BAD),
        (_DOUBT_WORDS, Quality.UNCERTAIN),
        (_GOOD_WORDS, Quality.GOOD),
    ):
        if word.startswith(words):
            return quality
    return None
