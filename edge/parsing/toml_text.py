"""Parses a TOML text into plain data, rejecting it by size and shape first.

`tomllib` is plain Python: some microseconds a byte, recursive in brackets, and its work grows with the square of the parts of a dotted key.
"""

from __future__ import annotations

import tomllib
from typing import Any

MAX_TOML_BYTES = 1_000_000  # a site of a thousand sensors has 200 kB
MAX_KEY_PARTS = 32


def toml_of(text: str) -> dict[str, Any]:
    """The document.

    Raises:
        TOMLDecodeError: it is not TOML, or larger or deeper than a file that people write.
    """
    if len(text) > MAX_TOML_BYTES:
        raise tomllib.TOMLDecodeError(f"{len(text)} characters, more than {MAX_TOML_BYTES}")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.partition("=")[0].partition("#")[0].count(".") > MAX_KEY_PARTS:
            raise tomllib.TOMLDecodeError(f"line {number}: a key of more than {MAX_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("lists or tables are nested too deeply") from error
