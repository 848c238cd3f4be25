"""A document is counted before it is parsed: by size, by values, by depth, and never by what its texts say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import RejectedInput
from edge.intake.long_strings import LONG_BYTES, parse_beside
from edge.parsing.structure import MESSAGE, Bounds, check_structure, json_within

SMALL = Bounds(size_bytes=1_000, values=10, depth=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def reason_of(document: bytes, bounds: Bounds = SMALL) -> str | None:
    """Why a document is refused before it is parsed; None: it is not."""
    try:
        check_structure(document, bounds)
    except RejectedInput as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"[1,2,3,4,5,6,7,8,9]", None),
        (b"[1,2,3,4,5,6,7,8,9,10,11]", "too_many_values"),
        (b"[[],[],[],[],[],[]]", "too_many_values"),
        (b"{" + b",".join(b'"k%d":0' % key for key in range(12)) + b"}", "too_many_values"),
        (b"[[[]]]", None),
        (b"[[[[]]]]", "too_deep"),
        (b"[" * 900, "too_deep"),
        (b"[],[],[],[]", None),
        (b" " * 1001, "oversize_bytes"),
        (b'"' * 41, "too_many_values"),
        (b"]]]]", None),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_document_is_refused_by_what_it_holds(document: bytes, reason: str | None) -> None:
    """Members, lists and objects count; what has a few of them passes, even where the grammar will refuse it."""
    assert reason_of(document) == reason


@pytest.mark.parametrize("text", ["[[[[[[", ",,,,,,,,,,,,,,,,,", 'a"b"[[[[,,,,,,,,,,', "\\", '\\"[[[[[', "{{{{\\\\"])
def test_what_a_text_says_does_not_count(text: str) -> None:
    """Brackets, commas and escaped quotes inside a string are text."""
    document = json.dumps({"a": text, text: 1}).encode()
    assert reason_of(document) is None
    assert json_within(document, SMALL) == {"a": text, text: 1}


@given(JSON)
def test_every_document_inside_the_bounds_reads_as_python_reads_it(document: Any) -> None:
    """Counting changes nothing of what is read."""
    encoded = json.dumps(document).encode()
    assert json_within(encoded, MESSAGE) == document
    assert parse_beside(encoded, MESSAGE).document == document


@given(st.text(max_size=200), st.text(max_size=200))
def test_a_long_string_is_set_aside_whatever_it_says(first: str, second: str) -> None:
    """The document keeps its head; the span says where all of it stands, and the values beside it are untouched."""
    long = first + "x" * (LONG_BYTES + 1) + second
    encoded = json.dumps({"before": 1, "picture": long, "after": ["y"]}).encode()
    aside = parse_beside(encoded, Bounds(size_bytes=200, values=10))
    assert (aside.document["before"], aside.document["after"]) == (1, ["y"])
    span = aside.span(aside.document["picture"])
    assert span is not None
    assert json.loads(encoded[span.start - 1 : span.end + 1]) == long


@pytest.mark.parametrize("text", ["plain", "head\x00", "head\x005", "head\x00-1", "head\x00\u0663", "\x00" + "9" * 30])
def test_a_text_that_looks_like_a_stand_in_is_only_a_text(text: str) -> None:
    """A mark that no long string of this message has stands for nothing."""
    assert parse_beside(json.dumps([text]).encode(), MESSAGE).span(text) is None


def test_a_doubled_key_is_named_however_many_keys_there_are() -> None:
    """One pass finds it; the sender learns which key it is."""
    keys = ",".join(f'"k{number}":0' for number in range(9_000))
    with pytest.raises(RejectedInput, match="'q' comes twice") as caught:
        json_within(f'{{{keys},"q":1,"q":2}}'.encode(), MESSAGE)
    assert caught.value.reason == "duplicate_key"
