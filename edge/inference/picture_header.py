"""Reads what an encoded picture declares, strictly from its bytes, before anything decodes it.

The first bytes decide the format; names and content types from outside are not trusted. Every walk is bounded by the length of the
input, and nothing here allocates by what a header claims: a 15 KB file that claims 32000x32000 costs microseconds to refuse.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Literal

from edge.errors import RejectedInput
from edge.frame import MAX_BYTES, MAX_PIXELS
from edge.inference.jpeg_structure import JpegStructure, read_jpeg

_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type: grey, RGB, palette, grey + alpha, RGB + alpha
_PNG_DEPTHS = {0: (1, 2, 4, 8), 2: (8,), 3: (1, 2, 4, 8), 4: (8,), 6: (8,)}
_PNG_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_INFLATE_STEP_BYTES = 1 << 20
# Real pictures have a few chunks; an encoder that writes 8 KiB of pixel data a chunk needs 1000 for a picture of 8 MB.
MAX_PNG_CHUNKS = 4_096
HEAD_BYTES = 65_536  # of a JPEG: its tables lie in the first kilobyte, unless a thumbnail comes before


@dataclass(frozen=True)
class PictureLimits:
    """What is decoded; everything is checked on the encoded bytes.

    Args:
        max_bytes: length of the encoded picture.
        max_pixels: width x height that its header claims; None: what `allowance_ms` and `max_working_bytes` leave.
        allowance_ms: what decoding and fitting may take, ms; not asked where `max_pixels` is given.
        max_working_bytes: what the decoder may take beside the picture, bytes; likewise.
        slowness: this machine's time over that of the machine that `edge.inference.decode_cost` was measured on.
        min_side_px: the shorter side; less is a placeholder, not a view.
    """

    max_bytes: int = 8_000_000
    max_pixels: int | None = None
    allowance_ms: float = 30.0
    max_working_bytes: int = 18_000_000
    slowness: float = 1.0
    min_side_px: int = 1


CALIBRATION = PictureLimits(max_bytes=MAX_BYTES, max_pixels=MAX_PIXELS)  # no budget applies to it


@dataclass(frozen=True, slots=True)
class Header:
    """What the picture claims to be; ``width`` and ``height`` in px, ``depth`` in bits a sample.

    ``scans`` is how often a decoder walks over all blocks of a progressive JPEG; 0: the picture is none. ``data_bytes`` is the length of what a
    decoder reads for the pixels, ``head`` a digest of what precedes them in a JPEG. ``jpeg`` is the structure of a JPEG.
    """

    kind: Literal["jpeg", "png"]
    width: int
    height: int
    channels: int
    depth: int = field(default=8, compare=False)
    scans: int = field(default=0, compare=False)
    data_bytes: int = field(default=0, compare=False)
    head: int | None = field(default=None, compare=False)
    jpeg: JpegStructure | None = field(default=None, repr=False, compare=False)


def read_header(encoded: bytes, limits: PictureLimits) -> Header:
    """Read and judge the header of an encoded picture, without decoding it.

    Raises:
        RejectedInput: ``oversize_bytes``, ``oversize_pixels``, ``undersize_pixels``, ``not_an_image``, ``damaged`` or ``unsupported``.
    """
    if len(encoded) > limits.max_bytes:
        raise RejectedInput("oversize_bytes", f"{len(encoded)} bytes; the limit is {limits.max_bytes}")
    if encoded.startswith(_JPEG_MAGIC):
        header = _jpeg_header(read_jpeg(encoded), encoded)
    elif encoded.startswith(_PNG_MAGIC):
        header = _png_header(encoded)
    else:
        raise RejectedInput("not_an_image", f"neither JPEG nor PNG; it starts with {encoded[:8].hex(' ') or 'nothing'}")
    claim = f"the header says {header.width}x{header.height} px"
    if header.width == 0 or header.height == 0:
        raise RejectedInput("damaged", claim)
    max_pixels = limits.max_pixels or MAX_PIXELS
    if header.width * header.height > max_pixels:
        raise RejectedInput("oversize_pixels", f"{claim}; the limit is {max_pixels} px in all")
    if min(header.width, header.height) < limits.min_side_px:
        raise RejectedInput("undersize_pixels", f"{claim}; each side needs {limits.min_side_px} px at least")
    return header


def clean_png(encoded: bytes, header: Header) -> bytes:
    """A checked PNG, cut down to the chunks that make its picture.

    Text, profiles and animation never reach the decoder: they can inflate to gigabytes and change nothing that a model sees. Checksums of
    all chunks are verified, and the pixel data must inflate to exactly the size that the header implies.

    Raises:
        RejectedInput: ``damaged``, or ``unsupported`` (more chunks than a picture needs).
    """
    kept = [_PNG_MAGIC]
    pixel_data: list[memoryview] = []
    view, position = memoryview(encoded), len(_PNG_MAGIC)
    name = b""
    for _ in range(MAX_PNG_CHUNKS):
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
        if name == b"IEND":
            break
    else:
        raise RejectedInput("unsupported", f"the PNG has more than {MAX_PNG_CHUNKS} chunks")
    _check_inflated_size(b"".join(pixel_data), _png_scanline_bytes(header) * header.height)
    return b"".join(kept)


def _jpeg_header(found: JpegStructure, encoded: bytes) -> Header:
    scans = found.scans if found.progressive else 0
    return Header(
        "jpeg",
        found.width,
        found.height,
        found.components,
        scans=scans,
        data_bytes=found.end - found.scan_start,
        head=zlib.crc32(memoryview(encoded)[: min(found.scan_start, HEAD_BYTES)]),
        jpeg=found,
    )


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
    return Header("png", width, height, _PNG_CHANNELS[colour], depth, data_bytes=len(encoded))


def _png_scanline_bytes(header: Header) -> int:
    """Bytes of one filtered scanline: its filter byte and its packed samples."""
    return 1 + (header.width * header.channels * header.depth + 7) // 8


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
