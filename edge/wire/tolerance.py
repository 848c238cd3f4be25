"""The payload of a command is read leniently where it can mean one thing only: its request id first, then the rest.

Pure, and bounded: no more than `MAX_PAYLOAD_BYTES` is ever looked at. The rule is written in docs/topics.md, for those who publish commands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from edge.errors import RejectedInput
from edge.parsing.text import decoded
from edge.wire.message import timestamp
from edge.wire.requests import Command

MAX_PAYLOAD_BYTES = 16_384
MAX_ID_LENGTH = 128
_ID = re.compile(r'"request_id"[ \t\r\n]{0,16}:[ \t\r\n]{0,16}(?:"((?:[^"\\]|\\.){1,512})"|(-?[0-9][0-9.eE+-]{0,40}))', re.ASCII)  # fmt: skip
_EPOCH = re.compile(r"[0-9]{9,19}(?:\.[0-9]{1,9})?", re.ASCII)  # fewer digits may be a date
_EPOCH_UNITS = ((1e11, 1_000_000_000), (1e14, 1_000_000), (1e17, 1_000), (math.inf, 1))  # s, ms, us, ns by magnitude
_LAST_NS = 253_402_300_799_000_000_000  # the end of the year 9999, after which no time can be written


def request_id_of(payload: bytes) -> str | None:
    """The request id of a payload, whatever else is wrong with it; None: it names none that an answer could carry."""
    document = _document_or_none(payload)
    if isinstance(document, dict):
        return _id(document.get("request_id"))
    found = _ID.search(_text(payload))
    if found is None:
        return None
    if found[2] is not None:
        return found[2]
    try:
        return _id(from_json(f'"{found[1]}"'))
    except ValueError:
        return None


def read_command(payload: bytes) -> Command:
    """The command in a payload.

    Raises:
        RejectedInput: ``oversize_command`` or ``bad_command``; the detail says what to send instead.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise RejectedInput("oversize_command", f"{len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} are read")
    try:
        document = from_json(_text(payload, errors="strict"))
    except UnicodeDecodeError as error:
        raise RejectedInput("bad_command", f"byte {error.start} is not {error.encoding}: send UTF-8") from error
    except ValueError as error:
        raise RejectedInput("bad_command", f"it is not JSON: {ascii(str(error))[:120]}") from error
    if not isinstance(document, dict):
        raise RejectedInput("bad_command", "it is JSON, but not an object")
    try:
        return Command.model_validate(_tidied(document))
    except ValidationError as error:
        raise RejectedInput("bad_command", _first_problem(error)) from error


def _tidied(document: Mapping[str, Any]) -> dict[str, Any]:
    """The keys that mean something: null is as good as absent, and a time may be a number."""
    given = {key: value for key, value in document.items() if value is not None}
    if "issued_at" in given:
        given["issued_at"] = _issued_at(given["issued_at"])
    if "request_id" in given:
        given["request_id"] = _id(given["request_id"])
    return given


def _issued_at(value: object) -> object:
    """A time as text: numbers of s, ms, us or ns since 1970 are distinguished by their size."""
    if isinstance(value, str):
        text = value.strip()
        if _EPOCH.fullmatch(text) is None:
            return text
        value = float(text) if "." in text else int(text)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e19:
        return value
    unit_ns = next(unit for limit, unit in _EPOCH_UNITS if value < limit)
    wall_ns = value * unit_ns if isinstance(value, int) else round(value * unit_ns / 1e6) * 1_000_000
    return timestamp(wall_ns) if wall_ns <= _LAST_NS else value


def _id(value: object) -> str | None:
    """A request id as an answer carries it: numbers as text, cut to what is remembered."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        return str(value)[:MAX_ID_LENGTH] or None
    except ValueError:  # an integer of thousands of digits
        return None


def _document_or_none(payload: bytes) -> Any:  # noqa: ANN401 - JSON is any of seven types
    if len(payload) > MAX_PAYLOAD_BYTES:
        return None
    try:
        return from_json(_text(payload))
    except ValueError:
        return None


def _text(payload: bytes, errors: str = "replace") -> str:
    """The payload as text: with or without a byte order mark, and without the zero bytes that C programs put behind."""
    return decoded(payload[:MAX_PAYLOAD_BYTES], errors).strip("\x00 \t\r\n")


def _first_problem(error: ValidationError) -> str:
    """What is wrong with the first key that is wrong, in words for its sender."""
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"])) or "the command"
    words = {
        "missing": "is missing",
        "string_type": "must be text",
        "string_too_short": "is empty",
        "string_too_long": f"is too long; at most {first.get('ctx', {}).get('max_length')} characters are allowed",
    }
    return f"{name} {words.get(first['type'], first['msg'])}"
