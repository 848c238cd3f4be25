"""A Buffer that Node-RED wrote as a list of numbers is the same bytes again."""

from __future__ import annotations

import base64
import json

import pytest

from edge.errors import RejectedInput
from edge.intake.byte_list import MAX_LIST_BYTES, lists_as_base64
from edge.intake.frame_payload import picture_of

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) + b"\xff\xd9"
BUFFER = {"type": "Buffer", "data": list(JPEG)}
NOW_NS = 1_795_473_512_768_000_000


@pytest.mark.parametrize("message", [BUFFER, {"payload": BUFFER, "topic": "cam"}, [{"ts": 1_795_473_512}, BUFFER]])
@pytest.mark.parametrize("indent", [None, 1])
def test_a_buffer_is_a_picture_wherever_it_stands(message: object, indent: int | None) -> None:
    """`JSON.stringify` of a message, of its payload, or of a list; with and without line breaks."""
    payload = json.dumps(message, indent=indent).encode()
    assert picture_of(payload, max_bytes=10_000, pointer=None, received_wall_ns=NOW_NS)[0] == JPEG


def test_a_pointer_leads_to_a_buffer_too() -> None:
    """Of two of them the site says which."""
    payload = json.dumps({"a": {"type": "Buffer", "data": [1, 2]}, "b": BUFFER}).encode()
    assert picture_of(payload, max_bytes=10_000, pointer="/b", received_wall_ns=NOW_NS)[0] == JPEG


def test_every_byte_comes_back() -> None:
    """One, two and three digits."""
    every = bytes(range(256)) * 3
    payload = json.dumps({"type": "Buffer", "data": list(every)}).encode()
    assert lists_as_base64(payload) == b'"' + base64.b64encode(every) + b'"'


@pytest.mark.parametrize("numbers", ["", "256", "1,,2", "1 2", ",1", "1,", "0001", "-1", "1.5", "[1]", '"a"'])
def test_what_is_no_list_of_bytes_is_left_alone(numbers: str) -> None:
    """Nothing is guessed; the message is refused like any other without a picture."""
    payload = b'{"type":"Buffer","data":[%b]}' % numbers.encode()
    assert lists_as_base64(payload) == payload


def test_a_larger_list_is_refused_with_what_to_do() -> None:
    """Reading it would hold up other cameras; raw bytes cost a quarter."""
    payload = b'{"type":"Buffer","data":[' + b"255," * (MAX_LIST_BYTES // 4) + b"0]}"
    with pytest.raises(RejectedInput, match=r"oversize_bytes: .* publish the bytes themselves"):
        lists_as_base64(payload)


def test_the_word_in_a_large_message_of_another_kind_costs_nothing() -> None:
    """A picture in base64 beside a field of that name is read as before."""
    payload = b'{"type":"Buffer ","kind":"Buffer","image":"' + b"A" * MAX_LIST_BYTES + b'"}'
    assert lists_as_base64(payload) == payload
