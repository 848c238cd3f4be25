"""What a JPEG is made of: its segments and scans walked to the end of its picture, and padding before markers taken out; nothing is decoded.

A decoder walks every segment and every scan, however many there are, so both are counted here first. What follows the end of the picture
(a second picture, a camera's own notes) and what is inside segments (a thumbnail) is no part of it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np

from edge.errors import RejectedInput

MAX_SEGMENTS = 1_024  # real pictures have a few tens; a colour profile or a large EXIF takes some more
MAX_PROGRESSIVE_SCANS = 24  # encoders write about 10, and each walks over all blocks again
_SOF_DECODABLE = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive Huffman
_SOF_PROGRESSIVE = 0xC2
# lossless, hierarchical, arithmetic
_SOF_OTHER = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_SOS, _EOI = 0xDA, 0xD9
_FILL = re.compile(rb"\xff*")
_ENDS_DATA = np.ones(256, np.bool_)  # whether a byte after 0xFF names a marker that is neither data nor a restart
_ENDS_DATA[[0x00, 0xFF, *range(0xD0, 0xD8)]] = False
_LOOKED_AT_BYTES = 1 << 16  # at once
_RESTART_OR_END = re.compile(rb"\xff[\xd0-\xd7\xd9]")
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd([0-79])")
MAX_RESTARTS = 40_000  # one for each 16 x 16 px of a 4K picture are 32,400
MAX_PADDING = 64  # bytes that are not all zero
MAX_ATTEMPTS = 4  # to take padding out: each costs a decoder some of its time
LEAST_PADDED = 3  # restart markers that must have equal padding: damage ends one interval too early, never all


@dataclass(frozen=True, slots=True)
class JpegStructure:
    """A JPEG as its segments describe it.

    Attributes:
        width, height: px, as the frame header claims.
        components: 1 grey, 3 colour.
        progressive: its coefficients come in several scans, and a decoder keeps them all.
        scans: how many scans the picture has.
        scan_start: byte at which the data of its first scan begins.
        end: byte after the picture's end marker; the file's length where there is none.
    """

    width: int
    height: int
    components: int
    progressive: bool
    scans: int
    scan_start: int
    end: int


def read_jpeg(encoded: bytes) -> JpegStructure:
    """Walk a JPEG; at most `MAX_SEGMENTS` steps, whatever it holds.

    Raises:
        RejectedInput: ``damaged`` or ``unsupported``.
    """
    frame: tuple[int, int, int, bool] | None = None
    scans, scan_start = 0, 0
    for marker, start, end in _segments(encoded):
        if marker == _EOI:
            break
        if marker in _SOF_DECODABLE:
            if frame is not None:
                raise RejectedInput("damaged", "the JPEG has two frame headers")
            frame = _frame_header(encoded, marker, start)
        elif marker in _SOF_OTHER:
            raise RejectedInput(
                "unsupported", f"JPEG coding process SOF{marker - 0xC0}; send baseline or progressive Huffman JPEG"
            )
        elif marker == _SOS:
            if frame is None:
                raise RejectedInput("damaged", "the JPEG has a scan before its frame header")
            scans, scan_start = scans + 1, scan_start or end
            _refuse_many_scans(scans, frame)
    else:
        start, end = 0, len(encoded)
    if frame is None or scans == 0:
        raise RejectedInput("damaged", f"the JPEG ends before its {'frame header' if frame is None else 'picture'}")
    width, height, components, progressive = frame
    return JpegStructure(width, height, components, progressive, scans, scan_start, end)


def _segments(encoded: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start of the content and end of each segment; the data of a scan is stepped over. Ends with the end marker, or where the file does."""
    position = 2
    for _ in range(MAX_SEGMENTS):
        if position + 2 > len(encoded):
            return
        if encoded[position] != 0xFF:
            raise RejectedInput("damaged", f"the JPEG has no marker at byte {position}")
        position = _last_fill_byte(encoded, position)
        if position + 2 > len(encoded):
            return
        marker = encoded[position + 1]
        if marker == _EOI:
            yield marker, position + 2, position + 2
            return
        if position + 4 > len(encoded):
            return
        if marker < 0xC0 or 0xD0 <= marker <= 0xD8:
            raise RejectedInput("damaged", f"the JPEG has marker {marker:#04x} outside its data")
        length = int.from_bytes(encoded[position + 2 : position + 4])
        if length < 2:
            raise RejectedInput("damaged", f"a segment of the JPEG claims {length} bytes")
        start, position = position + 4, position + 2 + length
        yield marker, start, position
        if marker == _SOS:
            position = _end_of_data(encoded, position)
    raise RejectedInput("unsupported", f"the JPEG has more than {MAX_SEGMENTS} segments")


def _end_of_data(encoded: bytes, position: int) -> int:
    """Where the data of a scan ends: at a marker, or with the file. A pattern would take 0.1 s for 8 MB of stuffed bytes."""
    for start in range(position, len(encoded) - 1, _LOOKED_AT_BYTES):
        piece = np.frombuffer(encoded, np.uint8, min(_LOOKED_AT_BYTES + 1, len(encoded) - start), start)
        ends = (piece[:-1] == 0xFF) & _ENDS_DATA[piece[1:]]
        if ends.any():
            return start + int(ends.argmax())
    return len(encoded)


def _last_fill_byte(encoded: bytes, position: int) -> int:
    """Where the marker begins that fill bytes stand before; their number is free."""
    found = _FILL.match(encoded, position)
    return position if found is None else found.end() - 1


def _frame_header(encoded: bytes, marker: int, position: int) -> tuple[int, int, int, bool]:
    if position + 6 > len(encoded):
        raise RejectedInput("damaged", "the JPEG ends inside its frame header")
    precision, height, width, components = struct.unpack_from(">BHHB", encoded, position)
    if precision != 8:
        raise RejectedInput("unsupported", f"JPEG with {precision} bits a sample; send 8")
    if components not in (1, 3):
        raise RejectedInput("unsupported", f"JPEG with {components} colour components (CMYK?); send RGB or grey")
    return width, height, components, marker == _SOF_PROGRESSIVE


def _refuse_many_scans(scans: int, frame: tuple[int, int, int, bool]) -> None:
    """A sequential file has at most one scan for each component; a progressive one as many as its encoder liked."""
    _, _, components, progressive = frame
    if progressive and scans > MAX_PROGRESSIVE_SCANS:
        raise RejectedInput("unsupported", f"the JPEG has more than {MAX_PROGRESSIVE_SCANS} scans; save it as baseline")
    if not progressive and scans > components:
        raise RejectedInput("unsupported", f"the JPEG has more scans than its {components} colour components")


def without_padding(encoded: bytes, structure: JpegStructure, complaint: str) -> Iterator[bytes]:
    """The picture without what its camera may have put before markers, most likely first; none where that cannot be distinguished from damage.

    A decoder that meets damage can stop early and leave data unread, which looks the same. So only zeros are taken out, or as many bytes before
    each of several restart markers; the caller must decode the rest strictly. At most `MAX_ATTEMPTS`.

    Args:
        encoded: the whole file.
        structure: of it.
        complaint: libjpeg's message about it.
    """
    count_of_bytes = _EXTRANEOUS.search(complaint)
    head, data = encoded[: structure.scan_start], encoded[structure.scan_start : structure.end]
    marks = [found.start() for found in islice(_RESTART_OR_END.finditer(data), MAX_RESTARTS + 1)]
    if count_of_bytes is None or not marks or len(marks) > MAX_RESTARTS:
        return
    pieces = [data[start:end] for start, end in pairwise((0, *marks, len(data)))]
    for bare in islice(_bare(pieces, sum(data[at + 1] != _EOI for at in marks), count_of_bytes), MAX_ATTEMPTS):
        yield head + b"".join(bare)


def _bare(pieces: list[bytes], restarts: int, count_of_bytes: re.Match[str]) -> Iterator[list[bytes]]:
    """What may be left of the pieces, of which the first ones end at restart markers; the last zero of a picture may be its own."""
    bare = [*map(_without_zeros, pieces[:-1]), pieces[-1]]
    if bare != pieces:
        yield bare
    if restarts < LEAST_PADDED:
        return
    ends = pieces[restarts:]
    bare_ends = [*map(_without_zeros, ends[:-1]), ends[-1]]
    for count in _padding_bytes(pieces[:restarts], count_of_bytes):
        cut = [piece[: max(0, len(piece) - count)] for piece in pieces[:restarts]]
        yield cut + ends
        if bare_ends != ends:
            yield cut + bare_ends


def _padding_bytes(pieces: list[bytes], count_of_bytes: re.Match[str]) -> list[int]:
    """How many bytes may stand before each restart marker: as many as all intervals have in common, or by what the decoder counted until it noticed."""
    alike = next((count for count in range(MAX_PADDING) if len({piece[-count - 1 :] for piece in pieces}) > 1), 0)
    counted = 0 if count_of_bytes[2] == "9" else int(count_of_bytes[1]) // (int(count_of_bytes[2]) + 1)
    return [count for count in dict.fromkeys((alike, counted)) if 0 < count <= MAX_PADDING]


def _without_zeros(piece: bytes) -> bytes:
    """Zeros at the end taken off, but for the one that belongs to a stuffed 0xFF."""
    bare = piece.rstrip(b"\x00")
    return bare + piece[len(bare) : len(bare) + 1] if bare.endswith(b"\xff") else bare
