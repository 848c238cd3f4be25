"""Reads what a PLC says from an MQTT payload: the id of the part that is before a camera and when it was there, or which product is made."""

from __future__ import annotations

from edge.errors import RejectedInput
from edge.intake.readers import at_pointer, json_of, plausible, shown, text_of, wall_ns_of
from edge.parsing.structure import Bounds

MAX_PART = 128  # characters of a part's id
BOUNDS = Bounds(size_bytes=65_536, values=2_000)


def trigger_of(
    payload: bytes, pointer: str | None, time_pointer: str | None, received_wall_ns: int
) -> tuple[str, int | None]:
    """The part's id, and when it was before the camera by its sender's clock, wall ns; None: the site names no place for that.

    Args:
        payload: of the message.
        pointer: where the id is; None: the payload is the id.
        time_pointer: where the time is; None: nowhere.
        received_wall_ns: of the message.

    Raises:
        RejectedInput: ``missing``, ``bad_part``, ``bad_time``, ``oversize_bytes``, ``not_text`` or ``not_json``.
    """
    document = _document(payload, plain=pointer is None and time_pointer is None)
    part = part_of(document if pointer is None else at_pointer(document, pointer))
    if time_pointer is None:
        return part, None
    told = at_pointer(document, time_pointer)
    told_wall_ns = plausible(wall_ns_of(told), received_wall_ns)
    if told_wall_ns is None:
        raise RejectedInput(
            "bad_time", f"{shown(told)} at {shown(time_pointer)} is no time, or that of a clock that is wrong"
        )
    return part, told_wall_ns


def word_of(payload: bytes, pointer: str | None) -> str:
    """Which product is made.

    Raises:
        RejectedInput: as of a trigger.
    """
    document = _document(payload, plain=pointer is None)
    return part_of(document if pointer is None else at_pointer(document, pointer))


def _document(payload: bytes, *, plain: bool) -> object:
    """JSON, or a plain text that is no JSON."""
    if len(payload) > BOUNDS.size_bytes:
        raise RejectedInput("oversize_bytes", f"{len(payload)} bytes, more than {BOUNDS.size_bytes}")
    text = text_of(payload).strip()
    if not plain:
        return json_of(text, BOUNDS)
    if text.startswith(("{", "[")):
        raise RejectedInput("bad_part", "it is JSON: name the place of the id in it with `pointer`")
    return text.strip('"')


def part_of(value: object) -> str:
    """A part's id as text; a whole number is one too.

    Raises:
        RejectedInput: ``missing`` where it is empty, ``bad_part`` where it can be none.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        if value is None:
            raise RejectedInput("missing", "the trigger names no part")
        raise RejectedInput("bad_part", f"{shown(value)} is no id of a part: text or a whole number is")
    text = str(value).strip() if isinstance(value, str) or abs(value) < 10**MAX_PART else ""
    if not text and isinstance(value, str):
        raise RejectedInput("missing", "the trigger names no part")
    if not 0 < len(text) <= MAX_PART or not text.isprintable():
        raise RejectedInput("bad_part", f"{shown(value)} is no id of a part: up to {MAX_PART} printable characters are")
    return text
