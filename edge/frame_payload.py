"""An MQTT payload becomes one encoded picture: raw, base64, data URI, or inside JSON.

Nothing is decoded here beyond base64: whether the bytes are a sound picture of bearable size is for `edge.picture` to say, when its turn comes.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge.errors import RejectedInput
from edge.payload import at_pointer, base64_of, json_of, shown, text_of, time_in

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_MAGIC = (JPEG, PNG)
_BASE64_MAGIC = ("/9j/", "iVBORw0KGgo")
_DATA_URI = "data:image/"
NAMES = ("image", "frame", "picture", "snapshot", "jpeg", "png", "blob", "img", "data", "data_base64", "payload")
_MAX_NODES = 2000  # looked at when searching a JSON document for its picture
_MAX_DEPTH = 6
_WRAPPING_BYTES = 65_536  # JSON around a base64 picture


def picture_of(
    payload: bytes, *, max_bytes: int, pointer: str | None, received_wall_ns: int
) -> tuple[bytes, int | None]:
    """The encoded picture (JPEG or PNG by its first bytes), and the capture time that JSON around it tells believably, wall ns.

    Args:
        payload: the MQTT payload.
        max_bytes: largest encoded picture, bytes.
        pointer: JSON pointer to a base64 picture; None searches.
        received_wall_ns: when it came, to judge the capture time.

    Raises:
        RejectedInput: ``empty``, ``oversize_bytes``, ``not_an_image``, ``bad_base64``, ``missing``, or a reason of `json_of`.
    """
    if not payload:
        raise RejectedInput("empty", "the message has no payload")
    if payload.startswith(_MAGIC):
        return _checked(payload, max_bytes), None
    if len(payload) > max_bytes * 4 // 3 + _WRAPPING_BYTES:
        raise RejectedInput("oversize_bytes", f"{len(payload)} bytes, more than a picture of {max_bytes} needs")
    text = text_of(payload).strip()
    if text[:1] not in ("{", "[", '"'):
        return _decoded(text, max_bytes), None
    document = json_of(text)
    found = at_pointer(document, pointer) if pointer is not None else _search(document)
    if not isinstance(found, str):
        raise RejectedInput("not_an_image", f"{shown(pointer)} holds {shown(found)}, not base64 text")
    return _decoded(found.strip(), max_bytes), _capture_time(document, received_wall_ns)


def _decoded(text: str, max_bytes: int) -> bytes:
    if text.startswith("data:"):
        head, comma, text = text.partition(",")
        if not comma or not head.startswith(_DATA_URI) or not head.endswith(";base64"):
            raise RejectedInput("not_an_image", f"the data URI {shown(head)} is not a base64 picture")
    elif not text.startswith(_BASE64_MAGIC):
        raise RejectedInput("not_an_image", f"{shown(text)} is neither JPEG nor PNG, raw or in base64")
    if not text.isascii():
        raise RejectedInput("bad_base64", "it holds characters beyond ASCII")
    return _checked(base64_of(text.encode("ascii"), max_bytes), max_bytes)


def _checked(encoded: bytes, max_bytes: int) -> bytes:
    if not encoded.startswith(_MAGIC):
        raise RejectedInput("not_an_image", f"it begins {shown(encoded[:8])}: neither JPEG nor PNG")
    if len(encoded) > max_bytes:
        raise RejectedInput("oversize_bytes", f"{len(encoded)} bytes, more than {max_bytes}")
    return encoded


def _search(document: object) -> str:
    """The string that begins like a picture, at the best known name; ties go to the first met."""
    best: tuple[int, str] | None = None
    for name, value in _strings(document):
        if value.startswith((*_BASE64_MAGIC, _DATA_URI)):
            rank = NAMES.index(name) if name in NAMES else len(NAMES)
            if best is None or rank < best[0]:
                best = (rank, value)
    if best is None:
        raise RejectedInput("missing", "no base64 picture in the JSON: name its place with image_pointer")
    return best[1]


def _strings(document: object) -> Iterator[tuple[str, str]]:
    """Every string of a JSON document with its key, breadth first, bounded in number and depth; list items carry the list's key."""
    level: list[tuple[str, object]] = [("", document)]
    seen = 0
    for _ in range(_MAX_DEPTH):
        below: list[tuple[str, object]] = []
        for name, value in level:
            seen += 1
            if seen > _MAX_NODES:
                return
            if isinstance(value, str):
                yield name, value
            elif isinstance(value, dict):
                below += value.items()
            elif isinstance(value, list):
                below += [(name, item) for item in value]
        level = below


def _capture_time(document: object, received_wall_ns: int) -> int | None:
    """From the document, its ``metadata``, or the first item of a ``[metadata, picture]`` list."""
    places = [document]
    if isinstance(document, dict):
        places.append(document.get("metadata"))
    elif isinstance(document, list) and document:
        places.append(document[0])
    found = (time_in(place, received_wall_ns) for place in places)
    return next((wall_ns for wall_ns in found if wall_ns is not None), None)
