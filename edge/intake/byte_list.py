"""Turns the lists of numbers that Node-RED makes of a Buffer in JSON into base64, so that they are read like any other picture.

``{"type":"Buffer","data":[255,216,...]}`` is what ``JSON.stringify`` writes for bytes: four times as long as they are.
"""

from __future__ import annotations

import base64
import re

import numpy as np
import numpy.typing as npt

from edge.errors import RejectedInput

MAX_LIST_BYTES = 1_000_000  # of a message with such a list: 280 KB of picture; reading more would hold up other cameras
_HEAD = re.compile(rb'"type"\s{0,9}:\s{0,9}"Buffer"\s{0,9},\s{0,9}"data"\s{0,9}:\s{0,9}\[')
_BUFFER = re.compile(rb'\{\s*+"type"\s*+:\s*+"Buffer"\s*+,\s*+"data"\s*+:\s*+\[([0-9,\s]*+)\]\s*+\}')
_TORN = re.compile(rb"[0-9]\s++[0-9]")  # two numbers without a comma
_WHITESPACE = b" \t\r\n"
_REACH_BYTES = 64


def lists_as_base64(payload: bytes) -> bytes:
    """The payload with each Buffer as a base64 text; a list that is none of bytes stays as it is.

    Raises:
        RejectedInput: ``oversize_bytes``.
    """
    at = payload.find(b'"Buffer"')
    if at < 0:
        return payload
    if len(payload) <= MAX_LIST_BYTES:
        return _BUFFER.sub(_as_base64, payload)
    if _HEAD.search(payload, max(0, at - _REACH_BYTES), at + _REACH_BYTES):
        raise RejectedInput(
            "oversize_bytes",
            f"{len(payload)} bytes with a Buffer as a list of numbers, more than {MAX_LIST_BYTES}: publish the bytes themselves",
        )
    return payload


def _as_base64(found: re.Match[bytes]) -> bytes:
    numbers = None if _TORN.search(found[1]) else _bytes_of(found[1].translate(None, _WHITESPACE))
    return found[0] if numbers is None else b'"%b"' % base64.b64encode(numbers)


def _bytes_of(text: bytes) -> bytes | None:
    """Numbers of one to three digits, parted by commas; None: they are none of 0 to 255."""
    digits: npt.NDArray[np.uint8] = np.frombuffer(b",,," + text + b",", np.uint8)
    commas = np.flatnonzero(digits == ord(","))[2:]
    lengths = np.diff(commas) - 1
    if not lengths.size or lengths.min() < 1 or lengths.max() > 3:
        return None
    values = np.zeros(lengths.size, np.uint16)
    for place, weight in ((1, 1), (2, 10), (3, 100)):
        digit = digits[commas[1:] - place].astype(np.uint16) - np.uint16(ord("0"))
        values += np.where(lengths >= place, digit * np.uint16(weight), np.uint16(0))
    return values.astype(np.uint8).tobytes() if values.max() <= 255 else None
