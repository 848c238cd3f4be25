"""Bounded readers for untrusted input: JSON, JSON pointers, base64, numbers and times.

Every refusal is a `RejectedInput` whose reason is one of the words of docs/inputs.md; details are cut short, because they end up in a log.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pybase64

from edge.errors import RejectedInput
from edge.parsing.structure import MESSAGE, Bounds, Unreadable, tolerant_json_within, unescaped
from edge.parsing.text import decoded

MAX_FUTURE_NS = 1_000_000_000  # a source clock may be ahead by so much; more is not a time that we believe
OLDEST_WALL_NS = 1_577_836_800_000_000_000  # 2020: an earlier time is that of a clock that was never set, or a counter
_WHITESPACE = b" \t\r\n"
_PIECE_BYTES = 131_072  # of base64: what a processor's nearest memory holds
_MAX_ESCAPED_BYTES = 4_000_000  # of base64 with JSON escapes in it: undoing them doubles the work
_ESCAPE_BYTES = 6  # the longest, \\u0041
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# seconds, ms, us, ns by magnitude
_EPOCH_UNITS = (
    (1e11, 1_000_000_000),
    (1e14, 1_000_000),
    (1e17, 1_000),
    (math.inf, 1),
)


def shown(value: object) -> str:
    """A value as safe, short ASCII for a log line; containers by size only, because a nested one could be endless to write out."""
    if isinstance(value, (dict, list)):
        return f"a JSON {'object' if isinstance(value, dict) else 'list'} of {len(value)}"
    return ascii(value[:60] if isinstance(value, (str, bytes)) else value)[:80]


def text_of(payload: bytes) -> str:
    """The payload as text; the zero bytes that end a buffer in C are no part of it.

    Raises:
        RejectedInput: ``not_text``.
    """
    try:
        return decoded(payload)
    except UnicodeDecodeError as error:
        raise RejectedInput("not_text", f"byte {error.start} is not {error.encoding.upper()}") from error


def json_of(text: str, bounds: Bounds = MESSAGE) -> Any:  # noqa: ANN401 - JSON is any of seven types
    """A JSON document, counted before it is parsed; single values that cannot be read stand in it as `Unreadable`.

    Raises:
        RejectedInput: ``oversize_bytes``, ``too_many_values``, ``too_deep``, ``not_json``; ``not_finite`` where it is nothing but NaN or Infinity.
    """
    try:
        document = tolerant_json_within(text.encode("utf-8", "surrogatepass"), bounds)
    except RejectedInput as error:
        if error.reason != "not_json":
            raise
        raise RejectedInput("not_json", f"{error.detail} in {shown(text)}") from error
    if isinstance(document, Unreadable):
        raise document.refusal()
    return document


@lru_cache(maxsize=1_000)
def tokens_of(pointer: str) -> tuple[str, ...]:
    """The parts of an RFC 6901 pointer, unescaped. A site has few pointers and follows them in each of thousands of records."""
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:])


def at_pointer(document: Any, pointer: str) -> Any:  # noqa: ANN401 - JSON is any of seven types
    """What an RFC 6901 pointer points at; the empty pointer is the whole document.

    Raises:
        RejectedInput: ``missing``, or why what it points at could not be read.
    """
    here = document
    for token in tokens_of(pointer):
        if isinstance(here, dict) and token in here:
            here = here[token]
        elif isinstance(here, list) and (index := index_of(token)) is not None and index < len(here):
            here = here[index]
        else:
            raise RejectedInput("missing", f"the message has nothing at {shown(pointer)}")
        if isinstance(here, Unreadable):
            raise here.refusal()
    return here


def index_of(token: str) -> int | None:
    """The place in a list that a part of a pointer means; None: it means none."""
    return int(token) if token.isascii() and token.isdigit() and len(token) < 10 else None


def number_of(value: object) -> float:
    """A JSON value as a finite float; a boolean is 1 or 0 (limit switches), a string is no number.

    Raises:
        RejectedInput: ``no_value`` (null), ``not_a_number``, ``not_finite``, ``duplicate_key``.
    """
    if isinstance(value, Unreadable):
        raise value.refusal()
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


def base64_of(text: bytes, limit_bytes: int, *, start: int = 0, end: int | None = None, escaped: bool = False) -> bytes:
    """Base64 decoded, with or without its padding; line breaks allowed, nothing else.

    Piece by piece: other threads get their turn in between, and nothing is copied whole but the result.

    Args:
        text: the text that contains it.
        limit_bytes: the most that it may decode to.
        start: where it begins.
        end: where it ends; None: with the text.
        escaped: JSON escapes may stand in it.

    Raises:
        RejectedInput: ``bad_base64``, or ``oversize_bytes`` (seen before the rest is decoded).
    """
    decoded: list[bytes] = []
    size_bytes, rest, padded = 0, b"", False
    for piece in _pieces(text, start, len(text) if end is None else end, escaped=escaped):
        compact = rest + piece
        whole = len(compact) - len(compact) % 4
        if padded and compact:
            raise RejectedInput("bad_base64", "something follows its padding")
        try:
            decoded.append(pybase64.b64decode(compact[:whole], validate=True))
        except binascii.Error as error:
            raise RejectedInput("bad_base64", shown(str(error))) from error
        rest, padded = compact[whole:], compact[:whole].endswith(b"=")
        size_bytes += len(decoded[-1])
        if size_bytes > limit_bytes:
            raise RejectedInput("oversize_bytes", f"more than {limit_bytes} bytes")
    if rest:
        decoded.append(_without_padding(rest, padded=padded))
    return b"".join(decoded)


def _without_padding(rest: bytes, *, padded: bool) -> bytes:
    """The last two or three letters; many senders leave the padding out, and a picture that is cut off is noticed by its own end."""
    if padded or len(rest) == 1 or b"=" in rest:
        raise RejectedInput("bad_base64", "its length cannot be that of base64: its end is missing")
    try:
        return pybase64.b64decode(rest + b"=" * (4 - len(rest)), validate=True)
    except binascii.Error as error:
        raise RejectedInput("bad_base64", shown(str(error))) from error


def _pieces(text: bytes, start: int, end: int, *, escaped: bool) -> Iterator[bytes]:
    """The text in pieces without white space, none of them cut inside an escape."""
    escaped_bytes = 0
    while start < end:
        stop = min(start + _PIECE_BYTES, end)
        if escaped and stop < end:
            escape = text.rfind(b"\\", stop - _ESCAPE_BYTES, stop)
            stop = escape if escape >= 0 else stop
        piece = text[start:stop]
        if escaped and b"\\" in piece:
            escaped_bytes += len(piece)
            if escaped_bytes > _MAX_ESCAPED_BYTES:
                raise RejectedInput(
                    "oversize_bytes", f"more than {_MAX_ESCAPED_BYTES} bytes of base64 with JSON escapes"
                )
            plain = piece.replace(b"\\/", b"/")  # most senders escape nothing else, and this is far cheaper
            piece = plain if b"\\" not in plain else unescaped(piece).encode("utf-8", "surrogatepass")
        yield piece.translate(None, _WHITESPACE) if any(letter in piece for letter in _WHITESPACE) else piece
        start = stop


def wall_ns_of(value: object) -> int | None:
    """A time as ns since the epoch: RFC 3339 with a zone, or a number of s, ms, us or ns (distinguished by magnitude); None if neither."""
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


def plausible(wall_ns: int | None, received_wall_ns: int) -> int | None:
    """A source's time if its clock can be right: set at all, and at most a second ahead of this device; else None. An old time is accepted, however old."""
    if wall_ns is None or wall_ns < OLDEST_WALL_NS or wall_ns - received_wall_ns > MAX_FUTURE_NS:
        return None
    return wall_ns


def _rfc3339_ns(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
