"""Strict readers of what strangers send: JSON, JSON pointers, base64, numbers and times; everything bounded.

Every refusal is a `RejectedInput` whose reason is one of the words of docs/inputs.md; details are cut short, because they end up in a log.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from datetime import UTC, datetime
from typing import Any, NoReturn

from edge.errors import RejectedInput

MAX_FUTURE_NS = 1_000_000_000  # a source clock may be ahead by so much; more is not a time that we believe
MAX_AGE_NS = 3_600_000_000_000  # nor is a time longer ago than an hour
TIME_KEYS = ("ts", "timestamp", "time", "captured", "SourceTimestamp")
_WHITESPACE = b" \t\r\n"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_EPOCH_UNITS = (
    (1e11, 1_000_000_000),
    (1e14, 1_000_000),
    (1e17, 1_000),
    (math.inf, 1),
)  # seconds, ms, us, ns by magnitude


def shown(value: object) -> str:
    """A value as safe, short ASCII for a log line; containers by size only, because a nested one could be endless to write out."""
    if isinstance(value, (dict, list)):
        return f"a JSON {'object' if isinstance(value, dict) else 'list'} of {len(value)}"
    return ascii(value[:60] if isinstance(value, (str, bytes)) else value)[:80]


def text_of(payload: bytes) -> str:
    """The payload as text.

    Raises:
        RejectedInput: ``not_text``.
    """
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RejectedInput("not_text", f"byte {error.start} is not UTF-8") from error


def json_of(text: str) -> Any:  # noqa: ANN401 - JSON is any of seven types
    """A JSON document, as RFC 8259 means it.

    Raises:
        RejectedInput: ``not_json``, ``not_finite`` (NaN, Infinity), ``duplicate_key``, ``too_deep``.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise RejectedInput("too_deep", "the JSON is nested too deeply") from error
    except ValueError as error:  # also an integer of thousands of digits
        raise RejectedInput("not_json", f"{shown(str(error))} in {shown(text)}") from error


def at_pointer(document: Any, pointer: str) -> Any:  # noqa: ANN401 - JSON is any of seven types
    """What an RFC 6901 pointer points at; the empty pointer is the whole document.

    Raises:
        RejectedInput: ``missing``.
    """
    here = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        if isinstance(here, dict) and key in here:
            here = here[key]
        elif isinstance(here, list) and key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(here):
            here = here[int(key)]
        else:
            raise RejectedInput("missing", f"the message has nothing at {shown(pointer)}")
    return here


def number_of(value: object) -> float:
    """A JSON value as a finite float; a boolean is 1 or 0 (limit switches), a string is no number.

    Raises:
        RejectedInput: ``no_value`` (null), ``not_a_number``, ``not_finite``.
    """
    if value is None:
        raise RejectedInput("no_value", "the value is null")
    if not isinstance(value, (bool, int, float)):
        raise RejectedInput("not_a_number", f"{shown(value)} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RejectedInput("not_finite", f"{shown(value)} is not finite")
    return number


def bare_number(text: str) -> float | None:
    """A payload that is nothing but a decimal number; None when it is something else."""
    stripped = text.strip()
    if len(stripped) > 64 or _NUMBER.fullmatch(stripped) is None:
        return None
    return number_of(float(stripped))


def base64_of(text: bytes, limit_bytes: int) -> bytes:
    """Base64 decoded, line breaks allowed, nothing else.

    Raises:
        RejectedInput: ``bad_base64``, or ``oversize_bytes`` (found before decoding).
    """
    if len(text) * 3 // 4 - 2 > limit_bytes:
        compact = len(text.translate(None, _WHITESPACE)) * 3 // 4 - 2
        if compact > limit_bytes:
            raise RejectedInput("oversize_bytes", f"about {compact} bytes, more than {limit_bytes}")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        pass
    try:
        return binascii.a2b_base64(text.translate(None, _WHITESPACE), strict_mode=True)
    except binascii.Error as error:
        raise RejectedInput("bad_base64", shown(str(error))) from error


def wall_ns_of(value: object) -> int | None:
    """A time as ns since the epoch: RFC 3339 with a zone, or a number of s, ms, us or ns (told apart by magnitude); None if neither."""
    if isinstance(value, str):
        if len(value) > 40:
            return None
        if _NUMBER.fullmatch(value) is None:
            return _rfc3339_ns(value)
        value = float(value) if not value.isdigit() else int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 2**63:
        return None
    unit_ns = next(unit for limit, unit in _EPOCH_UNITS if value < limit)
    return value * unit_ns if isinstance(value, int) else round(value * unit_ns)


def believed(wall_ns: int | None, received_wall_ns: int) -> int | None:
    """A source's time if it is sane: at most a second ahead of our clock and an hour behind it; else None."""
    if wall_ns is None or not -MAX_FUTURE_NS <= received_wall_ns - wall_ns <= MAX_AGE_NS:
        return None
    return wall_ns


def time_in(document: object, received_wall_ns: int) -> int | None:
    """The first believable time among the usual keys of a JSON object."""
    if not isinstance(document, dict):
        return None
    found = (believed(wall_ns_of(document.get(key)), received_wall_ns) for key in TIME_KEYS)
    return next((wall_ns for wall_ns in found if wall_ns is not None), None)


def _rfc3339_ns(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise RejectedInput("duplicate_key", f"the key {shown(repeated)} comes twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise RejectedInput("not_finite", f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant)
