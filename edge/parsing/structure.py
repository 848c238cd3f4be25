"""Counts what a JSON document holds before anything is built from it.

A parser makes objects of some 60 bytes from the three bytes ``[],`` and calls back for every ``{}``. So a document is counted first, by passes that
run in C and build nothing, and one that holds more than its reader needs is never parsed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NoReturn

from edge.errors import RejectedInput

_INTEGER_DIGITS = 400  # a 64-bit float ends at 309
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_MAX_MENDED_BYTES = 32_768  # a document with tokens that JSON does not have is read up to this size
_STEPS = bytes.maketrans(b"[{]}", b"\x02\x02\x00\x00")


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest JSON document of one use.

    Args:
        size_bytes: its length.
        values: lists, objects, and their members together.
        depth: lists and objects inside each other.
    """

    size_bytes: int
    values: int
    depth: int = 32

    @property
    def quotes(self) -> int:
        """The most quotes that so many values can have: each a key and a text."""
        return 4 * self.values


MESSAGE = Bounds(size_bytes=262_144, values=20_000)


def check_structure(document: bytes, bounds: Bounds) -> None:
    """Count what a JSON document holds; nothing is parsed, so its grammar is not checked.

    Raises:
        RejectedInput: ``oversize_bytes``, ``too_deep`` or ``too_many_values``.
    """
    if len(document) > bounds.size_bytes:
        raise RejectedInput("oversize_bytes", f"{len(document)} bytes of JSON, more than {bounds.size_bytes}")
    plain = document.replace(b"\\\\", b"").replace(b'\\"', b"")  # from here on each quote begins or ends a string
    quotes = plain.count(b'"')
    if quotes > bounds.quotes:
        raise RejectedInput("too_many_values", f"{quotes} quotes, more than {bounds.values} values need")
    bare = b"".join(plain.split(b'"')[::2])
    opened = bare.count(b"[") + bare.count(b"{")
    brackets = bare.translate(_STEPS, _NO_BRACKETS)[: 2 * bounds.values]
    if opened > bounds.depth and max(accumulate(step - 1 for step in brackets)) > bounds.depth:
        raise RejectedInput("too_deep", f"lists and objects inside each other, more than {bounds.depth}")
    values = opened + bare.count(b",")
    if values > bounds.values:
        raise RejectedInput("too_many_values", f"{values} values, more than {bounds.values}")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Takes the place of one value that could not be read, in a document that was read tolerantly: the others are not lost with it."""

    reason: str
    detail: str

    def refusal(self) -> RejectedInput:
        """The error that a reader of this value gets."""
        return RejectedInput(self.reason, self.detail)


def json_within(document: bytes, bounds: Bounds) -> Any:  # noqa: ANN401 - JSON is any of seven types
    """Parse a JSON document (RFC 8259) that its bounds allow.

    Raises:
        RejectedInput: a reason of `check_structure`, ``not_text``, ``not_json``, ``not_finite`` (NaN, Infinity) or ``duplicate_key``.
    """
    check_structure(document, bounds)
    return _parsed(document)


def tolerant_json_within(document: bytes, bounds: Bounds) -> Any:  # noqa: ANN401 - JSON is any of seven types
    """Parse a JSON document in which single values may be broken; each of them becomes an `Unreadable`.

    That is what devices print: ``nan`` from a C library, ``None`` from a script, nothing at all after a colon, a key twice. In lists and objects
    only; what is broken elsewhere refuses the document.

    Raises:
        RejectedInput: a reason of `check_structure`, ``not_text`` or ``not_json``.
    """
    check_structure(document, bounds)
    try:
        return _parsed(document, _TOLERANT)
    except RejectedInput as error:
        start = document.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if error.reason != "not_json" or start not in (b"{", b"[") or len(document) > _MAX_MENDED_BYTES:
            raise
        return _parsed(_TOKENS.sub(_mended, document), _TOLERANT)


def unescaped(content: bytes) -> str:
    """The content of one JSON string, as written between its quotes.

    Raises:
        RejectedInput: ``not_text`` or ``not_json``.
    """
    return str(_parsed(b'"%b"' % content))


def _parsed(document: bytes, decoder: json.JSONDecoder | None = None) -> Any:  # noqa: ANN401 - JSON is any of seven types
    try:
        return (decoder or _STRICT).decode(document.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RejectedInput("not_text", f"byte {error.start} is not UTF-8") from error
    except ValueError as error:  # also an integer of thousands of digits
        raise RejectedInput("not_json", ascii(str(error))[:80]) from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise RejectedInput("duplicate_key", f"the key {key[:60]!a} comes twice")
        found[key] = value
    return found


def _no_constant(name: str) -> NoReturn:
    raise RejectedInput("not_finite", f"{name} is not JSON")


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS:  # the work of a conversion grows with their square
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _marked_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                found[key] = Unreadable("duplicate_key", f"the key {key[:60]!a} comes twice")
            seen.add(key)
    return found


def _marked_constant(name: str) -> Unreadable:
    return Unreadable("not_finite", f"{name} is in the place of a JSON value")


def _marked_integer(digits: str) -> int | Unreadable:
    if len(digits) > _INTEGER_DIGITS:
        return Unreadable("not_finite", f"an integer of {len(digits)} digits")
    return int(digits)


def _mended(found: re.Match[bytes]) -> bytes:
    token = found[0]
    if token[:1] == b'"' or _LITERAL.fullmatch(token):
        return token
    return b":NaN" if token[:1] == b":" else b"NaN"


_LITERAL = re.compile(rb"true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?|-?Infinity|NaN")
# A text, even one that never ends (so that each byte is looked at once); a colon without a value; any other token.
_TOKENS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|:\s*(?=[,}])|[^\s,:\[\]{}"]+', re.DOTALL)
_STRICT = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_int=_integer)
_TOLERANT = json.JSONDecoder(object_pairs_hook=_marked_keys, parse_constant=_marked_constant, parse_int=_marked_integer)
