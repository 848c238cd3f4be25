"""Undoes how a sender packed a text: gzip or zlib, a byte order mark, the zero bytes that end a buffer in C.

Bounded and linear: nothing inflates past the limit that the reader gives.
"""

from __future__ import annotations

import codecs
import zlib

from edge.errors import RejectedInput

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_GZIP = b"\x1f\x8b\x08"
_ZLIB = (b"\x78\x01", b"\x78\x9c", b"\x78\xda")  # no text and no JSON begins so
_EITHER = 32 + zlib.MAX_WBITS  # zlib finds out which of the two it is

_ZEROS = bytes(65_536)  # compared at once: `rstrip` alone looks at megabytes of them one by one


def without_padding(content: bytes) -> bytes:
    """The same without the zero bytes that end a buffer in C; not copied where there are none."""
    end = len(content)
    while content.endswith(_ZEROS, 0, end):
        end -= len(_ZEROS)
    start = max(0, end - len(_ZEROS))
    end = start + len(content[start:end].rstrip(b"\x00"))
    return content if end == len(content) else content[:end]


def decoded(payload: bytes, errors: str = "strict") -> str:
    """The text: UTF-8 with or without a byte order mark, UTF-16 with one; without the zero bytes behind it.

    Raises:
        UnicodeDecodeError: ``errors`` is strict, and it is none.
    """
    for mark, encoding in _MARKS:
        if payload.startswith(mark):
            return payload[len(mark) :].decode(encoding, errors).rstrip("\x00")
    return payload.decode("utf-8", errors).rstrip("\x00")


def inflated(payload: bytes, limit_bytes: int) -> bytes:
    """What gzip or zlib packed, or the payload as it is.

    Args:
        payload: what came.
        limit_bytes: the most that it may hold.

    Raises:
        RejectedInput: ``oversize_bytes`` (seen before the rest is inflated) or ``bad_gzip``.
    """
    if not payload.startswith((_GZIP, *_ZLIB)):
        return payload
    stream = zlib.decompressobj(_EITHER)
    try:
        content = stream.decompress(payload, limit_bytes + 1)
    except zlib.error as error:
        raise RejectedInput("bad_gzip", str(error)[:80]) from error
    if len(content) > limit_bytes:
        raise RejectedInput("oversize_bytes", f"it inflates to more than {limit_bytes} bytes")
    if not stream.eof or stream.unused_data.strip(b"\x00"):
        raise RejectedInput("bad_gzip", "it is cut off" if not stream.eof else "something follows its end")
    return content
