"""Reads one encoded picture from an MQTT payload: raw, base64, data URI, or inside JSON.

Nothing is decoded here beyond base64: whether the bytes are a sound picture of acceptable size is checked later by `edge.inference.picture_header`.
"""

from __future__ import annotations

import binascii
import contextlib
from collections.abc import Iterator

from edge.errors import RejectedInput
from edge.intake.byte_list import lists_as_base64
from edge.intake.fields import time_in
from edge.intake.long_strings import Span, parse_beside
from edge.intake.readers import at_pointer, base64_of, shown
from edge.parsing.structure import Bounds, Unreadable
from edge.parsing.text import without_padding

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_MAGIC = (JPEG, PNG)
#: What cameras and browsers send too: how each file begins from an offset, and what it is.
_OTHERS = (
    (8, b"WEBP", "WebP"), (0, b"GIF8", "GIF"), (0, b"BM", "BMP"), (0, b"II*\x00", "TIFF"), (0, b"MM\x00*", "TIFF"), (4, b"ftypavif", "AVIF"),
    (4, b"ftypheic", "HEIC"), (4, b"ftyp", "MP4"), (0, b"\xff\x0a", "JPEG XL"), (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"), (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\x00\x00\x00\x01", "H.264 or H.265"), (0, b"\x1f\x8b", "gzip"),
)  # fmt: skip
#: How pictures are written as text too: how that begins, in small letters but for base64, and what to do about it.
_WRITTEN = (
    ("_9j_", "base64 of the URL-safe alphabet: write + and / in it"), ("b'", "bytes as Python prints them: send the bytes, or base64 alone"),
    ('b"', "bytes as Python prints them: send the bytes, or base64 alone"), ("ffd8ff", "hexadecimal: send base64"), ("89504e47", "hexadecimal: send base64"),
    ("{", "JSON in a text: send it unpacked"), ("[", "JSON in a text: send it unpacked"),
)  # fmt: skip
_BASE64_MAGIC = ("/9j/", "iVBORw0KGgo")
_DATA_URI = "data:image/"
NAMES = ("image", "frame", "picture", "snapshot", "jpeg", "png", "blob", "img", "data", "data_base64", "payload")
# pictures, but not the one to look at
_BESIDES = frozenset(("thumbnail", "thumb", "preview", "icon", "heatmap", "mask", "overlay"))
_TELLING = ("metadata", "meta", "header", "data", "payload", "params", "frame", "image")
_MAX_NODES = 2000  # looked at when searching a JSON document for its picture
_MAX_DEPTH = 6
_BESIDE = Bounds(size_bytes=262_144, values=5_000)  # JSON around a base64 picture
_HEAD_BYTES = 256
_OTHER_LETTERS = 32  # of base64, to recognise the format
_BLANK = b"\xef\xbb\xbf \t\r\n"  # a byte order mark, white space


def picture_of(
    payload: bytes, *, max_bytes: int, pointer: str | None, received_wall_ns: int
) -> tuple[bytes, int | None]:
    """The encoded picture (JPEG or PNG by its first bytes), and the capture time in the JSON around it, if plausible, wall ns.

    Args:
        payload: the MQTT payload.
        max_bytes: largest encoded picture, bytes.
        pointer: JSON pointer to a base64 picture; None searches.
        received_wall_ns: when it came, to judge the capture time.

    Raises:
        RejectedInput: ``empty``, ``oversize_bytes``, ``unsupported`` (another kind of picture), ``not_an_image``, ``bad_base64``, ``missing``,
            ``ambiguous``, or a reason of `json_of`.
    """
    if not payload:
        raise RejectedInput("empty", "the message has no payload")
    if payload.startswith(_MAGIC):
        return _checked(payload, max_bytes), None
    _refuse_other(payload)
    if len(payload) > max_bytes * 4 // 3 + _BESIDE.size_bytes:
        raise RejectedInput("oversize_bytes", f"{len(payload)} bytes, more than a picture of {max_bytes} needs")
    payload = without_padding(payload)
    head = payload[:_HEAD_BYTES]
    start = len(head) - len(head.lstrip(_BLANK))
    if head[start : start + 1] not in (b"{", b"[", b'"'):
        return _decoded(payload, Span(start, len(payload)), max_bytes), None
    payload = lists_as_base64(payload)
    aside = parse_beside(payload, _BESIDE)
    found = at_pointer(aside.document, pointer) if pointer is not None else _search(aside.document)
    if not isinstance(found, str):
        raise RejectedInput("not_an_image", f"{shown(pointer)} holds {shown(found)}, not base64 text")
    captured_wall_ns = _capture_time(aside.document, received_wall_ns)
    span = aside.span(found)
    if span is not None:
        return _decoded(payload, span, max_bytes, escaped=True), captured_wall_ns
    text = found.encode("utf-8", "surrogatepass")
    return _decoded(text, Span(0, len(text)), max_bytes), captured_wall_ns


def _refuse_other(encoded: bytes) -> None:
    """Refuse by its name what is another kind of picture, or a video."""
    kind = next((kind for offset, magic, kind in _OTHERS if encoded.startswith(magic, offset)), None)
    if kind is not None:
        raise RejectedInput("unsupported", f"it is {kind}: send JPEG or PNG")


def _refuse_other_text(text: str) -> None:
    """The same of base64, and of what is no base64 of the usual kind."""
    form = next((form for start, form in _WRITTEN if text[: len(start)].lower() == start), None)
    if form is not None:
        raise RejectedInput("unsupported", f"it is {form}")
    with contextlib.suppress(binascii.Error, UnicodeEncodeError):
        _refuse_other(binascii.a2b_base64(text[:_OTHER_LETTERS].encode("ascii")))


def _decoded(text: bytes, span: Span, max_bytes: int, *, escaped: bool = False) -> bytes:
    """The picture whose base64 or data URI is at a span of a text."""
    start = span.start
    head = _head(text[start : min(span.end, start + _HEAD_BYTES)], escaped=escaped)
    if head[:5].lower() == "data:":
        kind, comma, _ = head.partition(",")
        kind = kind.lower()
        if not comma or not kind.startswith(_DATA_URI) or not kind.endswith(";base64"):
            raise RejectedInput("not_an_image", f"the data URI {shown(kind)} is not a base64 picture")
        start = text.index(b",", start) + 1
    elif not head.startswith(_BASE64_MAGIC):
        _refuse_other_text(head)
        raise RejectedInput("not_an_image", f"{shown(head)} is neither JPEG nor PNG, raw or in base64")
    return _checked(base64_of(text, max_bytes, start=start, end=span.end, escaped=escaped), max_bytes)


def _head(start: bytes, *, escaped: bool) -> str:
    """The beginning of a text, to recognise the format.

    Raises:
        RejectedInput: ``not_text``.
    """
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if len(start) < _HEAD_BYTES or error.reason != "unexpected end of data":
            raise RejectedInput("not_text", f"byte {error.start} is not UTF-8") from error
        text = start[: error.start].decode()
    return (text.replace("\\/", "/") if escaped else text).strip()


def _checked(encoded: bytes, max_bytes: int) -> bytes:
    if not encoded.startswith(_MAGIC):
        _refuse_other(encoded)
        raise RejectedInput("not_an_image", f"it begins {shown(encoded[:8])}: neither JPEG nor PNG")
    if len(encoded) > max_bytes:
        raise RejectedInput("oversize_bytes", f"{len(encoded)} bytes, more than {max_bytes}")
    return encoded


def _search(document: object) -> str:
    """The one string that begins like a picture; where there are several, the only one at a known name, beside thumbnails and the like."""
    pictures: list[tuple[str, str, str]] = []  # name, pointer, text
    unknown: list[str] = []  # texts at a known name
    broken: Unreadable | None = None
    for name, pointer, value in _leaves(document):
        if isinstance(value, Unreadable):
            if name in NAMES and value.reason == "duplicate_key":
                raise value.refusal()  # either of them might be the picture
            broken = value if name in NAMES else broken
        elif value.startswith((*_BASE64_MAGIC, _DATA_URI)):
            pictures.append((name, pointer, value))
        elif name in NAMES or not pointer:
            unknown.append(value)
    if len(pictures) > 1:
        known = [item for item in pictures if item[0] in NAMES]
        if len(known) != 1 or any(item[0] not in _BESIDES for item in pictures if item is not known[0]):
            places = " and ".join(pointer[:60] for _, pointer, _ in pictures[:4])
            raise RejectedInput("ambiguous", f"{len(pictures)} pictures, at {places}: choose one with image_pointer")
        pictures = known
    if not pictures and broken is not None:
        raise broken.refusal()
    if not pictures:
        for named in unknown:
            _refuse_other_text(named)
        raise RejectedInput("missing", "no base64 picture in the JSON: name its place with image_pointer")
    return pictures[0][2]


def _leaves(document: object) -> Iterator[tuple[str, str, str | Unreadable]]:
    """Every string of a JSON document with its key and pointer, breadth first, bounded in number and depth; list items carry the list's key."""
    level: list[tuple[str, str, object]] = [("", "", document)]
    seen = 0
    for _ in range(_MAX_DEPTH):
        below: list[tuple[str, str, object]] = []
        for name, pointer, value in level:
            seen += 1
            if seen > _MAX_NODES:
                raise RejectedInput(
                    "missing", f"more than {_MAX_NODES} values: name the picture's place with image_pointer"
                )
            if isinstance(value, (str, Unreadable)):
                yield name, pointer, value
            elif isinstance(value, dict):
                below += [(key, f"{pointer}/{key}", inner) for key, inner in value.items()]
            elif isinstance(value, list):
                below += [(name, f"{pointer}/{index}", item) for index, item in enumerate(value)]
        level = below


def _capture_time(document: object, received_wall_ns: int) -> int | None:
    """From an object inside that describes the picture, from the document, or from the first item of a ``[metadata, picture]`` list."""
    places = [document]
    if isinstance(document, dict):
        places = [document[key] for key in _TELLING if key in document] + places
    elif isinstance(document, list) and document:
        places.append(document[0])
    found = (time_in(place, received_wall_ns) for place in places)
    return next((wall_ns for wall_ns in found if wall_ns is not None), None)
