"""Headers are judged strictly and cheaply, before anything decodes."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge.errors import RejectedInput
from edge.picture import Header, Limits, clean_png, read_header

LIMITS = Limits()


def saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    """A 64x48 picture with structure, as PIL writes it."""
    ramp = np.add.outer(np.arange(48), np.arange(64) * 3).astype(np.uint8)
    image = Image.fromarray(np.stack([ramp, ramp.T.reshape(48, 64), 255 - ramp], axis=-1)).convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, pixels: bytes, *, depth: int = 8, colour: int = 2, interlace: int = 0, more: bytes = b""
) -> bytes:
    """A PNG made by hand, so that it may lie."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg_claiming(width: int, height: int) -> bytes:
    """A real small JPEG whose frame header claims another size."""
    encoded = bytearray(saved("JPEG"))
    at = encoded.index(b"\xff\xc0") + 5
    encoded[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(encoded)


def reason_of(encoded: bytes, limits: Limits = LIMITS) -> str:
    """The reason with which a picture is refused."""
    with pytest.raises(RejectedInput) as caught:
        clean_png(encoded, read_header(encoded, limits))
    return caught.value.reason


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_headers_are_read(mode: str, channels: int, progressive: bool) -> None:  # noqa: FBT001 - a parametrised case
    """Baseline and progressive JPEG, grey and colour, give their size and channels."""
    assert read_header(saved("JPEG", mode, progressive=progressive), LIMITS) == Header("jpeg", 64, 48, channels)


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("RGBA", 4), ("LA", 2), ("P", 1), ("1", 1)])
def test_png_headers_are_read(mode: str, channels: int) -> None:
    """Every non-interlaced PNG of at most 8 bits gives its size and channels, and passes the full check."""
    encoded = saved("PNG", mode)
    header = read_header(encoded, LIMITS)
    assert header == Header("png", 64, 48, channels)
    assert clean_png(encoded, header).endswith(b"IEND\xaeB`\x82")


def test_size_bombs_are_refused_in_a_millisecond() -> None:
    """A small file that claims 32000x32000 is refused by its header alone, JPEG and PNG."""
    for bomb in (jpeg_claiming(32_000, 32_000), png(20_000, 20_000, zlib.compress(bytes(1000)))):
        start = time.process_time()
        assert reason_of(bomb) == "oversize_pixels"
        assert time.process_time() - start < 0.05


def test_limits_are_inclusive() -> None:
    """A picture exactly at a limit is accepted, one above it is refused."""
    encoded = saved("JPEG")
    read_header(encoded, Limits(max_bytes=len(encoded), max_pixels=64 * 48))
    assert reason_of(encoded, Limits(max_bytes=len(encoded) - 1)) == "oversize_bytes"
    assert reason_of(encoded, Limits(max_pixels=64 * 48 - 1)) == "oversize_pixels"


@pytest.mark.parametrize(
    "encoded", [b"", b"\xff\xd8", b"GIF89a" + bytes(50), b"RIFF\0\0\0\0WEBP", b'{"not": "a picture"}']
)
def test_other_formats_are_not_images(encoded: bytes) -> None:
    """Only the magic bytes of JPEG and PNG open the door."""
    assert reason_of(encoded) == "not_an_image"


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(saved("JPEG", "CMYK"), id="cmyk-jpeg"),
        pytest.param(saved("JPEG").replace(b"\xff\xc0", b"\xff\xc3", 1), id="lossless-jpeg"),
        pytest.param(saved("JPEG").replace(b"\xff\xc0", b"\xff\xc9", 1), id="arithmetic-jpeg"),
        pytest.param(saved("JPEG").replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc1\x00\x11\x0c", 1), id="12-bit-jpeg"),
        pytest.param(saved("JPEG", progressive=True) + b"\xff\xda" * 100, id="scan-bomb-jpeg"),
        pytest.param(png(4, 4, b"", depth=16), id="16-bit-png"),
        pytest.param(png(4, 4, b"", interlace=1), id="interlaced-png"),
    ],
)
def test_unsupported_kinds_say_so(encoded: bytes) -> None:
    """What we choose not to decode is refused as such, not as damage."""
    assert reason_of(encoded) == "unsupported"


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(jpeg_claiming(0, 48), id="no-width"),
        pytest.param(b"\xff\xd8\xff\xe0\x00\x01", id="segment-shorter-than-its-length"),
        pytest.param(b"\xff\xd8\xff\xe0\xff\xff" + bytes(10), id="segment-beyond-the-end"),
        pytest.param(b"\xff\xd8\xff\xda\x00\x08" + bytes(20), id="scan-before-frame"),
        pytest.param(b"\xff\xd8\xff" + b"\xff" * 5000, id="only-fill-bytes"),
        pytest.param(png(4, 4, b"", colour=5), id="no-such-colour-type"),
        pytest.param(png(0, 4, zlib.compress(b"")), id="png-no-width"),
        pytest.param(png(4, 4, zlib.compress(bytes(51))), id="too-few-pixels"),
        pytest.param(png(4, 4, zlib.compress(bytes(53))), id="too-many-pixels"),
        pytest.param(png(4, 4, zlib.compress(bytes(52))[:-3]), id="unfinished-stream"),
        pytest.param(png(4, 4, b"not zlib"), id="not-zlib"),
        pytest.param(saved("PNG")[:-12], id="no-end-chunk"),
        pytest.param(saved("PNG")[:20], id="half-a-header"),
    ],
)
def test_damage_is_refused(encoded: bytes) -> None:
    """A header or chunk that contradicts itself is damage."""
    assert reason_of(encoded) == "damaged"


def test_inflate_bomb_is_cut_off() -> None:
    """Pixel data that inflates to 200 MB is refused after the few bytes that the header implies."""
    deflater = zlib.compressobj(1)
    pixels = b"".join(deflater.compress(bytes(1_000_000)) for _ in range(200)) + deflater.flush()
    bomb = png(10, 10, pixels)
    start = time.process_time()
    assert reason_of(bomb) == "damaged"
    assert time.process_time() - start < 0.1  # to its end it would take 0.5 s


def test_only_picture_chunks_reach_the_decoder() -> None:
    """Text, profiles and animation are checked but left out."""
    encoded = png(4, 4, zlib.compress(bytes(52)), more=chunk(b"zTXt", b"k\0\0" + bytes(99)) + chunk(b"acTL", bytes(8)))
    kept = clean_png(encoded, read_header(encoded, LIMITS))
    assert kept == png(4, 4, zlib.compress(bytes(52)))


def test_every_bit_flip_in_a_png_is_seen() -> None:
    """PNG carries checksums, so no single flipped bit may pass as a good frame."""
    encoded = saved("PNG")
    for index in range(len(encoded)):
        flipped = bytearray(encoded)
        flipped[index] ^= 1 << (index % 8)
        with pytest.raises(RejectedInput):
            clean_png(bytes(flipped), read_header(bytes(flipped), LIMITS))


@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda tail: saved("JPEG")[:30] + tail)))
def test_random_bytes_never_surprise(encoded: bytes) -> None:
    """Any bytes at all either give a header within the limits or a RejectedInput, nothing else."""
    try:
        header = read_header(encoded, LIMITS)
    except RejectedInput:
        return
    assert 0 < header.width * header.height <= LIMITS.max_pixels


@given(st.binary(max_size=200), st.integers(8, 60))
def test_random_png_tails_never_surprise(tail: bytes, keep: int) -> None:
    """A PNG with any tail is either whole or refused."""
    encoded = saved("PNG")[:keep] + tail
    with pytest.raises(RejectedInput):
        clean_png(encoded, read_header(encoded, LIMITS))
