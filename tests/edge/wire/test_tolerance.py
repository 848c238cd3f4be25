"""A command that can mean one thing only is understood, however its sender writes it; and its request id is found in any case."""

from __future__ import annotations

import codecs
import json
import random
from typing import Any

import pytest

from edge.errors import RejectedInput
from edge.wire.tolerance import MAX_PAYLOAD_BYTES, read_command, request_id_of

PLAIN: dict[str, Any] = {"request_id": "r1", "issued_at": "2026-11-23T22:00:00.000Z", "user": "op", "alarm_id": "crack"}
TEXT = json.dumps(PLAIN)


@pytest.mark.parametrize(
    "payload",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode() + b"\0",
        b" \r\n" + TEXT.encode() + b"\r\n\0\0",
        json.dumps(PLAIN, indent=4).encode(),
        json.dumps(PLAIN | {"client": "ignition", "more": [{}, None]}).encode(),
        json.dumps(PLAIN | {"reading": float("nan")}).encode(),
        json.dumps(PLAIN | dict.fromkeys(["comment", "occurrence_id", "duration_s", "one_shot", "camera", "bundle", "schema"])).encode(),
        TEXT.replace("}", ', "request_id": "r1"}').encode(),
    ],
)  # fmt: skip
def test_one_command_in_many_forms(payload: bytes) -> None:
    """Byte order marks, zero bytes and white space around it, unknown keys, and null for what is not given."""
    command = read_command(payload)
    assert command == read_command(TEXT.encode())
    assert (command.comment, command.one_shot, command.duration_s) == ("", False, None)


@pytest.mark.parametrize(
    ("issued_at", "read"),
    [
        (1_795_471_200, "2026-11-23T22:00:00.000Z"),
        (1_795_471_200.25, "2026-11-23T22:00:00.250Z"),
        (1_795_471_200_000, "2026-11-23T22:00:00.000Z"),
        (1_795_471_200_000_000, "2026-11-23T22:00:00.000Z"),
        (1_795_471_200_000_000_000, "2026-11-23T22:00:00.000Z"),
        ("1795471200000", "2026-11-23T22:00:00.000Z"),
        (" 2026-11-23T22:00:00Z ", "2026-11-23T22:00:00Z"),
    ],
)
def test_a_time_may_be_a_number(issued_at: object, read: str) -> None:
    """Seconds, milliseconds, microseconds and nanoseconds since 1970 are told apart by their size."""
    assert read_command(json.dumps(PLAIN | {"issued_at": issued_at}).encode()).issued_at == read


def reason_of(payload: bytes) -> str | None:
    """Why a payload is refused; None: it is read."""
    try:
        read_command(payload)
    except RejectedInput as error:
        return error.reason
    return None


@pytest.mark.parametrize(("value", "reason"), [(-5, None), (0, None), (1e300, None), (True, "bad_command"), ([], "bad_command"), ({}, "bad_command")])  # fmt: skip
def test_a_number_that_is_no_time_is_not_taken_for_one(value: object, reason: str | None) -> None:
    """It is left as it is, and refused where the clock is asked; a switch or a list is refused here."""
    payload = json.dumps(PLAIN | {"issued_at": value}).encode()
    assert reason_of(payload) == reason
    if reason is None:
        assert "T" not in read_command(payload).issued_at


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [("request_id", 17, "17"), ("request_id", 17.0, "17"), ("user", 4711, "4711"), ("alarm_id", 5, "5")],
)
def test_a_number_may_be_a_name(key: str, value: object, read: str) -> None:
    """PLCs and scripts send numbers; the answer carries them as text."""
    payload = json.dumps(PLAIN | {key: value}).encode()
    assert getattr(read_command(payload), key) == read
    assert request_id_of(payload) == (read if key == "request_id" else "r1")


@pytest.mark.parametrize(
    ("key", "value", "read"),
    [("duration_s", "60", 60.0), ("duration_s", 60, 60.0), ("one_shot", 1, True), ("one_shot", "true", True)],
)
def test_numbers_and_switches_may_be_text(key: str, value: object, read: object) -> None:
    """As HMIs send them."""
    assert getattr(read_command(json.dumps(PLAIN | {key: value}).encode()), key) == read


@pytest.mark.parametrize(
    ("payload", "request_id"),
    [
        (b'{"request_id": "a\\u0041\\n", "user": ', "aA\n"),
        (b'{"request_id": 17, oops', "17"),
        (b'{"user": "op",\r\n "request_id" :\t"x"', "x"),
        (b'{"request_id": "\\ud800", oops', None),
        (b'{"request_id": "unfinished', None),
        (b'{"request_id": "' + b"x" * 500 + b'"}', "x" * 128),
        (b'["request_id"]', None),
        (b"", None),
    ],
)
def test_the_request_id_is_found_in_what_is_no_json(payload: bytes, request_id: str | None) -> None:
    """So that whoever waits for an answer gets one."""
    assert request_id_of(payload) == request_id


def test_damage_ends_in_a_command_or_a_refusal() -> None:
    """20,000 damaged commands: nothing else than a refusal is ever raised, and an id is always short text."""
    rng = random.Random(7)
    values: list[Any] = [None, True, -1, 1e308, 10**400, "", "x" * 300, "\0", "\ud800", [], {}, [[]] * 50, float("nan")]
    for _ in range(20_000):
        document = dict(PLAIN)
        document[rng.choice([*PLAIN, "comment", "duration_s", "one_shot", "bundle", "zz"])] = rng.choice(values)
        payload = bytearray(json.dumps(document).encode("utf-8", "surrogatepass"))
        if rng.random() < 0.5:
            payload[rng.randrange(len(payload))] = rng.randrange(256)
        assert reason_of(bytes(payload)) in {None, "bad_command", "oversize_command"}
        found = request_id_of(bytes(payload))
        assert found is None or (len(found) <= 128 and found.encode())


def test_no_more_is_read_than_a_command_may_have() -> None:
    """The id of a giant is looked for in its beginning only."""
    giant = b"[" * MAX_PAYLOAD_BYTES + b'"request_id": "late"'
    assert request_id_of(giant) is None
    assert request_id_of(b'{"request_id": "early", ' + giant) == "early"
