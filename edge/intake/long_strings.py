"""Sets the long strings of a JSON document aside, so that only the small rest is parsed.

A picture in JSON is one long string and a little around it. The walk goes from quote to quote, finds each of them in C, and ends as soon as what
is not a long string is more than its reader needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from edge.errors import RejectedInput
from edge.parsing.structure import Bounds, tolerant_json_within

LONG_BYTES = 1024
_HEAD_BYTES = 64  # what of a long string stays in the document, to see what it is
_MARK = "\x00"


@dataclass(frozen=True, slots=True)
class Span:
    """Where a long string's content is in the payload, between its quotes."""

    start: int
    end: int


@dataclass(slots=True)
class Aside:
    """A parsed document; in place of each long string it holds the string's head, a mark and its number.

    A sender that writes such a mark itself only points at another string of its own message.
    """

    document: Any
    spans: list[Span] = field(default_factory=list)

    def span(self, text: str) -> Span | None:
        """Where the string is that this text of the document replaces; None: the text is the whole string."""
        _, mark, number = text.rpartition(_MARK)
        if (
            not mark
            or not number.isascii()
            or not number.isdigit()
            or len(number) > 9
            or int(number) >= len(self.spans)
        ):
            return None
        return self.spans[int(number)]


def parse_beside(payload: bytes, bounds: Bounds) -> Aside:
    """Parse a JSON document tolerantly; the bounds hold for what is not a long string.

    Raises:
        RejectedInput: a reason of `tolerant_json_within`.
    """
    small: list[bytes] = []
    spans: list[Span] = []
    kept_bytes, at = 0, 0  # kept for the parser; where what is not looked at yet begins
    opening: int | None = None
    for quote in _quotes(payload, bounds):
        if opening is None:
            opening = quote
            continue
        span, opening = Span(opening + 1, quote), None
        if span.end - span.start > LONG_BYTES:
            small += [payload[at : span.start], _stand_in(payload, span, len(spans))]
            kept_bytes += span.start - at + _HEAD_BYTES
            spans.append(span)
            at = span.end
        if kept_bytes > bounds.size_bytes:
            break
    kept_bytes += len(payload) - at
    if kept_bytes > bounds.size_bytes:
        raise RejectedInput(
            "oversize_bytes", f"{kept_bytes} bytes beside its long strings, more than {bounds.size_bytes}"
        )
    small.append(payload[at:])
    return Aside(tolerant_json_within(b"".join(small), bounds), spans)


def _quotes(payload: bytes, bounds: Bounds) -> Iterator[int]:
    """Where the quotes are that begin and end strings; escaped ones are looked at, and count."""
    at = 0
    for _ in range(bounds.quotes):
        quote = payload.find(b'"', at)
        if quote < 0:
            return
        if payload[quote - 1 : quote] != b"\\" or _backslashes_before(payload, at, quote) % 2 == 0:
            yield quote
        at = quote + 1
    raise RejectedInput("too_many_values", f"{bounds.quotes} quotes and more")


def _backslashes_before(payload: bytes, start: int, end: int) -> int:
    return end - start - len(payload[start:end].rstrip(b"\\"))


def _stand_in(payload: bytes, span: Span, number: int) -> bytes:
    """The head of a long string up to its first escape or broken letter, with its mark and number as JSON writes them."""
    head = payload[span.start : span.start + _HEAD_BYTES].replace(b"\\/", b"/").partition(b"\\")[0]
    return head.decode("utf-8", "ignore").encode() + b"\\u0000%d" % number
