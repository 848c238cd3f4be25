"""What an encoded picture claims to be, read strictly from its bytes before anything decodes them.

The first bytes decide the format; names and content types from outside are not trusted. Every walk is bounded by the length of the
input, and nothing here allocates by what a header claims: a 15 KB file that says 32000x32000 costs microseconds to refuse.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Literal

from edge.errors import RejectedInput

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_SOF_DECODABLE = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended and progressive Huffman
_SOF_PROGRESSIVE = 0xC2
_SOF_OTHER = frozenset(
    {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
)  # lossless, hierarchical, arithmetic
_SOS = b"\xff\xda"
# Each scan of a progressive file, however short, walks over all its blocks again. Encoders write about 10; a hostile file could hold thousands.
_MAX_JPEG_SCANS = 24
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type: grey, RGB, palette, grey + alpha, RGB + alpha
_PNG_DEPTHS = {0: (1, 2, 4, 8), 2: (8,), 3: (1, 2, 4, 8), 4: (8,), 6: (8,)}
_PNG_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_INFLATE_STEP_BYTES = 1 << 20


@dataclass(frozen=True)
class Limits:
    """The largest picture that is decoded; both limits are checked on the encoded bytes.

    Args:
        max_bytes: length of the encoded picture.
        max_pixels: width x height that its header claims.
    """

    max_bytes: int = 8_000_000
    max_pixels: int = 16_000_000


@dataclass(frozen=True, slots=True)
class Header:
    """What the picture claims to be; ``width`` and ``height`` in px."""

    kind: Literal["jpeg", "png"]
    width: int
    height: int
    channels: int


def read_header(encoded: bytes, limits: Limits) -> Header:
    """Read and judge the header of an encoded picture, without decoding it.

    Raises:
        RejectedInput: ``oversize_bytes``, ``oversize_pixels``, ``not_an_image``, ``damaged`` or ``unsupported``.
    """
    if len(encoded) > limits.max_bytes:
        raise RejectedInput("oversize_bytes", f"{len(encoded)} bytes; the limit is {limits.max_bytes}")
    if encoded.startswith(_JPEG_MAGIC):
        header = _jpeg_header(encoded)
    elif encoded.startswith(_PNG_MAGIC):
        header = _png_header(encoded)
    else:
        raise RejectedInput("not_an_image", f"neither JPEG nor PNG; it starts with {encoded[:8].hex(' ') or 'nothing'}")
    if header.width == 0 or header.height == 0:
        raise RejectedInput("damaged", f"the header says {header.width}x{header.height} px")
    if header.width * header.height > limits.max_pixels:
        raise RejectedInput(
            "oversize_pixels",
            f"the header says {header.width}x{header.height} px; the limit is {limits.max_pixels} px in all",
        )
    return header


def clean_png(encoded: bytes, header: Header) -> bytes:
    """A checked PNG, cut down to the chunks that make its picture.

    Text, profiles and animation never reach the decoder: they can inflate to gigabytes and change nothing that a model sees. Checksums of
    all chunks are verified, and the pixel data must inflate to exactly the size that the header implies.

    Raises:
        RejectedInput: ``damaged``.
    """
    kept = [_PNG_MAGIC]
    pixel_data: list[memoryview] = []
    view, position = memoryview(encoded), len(_PNG_MAGIC)
    name = b""
    while name != b"IEND":
        if position + 12 > len(encoded):
            raise RejectedInput("damaged", "the PNG ends before its IEND chunk")
        length, name = struct.unpack_from(">I4s", encoded, position)
        end = position + 12 + length
        if end > len(encoded):
            raise RejectedInput("damaged", f"the PNG ends inside its {name!r} chunk")
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            raise RejectedInput("damaged", f"the checksum of the PNG's {name!r} chunk does not match")
        if name in _PNG_CRITICAL:
            kept.append(bytes(view[position:end]))
        if name == b"IDAT":
            pixel_data.append(view[position + 8 : end - 4])
        position = end
    _check_inflated_size(b"".join(pixel_data), _png_scanline_bytes(encoded, header) * header.height)
    return b"".join(kept)


def _jpeg_header(encoded: bytes) -> Header:
    """Walk the marker segments up to the start of frame."""
    position = 2
    while position + 4 <= len(encoded):
        if encoded[position] != 0xFF:
            raise RejectedInput("damaged", f"the JPEG has no marker at byte {position}")
        marker = encoded[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _SOF_DECODABLE:
            if marker == _SOF_PROGRESSIVE and encoded.count(_SOS) > _MAX_JPEG_SCANS:
                raise RejectedInput(
                    "unsupported", f"the JPEG has more than {_MAX_JPEG_SCANS} scans; save it as baseline"
                )
            return _jpeg_frame_header(encoded, position + 4)
        if marker in _SOF_OTHER:
            raise RejectedInput(
                "unsupported", f"JPEG coding process SOF{marker - 0xC0}; send baseline or progressive Huffman JPEG"
            )
        if marker in (0xD9, 0xDA) or marker < 0xC0 or 0xD0 <= marker <= 0xD8:
            raise RejectedInput("damaged", f"the JPEG has marker {marker:#04x} before its frame header")
        length = int.from_bytes(encoded[position + 2 : position + 4])
        if length < 2:
            raise RejectedInput("damaged", f"a segment of the JPEG claims {length} bytes")
        position += 2 + length
    raise RejectedInput("damaged", "the JPEG ends before its frame header")


def _jpeg_frame_header(encoded: bytes, position: int) -> Header:
    if position + 6 > len(encoded):
        raise RejectedInput("damaged", "the JPEG ends inside its frame header")
    precision, height, width, components = struct.unpack_from(">BHHB", encoded, position)
    if precision != 8:
        raise RejectedInput("unsupported", f"JPEG with {precision} bits a sample; send 8")
    if components not in (1, 3):
        raise RejectedInput("unsupported", f"JPEG with {components} colour components (CMYK?); send RGB or grey")
    return Header("jpeg", width, height, components)


def _png_header(encoded: bytes) -> Header:
    if len(encoded) < 33:
        raise RejectedInput("damaged", "the PNG ends inside its header")
    length, name, width, height, depth, colour, compression, filtering, interlace = struct.unpack_from(
        ">I4sIIBBBBB", encoded, len(_PNG_MAGIC)
    )
    if (length, name) != (13, b"IHDR") or compression != 0 or filtering != 0 or interlace > 1:
        raise RejectedInput("damaged", "the PNG's first chunk is not a valid IHDR")
    if colour not in _PNG_CHANNELS:
        raise RejectedInput("damaged", f"PNG colour type {colour} does not exist")
    if depth not in _PNG_DEPTHS[colour]:
        raise RejectedInput("unsupported", f"PNG with {depth} bits a sample in colour type {colour}; send 8")
    if interlace:
        raise RejectedInput("unsupported", "interlaced PNG; save it without interlacing")
    return Header("png", width, height, _PNG_CHANNELS[colour])


def _png_scanline_bytes(encoded: bytes, header: Header) -> int:
    """Bytes of one filtered scanline: its filter byte and its packed samples."""
    depth = encoded[len(_PNG_MAGIC) + 16]
    return 1 + (header.width * header.channels * depth + 7) // 8


def _check_inflated_size(compressed: bytes, expected_bytes: int) -> None:
    """Inflate in bounded steps: libpng would inflate a surplus to its end, 2.9 MB of it for 7.6 s."""
    inflater = zlib.decompressobj()
    total, waiting = 0, compressed
    try:
        while total <= expected_bytes and not inflater.eof:
            piece = inflater.decompress(waiting, _INFLATE_STEP_BYTES)
            if not piece and not inflater.unconsumed_tail and not inflater.eof:
                break
            total += len(piece)
            waiting = inflater.unconsumed_tail
    except zlib.error as error:
        raise RejectedInput("damaged", f"the PNG's pixel data does not inflate: {error}") from error
    if total != expected_bytes or not inflater.eof:
        raise RejectedInput(
            "damaged", f"the PNG's pixel data does not have the {expected_bytes} bytes that its header implies"
        )
