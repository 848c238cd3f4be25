"""Whether a payload is what was sent: the checksum that its sender put beside it, if there is one."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Sequence

from edge.errors import RejectedInput

CHECKSUMS: dict[
    str, tuple[int, Callable[[bytes], str]]
] = {  # name of the user property: hexadecimal digits, and how it is made
    "crc32": (8, lambda payload: f"{zlib.crc32(payload):08x}"),
    "sha256": (64, lambda payload: hashlib.sha256(payload).hexdigest()),
}


def verify(payload: bytes, properties: Sequence[tuple[str, str]], *, required: bool) -> None:
    """Compare a payload with every checksum among its MQTT 5 user properties; hexadecimal, `0x` and capitals allowed.

    Raises:
        RejectedInput: ``damaged``: another payload was sent; ``bad_checksum``: what is there is no checksum; ``no_checksum``: it is required.
    """
    given = {name.lower(): value for name, value in properties if name.lower() in CHECKSUMS}
    if required and not given:
        raise RejectedInput(
            "no_checksum", f"this site requires {' or '.join(CHECKSUMS)} of the payload as an MQTT 5 user property"
        )
    for name, value in given.items():
        digits, of = CHECKSUMS[name]
        expected = value.strip().lower().removeprefix("0x").zfill(digits)
        if len(expected) != digits or not set(expected) <= set("0123456789abcdef"):
            raise RejectedInput("bad_checksum", f"{name} is not {digits} hexadecimal digits")
        found = of(payload)
        if found != expected:
            raise RejectedInput(
                "damaged", f"its {name} is {found[:16]}, the sender gave {expected[:16]}: it was changed on its way"
            )
