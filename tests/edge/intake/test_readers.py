"""The strict readers: what JSON, numbers, base64 and times are, and what they are not."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import RejectedInput
from edge.intake.readers import (
    MAX_FUTURE_NS,
    OLDEST_WALL_NS,
    at_pointer,
    bare_number,
    base64_of,
    json_of,
    number_of,
    plausible,
    shown,
    text_of,
    wall_ns_of,
)

NOW_NS = 1_795_473_512_768_000_000  # 2026-11-23T22:38:32.768Z


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not_json"),
        ("{", "not_json"),
        ("{'a': 1}", "not_json"),
        ('{"a": 1} x', "not_json"),
        ("[1,]", "not_json"),
        ("9" * 5000, "not_finite"),
        ("NaN", "not_finite"),
        ("[" * 100_000, "too_deep"),
        ('{"a":' * 40_000, "too_deep"),
        ("[" * 100_000 + "]" * 100_000, "too_deep"),
    ],
    ids=lambda value: shown(value)[:24],
)
def test_what_is_not_json_is_refused_by_reason(text: str, reason: str) -> None:
    """Python's json gives up on depth with a RecursionError; this reader refuses, and bounds what it says of it."""
    with pytest.raises(RejectedInput) as caught:
        json_of(text)
    assert caught.value.reason == reason
    assert len(caught.value.detail) < 300


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("NaN", "not_finite"), ("nan", "not_finite"), ("-nan", "not_finite"), ("-Infinity", "not_finite"), ("inf", "not_finite"),
        ("1.#QNAN", "not_finite"), ("None", "not_finite"), ("undefined", "not_finite"), ("", "not_finite"), ("05", "not_finite"),
        ("9" * 5000, "not_finite"), ('1, "b": 2', "duplicate_key"),
    ],
)  # fmt: skip
def test_one_bad_token_is_bad_for_its_own_key_only(token: str, reason: str) -> None:
    """Whatever a device prints in place of a number, its neighbours are read; whoever asks for it hears why."""
    document = json_of(f'{{"a": 81.5, "text": "a nan in a text, \\" too", "b": {token}, "list": [1, {{"c": 2}}]}}')
    assert (document["a"], document["list"]) == (81.5, [1, {"c": 2}])
    assert document["text"] == 'a nan in a text, " too'
    with pytest.raises(RejectedInput) as caught:
        at_pointer(document, "/b")
    assert caught.value.reason == reason


@pytest.mark.parametrize("text", ["[1,]", "{'a': nan}", '{"a": nan', '{"a" nan}', "{nan: 1}", '{"a": 1} nan'])
def test_what_is_broken_elsewhere_is_still_no_json(text: str) -> None:
    """Only a value may be broken: a document that ends early, or whose keys are not texts, is refused whole."""
    with pytest.raises(RejectedInput, match="not_json"):
        json_of(text)


def test_text_must_be_utf8() -> None:
    """Bytes that are not UTF-8 are refused; a byte order mark is not text, nor are the zero bytes that end a buffer in C."""
    assert text_of(b"\xef\xbb\xbf5") == "5"
    assert text_of(b"81.5\x00\x00") == "81.5"
    with pytest.raises(RejectedInput, match="not_text"):
        text_of(b"5\xff")


@pytest.mark.parametrize(
    ("pointer", "found"),
    [("", {"a/b": {"m~n": [10, 20]}, "": 7}), ("/a~1b/m~0n/1", 20), ("/", 7)],
)
def test_pointers_follow_rfc_6901(pointer: str, found: Any) -> None:
    """Escapes, list indices, the empty key and the whole document."""
    assert at_pointer({"a/b": {"m~n": [10, 20]}, "": 7}, pointer) == found


@pytest.mark.parametrize("pointer", ["/x", "/a/2", "/a/-1", "/a/01x", "/a/0/b", "/a/٣", "/a/" + "9" * 5000])
def test_a_pointer_to_nothing_is_missing(pointer: str) -> None:
    """No key, past the end, a negative index, into a number: missing, never an exception of another kind."""
    with pytest.raises(RejectedInput, match="missing"):
        at_pointer({"a": [1, 2]}, pointer)


@pytest.mark.parametrize(
    ("value", "number"), [(1, 1.0), (-2.5, -2.5), (True, 1.0), (False, 0.0), (2**62, float(2**62))]
)
def test_numbers_and_switches_are_values(value: object, number: float) -> None:
    """Integers, floats, and booleans as 1 and 0, because a limit switch is a sensor."""
    assert number_of(value) == number


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no_value"),
        ("1.5", "not_a_number"),
        ([], "not_a_number"),
        ({}, "not_a_number"),
        (math.nan, "not_finite"),
        (1e999, "not_finite"),
        (10**400, "not_finite"),
    ],
    ids=lambda value: shown(value)[:20],
)
def test_what_is_no_value_is_refused_by_reason(value: object, reason: str) -> None:
    """A number in quotes is text; infinity by overflow is not a measurement."""
    with pytest.raises(RejectedInput) as caught:
        number_of(value)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("text", "number"),
    [("23.5", 23.5), (" -4\n", -4.0), ("+.5e1", 5.0), ("5.", 5.0)]
    + [(text, None) for text in ("", "nan", "inf", "1_000", "0x10", "23,5", "23.5 C", "1e", "--1", "٣", "1" * 65)],
)
def test_a_bare_number_is_a_decimal_and_nothing_else(text: str, number: float | None) -> None:
    """What Python's float() takes beyond that (nan, underscores, other scripts' digits) is not a payload."""
    assert bare_number(text) == number


@given(st.binary(max_size=2000))
def test_base64_round_trips_with_and_without_line_breaks_and_padding(data: bytes) -> None:
    """MIME line breaks are allowed, and many senders leave the padding out."""
    assert base64_of(base64.b64encode(data), 2000) == data
    assert base64_of(base64.encodebytes(data), 2000) == data
    assert base64_of(base64.b64encode(data).rstrip(b"="), 2000) == data


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"abcde", "bad_base64"),
        (b"abcdab=", "bad_base64"),
        (b"ab==ab", "bad_base64"),
        (b"abcda!", "bad_base64"),
        (b"ab=d", "bad_base64"),
        (b"ab-_", "bad_base64"),
        (b"ab\x00d", "bad_base64"),
        (b"A" * 200, "oversize_bytes"),
    ],
)
def test_bad_base64_is_refused(text: bytes, reason: str) -> None:
    """A length that base64 cannot have, foreign characters, and more than fits, which is seen before decoding."""
    with pytest.raises(RejectedInput) as caught:
        base64_of(text, 100)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "told",
    [
        "2026-11-23T22:38:32.768Z",
        "2026-11-23T23:38:32.768000999+01:00",
        NOW_NS // 1_000_000_000 + 0.768,
        NOW_NS // 1_000_000,
        str(NOW_NS // 1_000_000),
        NOW_NS // 1_000,
        NOW_NS,
    ],
)
def test_times_are_understood_in_every_usual_unit(told: object) -> None:
    """RFC 3339 with a zone, and epoch numbers in s, ms, us and ns, also as text."""
    found = wall_ns_of(told)
    assert found is not None
    assert abs(found - NOW_NS) < 1_000_000


@pytest.mark.parametrize(
    "told",
    [None, True, "", "yesterday", "2026-11-23T22:38:32", "2026-13-40T00:00:00Z", -5, 0, math.inf, math.nan, 2**63, [], "9" * 41],
)  # fmt: skip
def test_what_is_no_time_is_none(told: object) -> None:
    """A time without a zone could be any; nonsense is ignored, not an error."""
    assert wall_ns_of(told) is None


@pytest.mark.parametrize(
    ("offset_ns", "sane"),
    [
        (0, True),
        (MAX_FUTURE_NS, True),
        (MAX_FUTURE_NS + 1, False),
        (-(10**17), True),
        (OLDEST_WALL_NS - 1 - NOW_NS, False),
    ],
)
def test_only_sane_times_are_believed(offset_ns: int, *, sane: bool) -> None:
    """A second ahead of us, and after the year 2020: before it are counters and clocks that nobody set. However old, it is believed: data can be."""
    assert (plausible(NOW_NS + offset_ns, NOW_NS) is not None) == sane


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.booleans()))
def test_no_value_is_beyond_the_time_reader(told: object) -> None:
    """Whatever a source says of time, the answer is ns or None."""
    found = wall_ns_of(told)
    assert found is None or isinstance(found, int)


@given(st.text())
def test_json_refuses_or_reads_any_text(text: str) -> None:
    """Any text is JSON or a RejectedInput, and its detail can be logged anywhere."""
    detail = ""
    try:
        json_of(text)
    except RejectedInput as error:
        detail = error.detail
    assert detail.isascii()


@pytest.mark.parametrize("size", [10, 131_072, 180_000])
@pytest.mark.parametrize("write", ["plain", "lines", "slashes", "every letter"])
def test_base64_in_pieces_is_the_base64_of_the_whole(size: int, write: str) -> None:
    """Wherever a piece ends: inside a group of four, a line break or an escape."""
    content = bytes(index * 7 % 256 for index in range(size))
    text = base64.b64encode(content)
    sent = {
        "plain": text,
        "lines": b"\\r\\n".join(text[at : at + 76] for at in range(0, len(text), 76)),
        "slashes": text.replace(b"/", b"\\/"),
        "every letter": b"".join(b"\\u%04x" % letter for letter in text),
    }[write]
    assert base64_of(b"<" + sent + b">", size, start=1, end=1 + len(sent), escaped=True) == content
    with pytest.raises(RejectedInput) as caught:
        base64_of(sent, size - 1, escaped=True)
    assert caught.value.reason == "oversize_bytes"


@pytest.mark.parametrize("end", [b"=", b"A", b"AA==AAAA", b"\\\\/AA", b"\\", b"AAA\\u00e9", b"!AAA"])
def test_what_is_no_base64_is_refused_wherever_it_stands(end: bytes) -> None:
    """In the first piece and behind many."""
    for before in (b"", b"AAAA" * 100_000):
        with pytest.raises(RejectedInput):
            base64_of(before + end, 10**6, escaped=True)
