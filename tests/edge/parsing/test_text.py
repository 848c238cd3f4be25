"""How a text was packed is undone, up to a limit."""

from __future__ import annotations

import gzip
import zlib

import pytest

from edge.errors import RejectedInput
from edge.parsing.text import decoded, inflated, without_padding


@pytest.mark.parametrize(
    "payload",
    [b"81.5", b"\xef\xbb\xbf81.5", "81.5".encode("utf-16"), b"\xfe\xff" + "81.5".encode("utf-16-be"), b"81.5\x00\x00"],
)
def test_a_byte_order_mark_says_which_unicode_it_is(payload: bytes) -> None:
    """Windows tools write UTF-16; programs in C send the end of their buffer with it."""
    assert decoded(payload) == "81.5"


def test_half_a_letter_of_utf_16_is_no_text() -> None:
    """A payload that was cut is not guessed at."""
    with pytest.raises(UnicodeDecodeError):
        decoded("81.5".encode("utf-16")[:-1])


@pytest.mark.parametrize(
    "packed", [gzip.compress(b"81.5", mtime=0), zlib.compress(b"81.5"), zlib.compress(b"81.5", 9), b"81.5"]
)
def test_what_was_packed_is_inflated(packed: bytes) -> None:
    """Gateways compress what they send over mobile networks; what is not packed stays as it is."""
    assert inflated(packed, 4) == b"81.5"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (gzip.compress(bytes(300_000), mtime=0), "oversize_bytes"),
        (gzip.compress(b"81.5", mtime=0)[:-3], "bad_gzip"),
        (gzip.compress(b"81.5", mtime=0) + gzip.compress(b"9", mtime=0), "bad_gzip"),
        (gzip.compress(b"81.5", mtime=0)[:12] + b"\xff\xff\xff", "bad_gzip"),
        (b"\x1f\x8b\x08", "bad_gzip"),
        (b"\x1f\x8b\x08\x00" + bytes(6) + b"\xff" * 20, "bad_gzip"),
    ],
)
def test_a_bomb_and_a_damaged_stream_are_refused(payload: bytes, reason: str) -> None:
    """Nothing is inflated past the limit; half a stream, and a second one behind it, are no text."""
    with pytest.raises(RejectedInput) as refused:
        inflated(payload, 262_144)
    assert refused.value.reason == reason


def test_the_zero_bytes_of_a_buffer_may_follow_a_stream() -> None:
    """As they may follow a text."""
    assert inflated(gzip.compress(b"81.5", mtime=0) + b"\x00\x00", 10) == b"81.5"


@pytest.mark.parametrize("zeros", [0, 1, 65_535, 65_536, 65_537, 200_000])
@pytest.mark.parametrize("content", [b"", b"a", b"a\x00b", bytes(3) + b"c"])
def test_padding_goes_however_long_it_is(content: bytes, zeros: int) -> None:
    """Zero bytes inside stay."""
    assert without_padding(content + bytes(zeros)) == content


def test_nothing_is_copied_where_there_is_no_padding() -> None:
    """A picture has megabytes."""
    content = b"a" * 100_000
    assert without_padding(content) is content
